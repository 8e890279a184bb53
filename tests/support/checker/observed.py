"""What became of the files: plain data, whoever has gathered it (servers or a model)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.checker.expected import Place, Stack


class RawSeen(NamedTuple):
    """A message of events.raw, as a read_committed reader sees it."""

    key: str
    place: Place
    text: bytes


class EnrichedSeen(NamedTuple):
    """A message of events.enriched or events.repaired."""

    key: str
    place: Place
    text: bytes
    version: int


class Stored(NamedTuple):
    """A document of an event."""

    in_index: str
    id: str
    version: int
    source: Mapping[str, Any]


@dataclass(slots=True)
class Observed:
    """Everything that the checker looks at.

    `letters` are the newest dead letters by key, those with a tombstone left out; `indexed_letters`
    are the documents that the store shows of them; `files` and `indexed_files` the rows of the
    ledger and what the store shows of it. `reread` counts messages of events.reread. `behind`
    counts records that a group has yet to read; `open_partitions` names partitions whose last
    stable offset is before their end. `resumed_s` is how long after each death the first commit
    came. `leaks` says where something was found that looks like a planted secret.
    """

    raw: Sequence[RawSeen] = ()
    enriched: Sequence[EnrichedSeen] = ()
    repaired: Sequence[EnrichedSeen] = ()
    stored: Sequence[Stored] = ()
    letters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    indexed_letters: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Mapping[str, Any]] = ()
    indexed_files: Sequence[Mapping[str, Any]] = ()
    stacks: Sequence[Stack] = ()
    reread: int = 0
    behind: Mapping[str, int] = field(default_factory=dict)
    open_partitions: Sequence[str] = ()
    kills: int = 0
    restarts: int = 0
    resumed_s: Sequence[float] = ()
    leaks: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
