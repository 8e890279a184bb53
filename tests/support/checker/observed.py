"""What became of the files: plain data, whoever has gathered it (servers or a model)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.checker.expected import Place


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
    are the keys that the store shows; `files` and `indexed_files` the rows of the ledger by object
    key. `behind` counts records that a group has yet to read; `open_bytes` names partitions whose
    last stable offset is before their end. `resumed_s` is how long after each death the first
    commit came.
    """

    raw: Sequence[RawSeen] = ()
    enriched: Sequence[EnrichedSeen] = ()
    repaired: Sequence[EnrichedSeen] = ()
    stored: Sequence[Stored] = ()
    letters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    indexed_letters: frozenset[str] = frozenset()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    indexed_files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    behind: Mapping[str, int] = field(default_factory=dict)
    open_partitions: Sequence[str] = ()
    kills: int = 0
    restarts: int = 0
    resumed_s: Sequence[float] = ()
    texts: Sequence[bytes] = ()
    """Whatever else may not hold a secret: logs."""
