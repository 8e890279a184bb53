"""Partitions read from outside any group on librdkafka: the real `Log`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_errors import PERMANENT, error_of, settled, translated
from opstrail_runtime.kafka_source import place_of, record_at
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

TIMEOUT_S = 10.0
MOST_AT_ONCE = 5_000
SAMPLE_RECORDS = 200
SILENT_S = 60.0
POLL_S = 0.02  # consume() waits this long for its last message; partitions end quickly
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own code


def offsets_listed(
    admin: AdminClient,
    asked: Mapping[TopicPartition, OffsetSpec],
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> dict[TopicPartition, Any]:
    """Return offsets of partitions. Raises Unavailable; asked again it may know better.

    An answer may be no offset and no error either (it was below zero while one of three brokers
    was started again; found with tests/faults). Read from there, a log would look empty.
    """
    try:
        found: dict[TopicPartition, Any] = settled(
            admin.list_offsets(dict(asked), isolation_level=isolation, request_timeout=TIMEOUT_S)
        )
        unknown = [f"{at.topic}[{at.partition}]" for at, told in found.items() if told.offset < 0]
        if unknown:
            raise Unavailable("kafka", f"no offset known yet of {', '.join(sorted(unknown))}")
    except Unavailable:
        # The client keeps who led a partition, and how often that had changed, from before: once a
        # broker was started again it got FENCED_LEADER_EPOCH for ever (librdkafka 2.16, found with
        # tests/faults). Asking for the topics makes it learn.
        with suppress(KafkaException):
            admin.list_topics(timeout=TIMEOUT_S)
        raise
    return found


class KafkaLog:
    """Reads with a consumer of its own that has a group.id for form's sake and never commits.

    It is used for one partition after the other; what it still gives of another one is passed over.
    """

    def __init__(
        self,
        new_consumer: Callable[[], Consumer],
        admin: AdminClient,
        names: TopicNames,
    ) -> None:
        self._new_consumer = new_consumer
        self._admin = admin
        self._names = names
        self._positions: dict[Partition, int] = {}
        self._idle: list[tuple[Consumer, set[str]]] = []  # with the topics that each knows

    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        """Read to the end that is written now, counting open transactions."""
        first = self._offset(partition, EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        end = self._offset(partition, LATEST, IsolationLevel.READ_UNCOMMITTED)
        return self._read(partition, pulse, max(first, start or 0), end)

    def read_stable(self, partition: Partition, pulse: Pulse, *, start: int) -> Iterator[Record]:
        """Read to the last stable offset as of now."""
        end = self._offset(partition, LATEST, IsolationLevel.READ_COMMITTED)
        return self._read(partition, pulse, start, end)

    def position(self, partition: Partition) -> int:
        """Return the offset after the last record or control record that was read."""
        return self._positions.get(partition, 0)

    def read_tail(
        self, partition: Partition, pulse: Pulse, *, at_least_bytes: int, most_records: int
    ) -> Iterator[Record]:
        """Read the end of a partition, reaching back for as many bytes."""
        first = self._offset(partition, EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        end = self._offset(partition, LATEST, IsolationLevel.READ_UNCOMMITTED)
        reach = SAMPLE_RECORDS
        while True:
            start = max(first, end - min(reach, most_records))
            if start == first or reach >= most_records:
                return self._read(partition, pulse, start, end)
            sample = list(self._read(partition, pulse, start, end))
            size = sum(len(record.value or b"") for record in sample)
            if size >= at_least_bytes:
                return iter(sample)
            # As many as the bytes ask for at the mean size seen, and a quarter more.
            mean = max(1, size // max(1, len(sample)))
            reach = max(reach * 2, at_least_bytes * 5 // (4 * mean))

    def partition_count(self, topic: TopicName) -> int:
        """Return how many partitions a topic has."""
        full = self._names.full(topic)
        try:
            found = self._admin.list_topics(full, timeout=TIMEOUT_S).topics[full]
        except KafkaException as error:
            raise translated(error_of(error), slot="admin") from error
        if found.error is not None and found.error.code() in PERMANENT:
            raise translated(found.error, slot="admin")
        if found.error is not None or not found.partitions:
            raise Unavailable("kafka", f"there is no topic {full}; run `opstrail topics create`")
        return len(found.partitions)

    def _offset(self, partition: Partition, spec: OffsetSpec, isolation: IsolationLevel) -> int:
        at = TopicPartition(self._names.full(partition.topic), partition.number)
        answers = offsets_listed(self._admin, {at: spec}, isolation)
        offset: int = answers[at].offset
        return offset

    def _read(self, partition: Partition, pulse: Pulse, start: int, end: int) -> Iterator[Record]:
        self._positions[partition] = start
        if start >= end:
            return
        consumer, known = self._idle.pop() if self._idle else (self._new_consumer(), set())
        try:
            full = self._names.full(partition.topic)
            if full not in known:  # else the client learns of it one to three seconds later
                consumer.list_topics(full, timeout=TIMEOUT_S)
                known.add(full)
            consumer.assign([TopicPartition(full, partition.number, start)])
            silent_s = 0.0
            while self._positions[partition] < end:
                messages = consumer.consume(MOST_AT_ONCE, POLL_S)
                silent_s = 0.0 if messages else silent_s + POLL_S
                if silent_s > SILENT_S:
                    raise Unavailable("kafka", f"no answer for {SILENT_S:.0f} s")
                for message in messages:
                    error = message.error()
                    if error is None:
                        if message.partition() == partition.number and message.topic() == full:
                            record = record_at(message, partition)
                            self._positions[partition] = record.offset + 1
                            yield record
                    elif error.code() == _END:
                        # Past control records too, which no message shows.
                        at, end_read = place_of(message, self._names)
                        if at == partition:
                            self._positions[partition] = end_read
                    elif not error.retriable():
                        raise translated(error, slot="log")
                pulse.beat()
        except KafkaException as error:
            raise translated(error_of(error), slot="log") from error
        finally:
            consumer.unassign()
            self._idle.append((consumer, known))
