"""What a number of facts say together as of a time (PURE).

Whatever is folded here depends on the set of facts alone, never on the order of their arrival.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

LATEST: Final = 2**63 - 1  # as of the end of time
ALWAYS: Final = -(2**63)  # since the beginning of time


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
        rank = (ALWAYS if fact.since is None else fact.since, fact.event_id or "")
        for name, value in fact.attributes.items():
            held = known.get(name)
            if held is None or rank > held[0]:
                known[name] = (rank, value)
            elif rank == held[0] and value != held[1]:
                known[name] = (rank, None)
    return {name: value for name, (_, value) in known.items() if value is not None}
