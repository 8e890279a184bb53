"""Where records come from: the seam between the loop and a Kafka consumer group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opstrail_runtime.stage import Partition, Record


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit what one poll returned.

    `generation` counts this source's rebalances; `group` is the group's metadata as it was at the
    poll that returned the first record. A batch is never committed with newer metadata: a stalled
    process that rejoined committed a doubled batch that way (measured on Kafka 4.3.1).
    """

    generation: int
    group: object = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll returned: records of partitions that were begun, in offset order of each."""

    records: Sequence[Record]
    lease: Lease


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed offset: of the next record to read, with our text beside it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What rebalances did since it was last asked."""

    assigned: Sequence[Partition] = ()
    revoked: Sequence[Partition] = field(default=())
    balanced: bool = False  # the group told this member its share, which may be nothing


class Source(Protocol):
    """A member of a consumer group that reads what is committed. One thread uses it.

    Every method raises Unavailable where Kafka does not answer, Fenced where another process took
    this member's slot.
    """

    def poll(self, *, timeout_s: float, most_records: int) -> Batch:
        """Return records as soon as there are any, none after the timeout.

        Rebalances happen inside. Raises LeaseLost when one fell between the records: rewind.
        """

    def changes(self) -> Changes:
        """Return partitions assigned and taken away since the last call.

        An assigned partition yields no record until `begin`.
        """

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed]:
        """Return the group's committed offsets; partitions without one are missing."""

    def log_starts(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return the offset of the oldest record that each partition still holds."""

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets: after an assignment, and to rewind after an abort."""

    def lease(self) -> Lease:
        """Return a lease as of now, for commits that carry no record."""

    def holds(self, lease: Lease) -> bool:
        """Return whether no rebalance came since the lease was given."""

    def ends(self) -> Mapping[Partition, int]:
        """Return partitions that were read to their end, and that offset (past control records)."""

    def hold(self) -> None:
        """Deliver nothing until `release`, while polls keep the membership."""

    def release(self) -> None:
        """Deliver again."""

    def close(self) -> None:
        """Leave."""
