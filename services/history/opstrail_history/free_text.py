"""The free text of a search, in a syntax that cannot hurt (PURE).

Words and "phrases in quotation marks", all of which must be there; `-word` must not; `word*` asks
for a beginning; `stack:shop-prod` asks one filter. Nothing else means anything: no regular
expressions, no leading wildcards, no brackets, no boosts. OpenSearch's own query language is never
given a user's text (crafted ones have ended nodes: GHSA-6g3j-p5g6-992f).
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from opstrail_history.refusals import BadQuery

LONGEST_TEXT_BYTES = 1_024
MOST_CLAUSES = 20
# A beginning is compared with every word of every field that is looked at: 20 took the store 4 s.
MOST_BEGINNINGS = 5
_TOKEN = re.compile(
    r"""(?P<not>-)?(?:(?P<field>[A-Za-z]+):)?(?:"(?P<phrase>[^"]*)"(?P<star>\*)?|(?P<word>\S+))"""
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that must, or must not, be in an event; in `field`, or anywhere."""

    text: str
    field: str | None = None
    excluded: bool = False
    prefix: bool = False


def clauses_of(text: str, fields: AbstractSet[str]) -> tuple[Clause, ...]:
    """Return what a free text asks for. `fields` are the names that may precede a colon.

    Raises BadQuery for what is too long, has too many clauses or begins with a wildcard.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_TEXT_BYTES:
        raise BadQuery(f"q: at most {LONGEST_TEXT_BYTES} bytes of free text", field="q")
    clauses = tuple(
        clause for found in _TOKEN.finditer(text) if (clause := _clause(found, fields)) is not None
    )
    if len(clauses) > MOST_CLAUSES:
        raise BadQuery(f"q: at most {MOST_CLAUSES} words in one question", field="q")
    if sum(clause.prefix and clause.field is None for clause in clauses) > MOST_BEGINNINGS:
        raise BadQuery(f"q: at most {MOST_BEGINNINGS} words with * in one question", field="q")
    return tuple(dict.fromkeys(clauses))


def _clause(found: "re.Match[str]", fields: AbstractSet[str]) -> Clause | None:
    name, phrase, word = found["field"], found["phrase"], found["word"]
    text = phrase if phrase is not None else word
    if name is not None and name not in fields:
        # `arn:aws:…` and `error:…` are words, not filters.
        text, name = f"{name}:{text}", None
    prefix = found["star"] is not None
    if phrase is None and text.endswith("*"):
        text, prefix = text.rstrip("*"), True
    if text[:1] in {"*", "?"} or (prefix and not text):
        raise BadQuery("q: a word cannot begin with a wildcard; `abc*` finds beginnings", field="q")
    if not text.strip():
        return None
    return Clause(text, name, excluded=found["not"] is not None, prefix=prefix)
