"""Kafka in memory: twins of Source, Writer and Log that pass the same contract suite.

For tests and for trying a stage out. Transactions are atomic, fencing and group metadata are
checked; brokers never die and logs are never compacted.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from opstrail_runtime.errors import Fenced, OutcomeUnknown, Unavailable
from opstrail_runtime.source import Batch, Changes, Committed, Lease
from opstrail_runtime.stage import Output, Partition, Pulse, Record
from opstrail_schemas.topics import TopicName


class StillPulse:
    """A pulse that does not wait: it remembers what was waited for."""

    def __init__(self) -> None:
        self.waits: list[tuple[float, str]] = []

    def beat(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float, *, why: str) -> None:
        """Remember it."""
        self.waits.append((seconds, why))


@dataclass(slots=True)
class MemoryKafka:
    """A broker: partitions of records, offsets of groups, epochs of transactional ids."""

    partitions: Mapping[TopicName, int]
    logs: dict[Partition, list[Record]] = field(default_factory=dict)
    offsets: dict[tuple[str, Partition], Committed] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    away: bool = False

    def append(self, topic: TopicName, key: bytes, value: bytes | None) -> Record:
        """Append one message to the partition of its key."""
        at = Partition(topic, zlib.crc32(key) % self.partitions[topic])
        log = self.logs.setdefault(at, [])
        record = Record(at, len(log), key, value, 0)
        log.append(record)
        return record

    def messages(self, topic: TopicName) -> list[Record]:
        """Return all messages of a topic, partition by partition."""
        return [
            record
            for number in range(self.partitions[topic])
            for record in self.logs.get(Partition(topic, number), [])
        ]

    def check(self) -> None:
        """Raise Unavailable while the broker is away."""
        if self.away:
            raise Unavailable("kafka", "away")


class MemorySource:
    """The only member of its group; `rebalance` makes partitions move."""

    def __init__(self, kafka: MemoryKafka, group: str, topics: Sequence[TopicName]) -> None:
        self._kafka = kafka
        self._group = group
        self._all = [Partition(t, n) for t in topics for n in range(kafka.partitions[t])]
        self._next: list[Changes] = [Changes(assigned=tuple(self._all))]
        self._changes = Changes()
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._held = False
        kafka.generations.setdefault(group, 0)

    def rebalance(
        self, *, revoked: Sequence[Partition] = (), assigned: Sequence[Partition] = ()
    ) -> None:
        """Let the next poll see partitions come and go."""
        self._next.append(Changes(tuple(assigned), tuple(revoked)))

    def poll(self, *, timeout_s: float, most_records: int) -> Batch:
        """Return records of partitions that were begun."""
        if self._next:
            came = self._next.pop(0)
            self._kafka.generations[self._group] += 1
            for partition in came.revoked:
                self._positions.pop(partition, None)
                self._ends.pop(partition, None)
            self._changes = Changes(
                (*self._changes.assigned, *came.assigned),
                (*self._changes.revoked, *came.revoked),
                balanced=True,
            )
            return Batch((), self.lease())
        records: list[Record] = []
        if self._held or self._kafka.away:
            return Batch((), self.lease())
        for partition, position in self._positions.items():
            log = self._kafka.logs.get(partition, [])
            found = log[position : position + most_records - len(records)]
            records += found
            self._positions[partition] = position + len(found)
            if self._positions[partition] == len(log):
                self._ends[partition] = len(log)
        return Batch(records, self.lease())

    def changes(self) -> Changes:
        """Return partitions assigned and taken away since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed]:
        """Return the group's committed offsets."""
        self._kafka.check()
        found = {p: self._kafka.offsets.get((self._group, p)) for p in partitions}
        return {p: committed for p, committed in found.items() if committed is not None}

    def log_starts(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return 0: nothing ever expires here."""
        self._kafka.check()
        return dict.fromkeys(partitions, 0)

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        self._positions.update(positions)
        for partition in positions:
            self._ends.pop(partition, None)

    def lease(self) -> Lease:
        """Return a lease as of now."""
        generation = self._kafka.generations[self._group]
        return Lease(generation, (self._group, generation))

    def holds(self, lease: Lease) -> bool:
        """Return whether no rebalance came since."""
        return lease.generation == self._kafka.generations[self._group]

    def ends(self) -> Mapping[Partition, int]:
        """Return partitions that were read to their end."""
        return dict(self._ends)

    def hold(self) -> None:
        """Deliver nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """Deliver again."""
        self._held = False

    def close(self) -> None:
        """Leave."""


class MemoryWriter:
    """Transactions of one slot; a second writer of the same slot fences the first."""

    def __init__(self, kafka: MemoryKafka, slot: str) -> None:
        self._kafka = kafka
        self._slot = slot
        self._epoch: int | None = None

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write outputs and offsets, all or none."""
        self._kafka.check()
        if self._epoch is None:
            self._epoch = self._kafka.epochs.get(self._slot, 0) + 1
            self._kafka.epochs[self._slot] = self._epoch
        if self._epoch != self._kafka.epochs[self._slot]:
            raise Fenced(f"another process took the slot {self._slot}")
        if offsets:
            group, generation = cast("tuple[str, int]", lease.group)
            if generation != self._kafka.generations[group]:
                raise OutcomeUnknown("the group's metadata is older than its last rebalance")
            for partition, committed in offsets.items():
                self._kafka.offsets[(group, partition)] = committed
        for output in outputs:
            self._kafka.append(output.topic, output.key, output.value)

    def close(self) -> None:
        """Let go of the slot."""


class MemoryLog:
    """Reads partitions of a MemoryKafka."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._positions: dict[Partition, int] = {}

    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        """Read to the end."""
        self._kafka.check()
        pulse.beat()
        log = self._kafka.logs.get(partition, [])
        self._positions[partition] = len(log)
        return iter(log[start or 0 :])

    def read_stable(self, partition: Partition, pulse: Pulse, *, start: int) -> Iterator[Record]:
        """Read to the end: nothing is ever open here."""
        return self.read(partition, pulse, start=start)

    def position(self, partition: Partition) -> int:
        """Return the offset after the last record that was read."""
        return self._positions.get(partition, 0)

    def read_tail(
        self, partition: Partition, pulse: Pulse, *, at_least_bytes: int, most_records: int
    ) -> Iterator[Record]:
        """Read the end of a partition."""
        log = list(self.read(partition, pulse))
        size, start = 0, len(log)
        while start > 0 and size < at_least_bytes and len(log) - start < most_records:
            start -= 1
            size += len(log[start].value or b"")
        return iter(log[start:])

    def partition_count(self, topic: TopicName) -> int:
        """Return how many partitions a topic has."""
        self._kafka.check()
        return self._kafka.partitions[topic]
