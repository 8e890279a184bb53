"""A consumer group member on librdkafka: the real `Source`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from opstrail_runtime.errors import LeaseLost
from opstrail_runtime.kafka_errors import error_of, translated
from opstrail_runtime.source import Batch, Changes, Committed, Lease
from opstrail_runtime.stage import Partition, Record
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

TIMEOUT_S = 10.0
MOST_BYTES = 8 * 1024 * 1024  # of values in one poll: 2,000 large records took store to 480 MiB
_NOTICED_WITHIN_S = 1.0  # the coordinator looks at sessions that end
STEP = 100  # records taken at a time until then
_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own code
_TOO_LATE = KafkaError._MAX_POLL_EXCEEDED  # noqa: SLF001
# Passing troubles of a client that reconnects by itself: it goes on polling.
_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


def place_of(message: Message, names: TopicNames) -> tuple[Partition, int]:
    """Return the partition and the offset of a message, or of the event it carries."""
    full, number, offset = message.topic(), message.partition(), message.offset()
    if full is None or number is None or offset is None:
        raise TypeError(f"a message from nowhere: {message.error()}")
    return Partition(names.short(full), number), offset


def record_at(message: Message, partition: Partition) -> Record:
    """Return a Kafka message of that partition as a record."""
    offset = cast("int", message.offset())
    return Record(partition, offset, message.key(), message.value(), message.timestamp()[1])


class KafkaSource:
    """Reads topics as a member of a group. The consumer is built in wiring and not subscribed yet.

    It must be configured with `enable.auto.commit=false`, `enable.partition.eof=true`,
    `auto.offset.reset=error`, and, for more than one topic, with an assignor that parts each topic
    of its own (range): cooperative-sticky counts partitions only, and gave all of events.raw to one
    of two members and all of events.reread to the other (see docs/adr/0010-assignors.md).
    `cooperative` says whether assignments come bit by bit; `session_s` is its session timeout.

    What the group assigns is assigned to the client by `begin` only, so it need not be paused until
    then: next to the start of a fetch, librdkafka now and then loses a pause, a resume or the start
    itself, and a partition is silent (2.16: 5 times in 738 assignments of 32 partitions on two busy
    cores).
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[TopicName],
        names: TopicNames,
        *,
        slot: str,
        cooperative: bool,
        session_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._names = names
        self._slot = slot
        self._cooperative = cooperative
        self._session_s = session_s
        self._monotonic = monotonic
        self._away_until = 0.0
        self._topics = topics
        self._subscribed = False
        self._generation = 0
        self._assigned: set[Partition] = set()
        self._revoked: set[Partition] = set()
        self._balanced = False
        self._begun: set[Partition] = set()
        self._paused: set[Partition] = set()  # since they were begun, and perhaps still
        self._ends: dict[Partition, int] = {}
        self._held = False
        self._stash: list[Message] = []
        self._too_late = False

    def poll(self, *, timeout_s: float, most_records: int) -> Batch:
        """Return records as soon as there are any."""
        if not self._subscribed and self._monotonic() >= self._away_until:
            self._consumer.subscribe(
                [self._names.full(topic) for topic in self._topics],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_revoke,
            )
            self._subscribed = True
        generation = self._generation
        try:
            messages = self._consumer.consume(1, timeout_s)
            taken = size = 0
            while messages:
                self._take(messages)
                taken += len(messages)
                size += sum(len(message) for message in messages)  # a message's length: its value's
                if taken >= most_records or size >= MOST_BYTES:
                    break
                messages = self._consumer.consume(min(STEP, most_records - taken), 0)
            if self._too_late:
                self._join_anew()
        except KafkaException as error:
            raise translated(error_of(error), slot=self._slot) from error
        if self._held:
            return Batch((), self.lease())
        records = self._records()
        if records and self._generation != generation:
            # What was fetched before the rebalance may belong to another member by now.
            raise LeaseLost("a rebalance came while records were fetched")
        return Batch(records, self.lease() if records else Lease(self._generation))

    def _take(self, messages: Sequence[Message]) -> None:
        """Keep records and ends, also while held. Raises what an error means."""
        failed = None
        for message in messages:
            error = message.error()
            if error is None or error.code() == _END:
                self._stash.append(message)
            elif error.code() == _TOO_LATE:
                self._too_late = True
            elif error.code() not in _PASSING:  # errors may come without a partition
                failed = error
        if failed is not None:
            raise translated(failed, slot=self._slot)

    def _join_anew(self) -> None:
        """Leave the group, and come back when it has noticed, after a poll that came too late.

        A static member that comes back within its session gets the assignment that it had, without
        a rebalance (KIP-345). Where that waits for partitions which it gave up unheard, nobody has
        them, for ever (librdkafka 2.16, cooperative-sticky; found with tests/faults). When its
        session has ended the group is balanced anew, and so once more when it joins.
        """
        self._too_late = False
        self._consumer.unsubscribe()
        self._subscribed = False
        self._away_until = self._monotonic() + self._session_s + _NOTICED_WITHIN_S

    def _records(self) -> list[Record]:
        """Return the records that were kept."""
        records = []
        for message in self._stash:
            at, offset = place_of(message, self._names)
            if message.error() is None:
                records.append(record_at(message, at))
            else:
                self._ends[at] = offset
        self._stash = []
        return [record for record in records if record.partition in self._begun]

    def changes(self) -> Changes:
        """Return partitions assigned and taken away since the last call."""
        changes = Changes(
            tuple(sorted(self._assigned)), tuple(sorted(self._revoked)), self._balanced
        )
        self._assigned, self._revoked, self._balanced = set(), set(), False
        return changes

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed]:
        """Return the group's committed offsets."""
        asked = [self._at(partition) for partition in partitions]
        try:
            found = self._consumer.committed(asked, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise translated(error_of(error), slot=self._slot) from error
        result = {}
        for at in found:
            if at.error is not None:
                raise translated(at.error, slot=self._slot)
            if at.offset >= 0:
                result[self._place(at)] = Committed(at.offset, at.metadata or "")
        return result

    def log_starts(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return the offset of the oldest record that each partition still holds."""
        try:
            return {
                partition: self._consumer.get_watermark_offsets(
                    self._at(partition), timeout=TIMEOUT_S
                )[0]
                for partition in partitions
            }
        except KafkaException as error:
            raise translated(error_of(error), slot=self._slot) from error

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        if self._held:
            raise AssertionError("begin while held: release first")
        if not self._cooperative and not self._begun <= positions.keys():
            raise AssertionError("an assignment that is replaced as a whole is begun as a whole")
        places = [self._at(partition, offset) for partition, offset in positions.items()]
        try:
            # Assigned anew instead of sought: a seek fails while a fetch is being set up, and this
            # also drops what was fetched already.
            if again := [self._at(p) for p in positions if self._cooperative and p in self._begun]:
                self._consumer.incremental_unassign(again)
            # A pause outlasts assignments, and the resume after it may have been lost.
            if paused := [self._at(p) for p in positions if p in self._paused]:
                self._consumer.resume(paused)
            if self._cooperative:
                self._consumer.incremental_assign(places)
            else:
                self._consumer.assign(places)
        except KafkaException as error:
            raise translated(error_of(error), slot=self._slot) from error
        self._stash = [m for m in self._stash if place_of(m, self._names)[0] not in positions]
        self._paused -= positions.keys()
        self._begun |= positions.keys()
        for partition in positions:
            self._ends.pop(partition, None)

    def lease(self) -> Lease:
        """Return a lease as of now."""
        return Lease(self._generation, self._consumer.consumer_group_metadata())

    def holds(self, lease: Lease) -> bool:
        """Return whether no rebalance came since the lease was given."""
        return lease.generation == self._generation

    def ends(self) -> Mapping[Partition, int]:
        """Return partitions that were read to their end, and that offset."""
        return {at: end for at, end in self._ends.items() if at in self._begun}

    def hold(self) -> None:
        """Deliver nothing until `release`."""
        self._held = True
        self._paused |= self._begun
        self._consumer.pause([self._at(partition) for partition in self._begun])

    def release(self) -> None:
        """Deliver again."""
        self._held = False
        self._consumer.resume([self._at(partition) for partition in self._begun])

    def close(self) -> None:
        """Leave; a static member keeps its partitions until it is back or its session ends."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._generation += 1
        self._balanced = True
        self._assigned |= {self._place(at) for at in partitions}
        # Nothing, so that librdkafka knows that we followed, and does not do it for us.
        if self._cooperative:
            consumer.incremental_assign([])
        else:
            consumer.assign([])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._generation += 1
        if self._cooperative:
            begun = [at for at in partitions if self._place(at) in self._begun]
            consumer.incremental_unassign(begun)
        else:
            consumer.unassign()
        for partition in map(self._place, partitions):
            self._assigned.discard(partition)
            self._begun.discard(partition)
            self._ends.pop(partition, None)
            self._revoked.add(partition)
        self._stash = [m for m in self._stash if place_of(m, self._names)[0] in self._begun]

    def _place(self, at: TopicPartition) -> Partition:
        return Partition(self._names.short(at.topic), at.partition)

    def _at(self, partition: Partition, offset: int | None = None) -> TopicPartition:
        full = self._names.full(partition.topic)
        if offset is None:
            return TopicPartition(full, partition.number)
        return TopicPartition(full, partition.number, offset)
