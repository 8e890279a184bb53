"""What a service is to the loop: a Stage that turns records into commits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from opstrail_schemas.topics import TopicName


class Partition(NamedTuple):
    """A partition of one of our topics."""

    topic: TopicName
    number: int


class Record(NamedTuple):
    """One Kafka message. `value` is None for a tombstone: test with `is None`, never truth."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Output(NamedTuple):
    """One message to write. Its partition follows from its key (murmur2, as Java clients do).

    `reason` is that of a dead letter, for the counters; it is not written.
    """

    topic: TopicName
    key: bytes
    value: bytes | None
    reason: str | None = None


def nothing() -> None:
    """Do nothing: the default of `Commit.after`."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What moves together in one Kafka transaction: outputs, and how far the input is done.

    `offsets` holds the offset of the next record to read, per partition; empty for a chunk of a
    file whose notice is not done yet. `after` runs once the transaction is committed: there, and
    nowhere else, a stage changes its own state (window, ledger), so that an abort leaves no trace.
    `refused` counts, by partition, inputs that were read and of which only dead letters came: not
    what waits for another try, and not conflicts. Too many in a row stop the service.
    """

    outputs: Sequence[Output] = ()
    offsets: Mapping[Partition, int] = field(default_factory=dict)
    after: Callable[[], None] = nothing
    refused: Mapping[Partition, int] = field(default_factory=dict)


class Pulse(Protocol):
    """The loop's heart, given to stages whose work takes long. Each may raise LeaseLost."""

    def beat(self) -> None:
        """Keep group membership and liveness; call at least every few seconds of work."""

    def wait(self, seconds: float, *, why: str) -> None:
        """Sleep while keeping membership and liveness; `why` is shown (what is waited for)."""


class Stage(Protocol):
    """One service's work. Called by the loop, from one thread."""

    def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
        """Load the state that belongs to partitions now assigned, before their first record.

        Raises Unavailable: the loop waits and calls again.
        """

    def forget(self, partitions: Sequence[Partition]) -> None:
        """Drop the state of partitions that were taken away. Must not raise."""

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        """Turn records into commits, in order; the last one's offsets cover all the records.

        A generator: the code after a `yield` runs when that commit is durable. It raises
        Unavailable when a dependency is away: the loop waits and calls again with the records
        that are not committed yet. What it has already yielded is committed and stays so.
        """

    def set_aside(self, record: Record) -> Commit:
        """Return the commit that sets aside a record that killed the process three times.

        A dead letter `crashed` (and what else belongs to it); offsets past the record.
        """
