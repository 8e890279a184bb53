"""Facts form a set: what identifies one, and what a number of them say together (PURE).

A fact never changes and is never taken back, so the order in which facts arrive can't matter:
whatever is folded here depends on the set alone.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from opstrail_schemas.messages import Account, StackFact

FACT_VERSION: Final = 1  # the form that this code writes; of others it knows nothing
LATEST: Final = 2**63 - 1  # as of the end of time
_ALWAYS: Final = -(2**63)


def digest_of(fact: StackFact | Account) -> bytes:
    """Return the message key of a fact: SHA-256 of all that it says.

    Members at their default are left out, so that a field added later changes no old key.
    """
    defaults = {name: getattr(_EMPTY[type(fact)], name) for name in fact.__struct_fields__}
    said = {
        name: value
        for name, default in defaults.items()
        if (value := getattr(fact, name)) != default or name == "account_id"
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).digest()


_EMPTY: Final[Mapping[type, StackFact | Account]] = {
    StackFact: StackFact(kind="", account_id="", source=""),
    Account: Account(account_id="", source=""),
}


class Said(NamedTuple):
    """What one fact says, and from when on. `event_id` orders facts of the same moment."""

    since: int | None
    event_id: str | None
    attributes: Mapping[str, str]


def holds(since: int | None, at: int | None) -> bool:
    """Return whether something known since then held at that time.

    Of an event without a time only that holds which always held.
    """
    return since is None or (at is not None and since <= at)


def as_of(at: int | None, facts: Iterable[Said]) -> dict[str, str]:
    """Return what the facts say together as of a time: the later overlays the earlier.

    Where two of the same moment contradict each other, nothing is known: never a guess.
    """
    known: dict[str, tuple[tuple[int, str], str | None]] = {}
    for fact in facts:
        if not holds(fact.since, at):
            continue
        rank = (_ALWAYS if fact.since is None else fact.since, fact.event_id or "")
        for name, value in fact.attributes.items():
            held = known.get(name)
            if held is None or rank > held[0]:
                known[name] = (rank, value)
            elif rank == held[0] and value != held[1]:
                known[name] = (rank, None)
    return {name: value for name, (_, value) in known.items() if value is not None}
