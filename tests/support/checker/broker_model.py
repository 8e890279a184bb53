"""A model of Kafka with open transactions: a last stable offset, fencing, generations, time-outs.

Where tests.support.memory_kafka has atomic transactions, this one can be left in any state that a
killed process leaves: messages of an open transaction, offsets that were handed over, a commit
whose reply was lost. Time is a number that waiting moves on.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from opstrail_runtime.errors import Fenced, LeaseLost, OutcomeUnknown, Unavailable
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.source import Batch, Changes, Committed, Lease
from opstrail_runtime.stage import Output, Partition, Pulse, Record
from opstrail_schemas.topics import TopicName

TRANSACTION_TIMEOUT_S = 30.0
LONGEST_S = 3_600.0


class Stuck(BaseException):
    """A simulation does not end: somebody waits for ever. No code of ours may catch it."""


@dataclass(slots=True)
class Transaction:
    """One transaction of a slot, and where it has written first."""

    slot: str
    epoch: int
    began_s: float
    state: str = "open"
    first: dict[Partition, int] = field(default_factory=dict)
    offsets: dict[tuple[str, Partition], Committed] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """A message, or the control record that ends a transaction (`record` None)."""

    record: Record | None
    of: Transaction | None


@dataclass(slots=True)
class BrokerModel:
    """A broker. `assigned[group][partition]` is the member that owns it: see `move`."""

    partitions: Mapping[TopicName, int]
    logs: dict[Partition, list[Entry]] = field(default_factory=dict)
    offsets: dict[tuple[str, Partition], Committed] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    open: dict[str, Transaction] = field(default_factory=dict)
    assigned: dict[str, dict[Partition, str]] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    now_s: float = 0.0
    away_until_s: float = 0.0
    met_away: set[float] = field(default_factory=set)  # absences that somebody met, by their ends

    @property
    def away(self) -> bool:
        """Whether it answers nobody now."""
        return self.now_s < self.away_until_s

    def all(self, topics: Sequence[TopicName]) -> list[Partition]:
        """Return the partitions of topics."""
        return [Partition(t, n) for t in topics for n in range(self.partitions[t])]

    def move(self, group: str, partitions: Collection[Partition], member: str) -> None:
        """Give partitions to a member: a rebalance, which members learn of at their next poll."""
        self.assigned.setdefault(group, {}).update(dict.fromkeys(partitions, member))
        self.generations[group] = self.generations.get(group, 0) + 1

    def log(self, at: Partition) -> list[Entry]:
        """Return a partition's log."""
        return self.logs.setdefault(at, [])

    def append(
        self, topic: TopicName, key: bytes, value: bytes | None, of: Transaction | None = None
    ) -> None:
        """Append a message to the partition of its key."""
        at = Partition(topic, zlib.crc32(key) % self.partitions[topic])
        log = self.log(at)
        if of is not None:
            of.first.setdefault(at, len(log))
        log.append(Entry(Record(at, len(log), key, value, 0), of))

    def stable(self, at: Partition) -> int:
        """Return the last stable offset."""
        return min(
            (t.first[at] for t in self.open.values() if at in t.first), default=len(self.log(at))
        )

    def committed(self, at: Partition, start: int, end: int) -> list[Record]:
        """Return what a read_committed reader sees."""
        return [
            entry.record
            for entry in self.log(at)[start : min(end, self.stable(at))]
            if entry.record is not None and (entry.of is None or entry.of.state == "committed")
        ]

    def written(self, at: Partition, start: int, end: int) -> list[Record]:
        """Return what a read_uncommitted reader sees."""
        return [entry.record for entry in self.log(at)[start:end] if entry.record is not None]

    def messages(self, topic: TopicName) -> list[Record]:
        """Return all committed messages of a topic."""
        return [r for at in self.all([topic]) for r in self.committed(at, 0, len(self.log(at)))]

    def end(self, transaction: Transaction, *, commit: bool) -> None:
        """End a transaction: a control record in each partition, and its offsets."""
        if transaction.state != "open":
            return
        transaction.state = "committed" if commit else "aborted"
        if self.open.get(transaction.slot) is transaction:
            del self.open[transaction.slot]
        for at in transaction.first:
            self.log(at).append(Entry(None, transaction))
        if commit:
            self.offsets.update(transaction.offsets)

    def wait_out(self, at: Partition) -> None:
        """Let time pass until no transaction is open before the end of a partition."""
        while self.stable(at) < len(self.log(at)):
            blocking = min(
                (t for t in self.open.values() if at in t.first), key=lambda t: t.began_s
            )
            self.now_s = max(self.now_s, blocking.began_s + TRANSACTION_TIMEOUT_S)
            self.end(blocking, commit=False)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; transactions that are open for too long are aborted."""
        self.now_s += seconds
        if self.now_s > LONGEST_S:
            raise Stuck(f"nothing has come to an end in {self.now_s:.0f} s")
        for transaction in list(self.open.values()):
            if self.now_s - transaction.began_s > TRANSACTION_TIMEOUT_S:
                self.end(transaction, commit=False)

    def check(self) -> None:
        """Raise Unavailable while the broker is away."""
        if self.away:
            self.met_away.add(self.away_until_s)
            raise Unavailable("kafka", "away")


class ModelSource:
    """A static member of a group."""

    def __init__(
        self, kafka: BrokerModel, group: str, topics: Sequence[TopicName], member: str
    ) -> None:
        self.kafka = kafka
        self.group = group
        self._topics = set(topics)
        self._member = member
        self._seen = -1  # the group's generation as of the last poll
        self._generation = 0  # rebalances that this process has seen
        self._own: set[Partition] = set()
        self._changes = Changes()
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._held = False

    def poll(self, *, timeout_s: float, most_records: int) -> Batch:
        """Return records of partitions that were begun."""
        self._join()
        records: list[Record] = []
        if not self._held and not self.kafka.away:
            for at in self._positions:
                records += self._read(at, most_records - len(records))
        if not records:
            self.kafka.pass_time(timeout_s)
        return Batch(records, self.lease())

    def _read(self, at: Partition, most: int) -> list[Record]:
        start, stable = self._positions[at], self.readable(at)
        found = self.records(at, start, stable)[: max(0, most)]
        whole = most > 0 and len(found) < most
        self._positions[at] = stable if whole else found[-1].offset + 1 if found else start
        if self._positions[at] == len(self.kafka.log(at)):
            self._ends[at] = self._positions[at]
        return found

    def readable(self, at: Partition) -> int:
        """Return up to where it reads."""
        return self.kafka.stable(at)

    def records(self, at: Partition, start: int, end: int) -> list[Record]:
        """Return what it reads there."""
        return self.kafka.committed(at, start, end)

    def _join(self) -> None:
        now = self.kafka.generations.get(self.group, 0)
        if now == self._seen:
            return
        self._seen = now
        self._generation += 1
        owners = self.kafka.assigned.get(self.group, {})
        own = {at for at, member in owners.items() if member == self._member}
        gone, come = self._own - own, own - self._own
        self._own = own
        for at in gone:
            self._positions.pop(at, None)
            self._ends.pop(at, None)
        self._changes = Changes((*self._changes.assigned, *come), (*self._changes.revoked, *gone))

    def changes(self) -> Changes:
        """Return partitions assigned and taken away since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed]:
        """Return the group's committed offsets."""
        self.kafka.check()
        found = {at: self.kafka.offsets.get((self.group, at)) for at in partitions}
        return {at: there for at, there in found.items() if there is not None}

    def log_starts(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return 0: nothing expires here."""
        self.kafka.check()
        return dict.fromkeys(partitions, 0)

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        for at, position in positions.items():
            if at in self._own:
                self._positions[at] = position
                self._ends.pop(at, None)

    def lease(self) -> Lease:
        """Return a lease as of the last poll."""
        return Lease(self._generation, (self.group, self._seen))

    def holds(self, lease: Lease) -> bool:
        """Return whether no rebalance was seen since."""
        return lease.generation == self._generation

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


class ModelWriter:
    """Transactions of a slot, step by step, with the failpoints of the real one."""

    def __init__(self, kafka: BrokerModel, slot: str) -> None:
        self.kafka = kafka
        self.slot = slot
        self.epoch: int | None = None
        self.lose_reply = False  # of the next commit, which holds
        self.lose_commit = False  # the next one itself: it is left open
        self.lost: Counter[str] = Counter()  # what came of the two

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write outputs and offsets in one transaction."""
        self.kafka.check()
        self._ready()
        transaction = Transaction(self.slot, self.epoch or 0, self.kafka.now_s)
        self.kafka.open[self.slot] = transaction
        try:
            self.produce(outputs, transaction)
            if outputs:
                pass_by("after-produce")
            if offsets:
                self._check()
                self.check_lease(lease)
                group, _ = cast("tuple[str, int]", lease.group)
                transaction.offsets = {(group, at): to for at, to in offsets.items()}
                pass_by("after-offsets")
            self._check()
        except LeaseLost:
            self.epoch = None  # what it left open ends when the next one begins
            raise
        if self.lose_commit:
            self.lose_commit, self.epoch = False, None
            self.lost["commit lost"] += 1
            raise OutcomeUnknown("the commit was lost")
        self.kafka.end(transaction, commit=True)
        if self.lose_reply:
            self.lose_reply, self.epoch = False, None
            self.lost["reply to a commit lost"] += 1
            raise OutcomeUnknown("the reply to the commit was lost")

    def produce(self, outputs: Sequence[Output], transaction: Transaction) -> None:
        """Append the messages."""
        for number, output in enumerate(outputs):
            if number == len(outputs) // 2:
                pass_by("mid-produce")
            self.kafka.append(output.topic, output.key, output.value, transaction)

    def check_lease(self, lease: Lease) -> None:
        """Refuse metadata of another generation than the group's."""
        group, generation = cast("tuple[str, int]", lease.group)
        if generation != self.kafka.generations[group]:
            raise OutcomeUnknown("the group's metadata is older than its last rebalance")

    def _ready(self) -> None:
        if self.epoch is None:
            if (left := self.kafka.open.get(self.slot)) is not None:
                self.kafka.end(left, commit=False)
            self.epoch = self.kafka.epochs[self.slot] = self.kafka.epochs.get(self.slot, 0) + 1
        self._check()

    def _check(self) -> None:
        if self.epoch != self.kafka.epochs[self.slot]:
            raise Fenced(f"another process took the slot {self.slot}")

    def close(self) -> None:
        """Let go of the slot."""


class ModelLog:
    """Reads whole partitions."""

    def __init__(self, kafka: BrokerModel) -> None:
        self.kafka = kafka
        self._positions: dict[Partition, int] = {}

    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        """Read to the end that is written, which waits for open transactions."""
        self.kafka.check()
        pulse.beat()
        end = len(self.kafka.log(partition))
        self.kafka.wait_out(partition)
        self._positions[partition] = end
        return iter(self.kafka.committed(partition, start or 0, end))

    def read_stable(self, partition: Partition, pulse: Pulse, *, start: int) -> Iterator[Record]:
        """Read to the last stable offset."""
        self.kafka.check()
        pulse.beat()
        end = self.kafka.stable(partition)
        self._positions[partition] = end
        return iter(self.kafka.committed(partition, start, end))

    def position(self, partition: Partition) -> int:
        """Return the offset after the last record or control record that was read."""
        return self._positions.get(partition, 0)

    def read_tail(
        self, partition: Partition, pulse: Pulse, *, at_least_bytes: int, most_records: int
    ) -> Iterator[Record]:
        """Read the end of a partition."""
        records = list(self.read(partition, pulse))
        size, start = 0, len(records)
        while start > 0 and size < at_least_bytes and len(records) - start < most_records:
            start -= 1
            size += len(records[start].value or b"")
        return iter(records[start:])

    def partition_count(self, topic: TopicName) -> int:
        """Return how many partitions a topic has."""
        self.kafka.check()
        return self.kafka.partitions[topic]
