"""The life of a stack as facts tell it, a row a change (PURE)."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple

from opstrail_enrich.stack_catalog import StackCatalog, moment
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import StackFact

# A stack has thousands of deployments: of a kind with more than so many the number is told.
MOST_CHILDREN: Final = 5
_WHAT: Final = {
    "stackDefined": "created",
    "stackCloned": "cloned",
    "stackChanged": "changed",
    "stackDeleted": "deleted",
    "childBelongs": "has",
    "permission": "permission",
    "tags": "tags",
}


class Row(NamedTuple):
    """Something that happened to a stack, or that is known of it always."""

    since: str
    what: str
    change: str
    source: str


def timeline(catalog: StackCatalog, account_id: str, stack_id: str) -> list[Row]:
    """Return what is known of a stack in the order of time; what always holds comes first."""
    about = [*catalog.facts.about(key_of(account_id, None, "stack", stack_id))]
    about += catalog.facts.about(key_of(account_id, None, "details", stack_id))
    if (orphan := catalog.orphan_of(key_of(account_id, None, "stack", stack_id))) is not None:
        about.append(orphan)
    return list(_rows(sorted(about, key=moment), _children(catalog, account_id, stack_id)))


def when(time_ms: int | None) -> str:
    """Return a time for people, in UTC; `always` where something holds whenever."""
    if time_ms is None:
        return "always"
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"


def _rows(facts: Sequence[StackFact], children: Sequence[StackFact]) -> Iterator[Row]:
    for kind, group in groupby(children, key=lambda child: child.subject_kind or "-"):
        yield from _belonging(kind, list(group))
    known: dict[str, str] = {}
    for fact in facts:
        changes = [
            f"{name}: {known[name]} → {value}" if name in known else f"{name}: {value}"
            for name, value in sorted(fact.attributes.items())
            if known.get(name) != value
        ]
        known |= fact.attributes
        if fact.kind == "stackCloned":
            changes.insert(0, f"from {fact.object_id}")
        if fact.kind == "permission":
            changes.insert(0, f"{fact.subject_id}")
        if fact.kind == "stackDefined" and fact.stack_id is None:
            changes.append("(its record shows no id: found by the name)")
        yield Row(
            when(fact.valid_from),
            "known" if fact.source == "import" else _WHAT.get(fact.kind, fact.kind),
            ", ".join(changes),
            _source(fact),
        )


def _belonging(kind: str, children: Sequence[StackFact]) -> Iterator[Row]:
    if len(children) > MOST_CHILDREN:
        sources = {child.source for child in children}
        change = f"{len(children)} of them belong to it"
        yield Row(when(None), kind, change, ", ".join(sorted(sources)))
        return
    for child in children:
        change = f"{child.subject_id} belongs to it"
        yield Row(when(child.valid_from), kind, change, _source(child))


def _children(catalog: StackCatalog, account_id: str, stack_id: str) -> list[StackFact]:
    found = (
        fact
        for fact in catalog.facts.facts()
        if fact.kind in ("childBelongs", "childSeen")
        and (fact.account_id, fact.stack_id) == (account_id, stack_id)
    )
    told: dict[tuple[str, str], list[StackFact]] = {}
    for fact in sorted(found, key=moment):
        of_child = told.setdefault((fact.subject_kind or "", fact.subject_id or ""), [])
        if not of_child or fact.kind == "childBelongs":  # it may be seen there every day
            of_child.append(fact)
    return [fact for _, of_child in sorted(told.items()) for fact in of_child]


def _source(fact: StackFact) -> str:
    return fact.source if fact.event_id is None else f"event {fact.event_id}"
