"""What every Source, Writer and Log promises: one suite for memory and for real Kafka."""

import time
import uuid
from collections.abc import Callable
from typing import Protocol

import pytest

from opstrail_runtime.errors import Fenced, OutcomeUnknown
from opstrail_runtime.log import Log
from opstrail_runtime.source import Batch, Committed, Source
from opstrail_runtime.stage import Output, Partition, Record
from opstrail_runtime.writer import Writer
from opstrail_schemas.topics import TopicName
from tests.support.memory_kafka import StillPulse

IN, OUT = TopicName.EVENTS_RAW, TopicName.EVENTS_ENRICHED
PATIENCE_S = 60.0


class Broker(Protocol):
    """A broker with our topics in a namespace of its own, two partitions each."""

    def source(self, group: str, slot: str) -> Source: ...

    def writer(self, slot: str) -> Writer: ...

    def log(self) -> Log: ...

    def shove(self, source: Source) -> None:
        """Let a rebalance happen, polling the source until it is over."""


def until(source: Source, enough: Callable[[list[Record]], bool]) -> list[Record]:
    """Poll, following assignments, until there is enough."""
    records: list[Record] = []
    give_up = time.monotonic() + PATIENCE_S
    while not enough(records):
        assert time.monotonic() < give_up, f"got {len(records)} records only"
        records += follow(source, source.poll(timeout_s=0.1, most_records=100)).records
    return records


def follow(source: Source, batch: Batch) -> Batch:
    """Begin what was assigned where the group's offsets say, else at the log's start."""
    assigned = source.changes().assigned
    if assigned:
        committed = source.committed(assigned)
        source.begin({p: committed[p].offset if p in committed else 0 for p in assigned})
    return batch


def joined(source: Source) -> Source:
    """Poll until both partitions are assigned and begun."""
    assigned: set[Partition] = set()
    give_up = time.monotonic() + PATIENCE_S
    while len(assigned) < 2:
        assert time.monotonic() < give_up, f"only {assigned} assigned"
        source.poll(timeout_s=0.1, most_records=1)
        new = source.changes().assigned
        if new:
            committed = source.committed(new)
            source.begin({p: committed[p].offset if p in committed else 0 for p in new})
            assigned |= set(new)
    return source


def outputs(*values: str, topic: TopicName = IN) -> list[Output]:
    return [Output(topic, value.encode(), value.encode()) for value in values]


def values(records: list[Record]) -> list[str]:
    return sorted((record.value or b"").decode() for record in records)


def everything(log: Log, topic: TopicName) -> list[Record]:
    return [r for n in range(2) for r in log.read(Partition(topic, n), StillPulse())]


class KafkaContract:
    """Subclasses give the fixture `broker`."""

    @pytest.fixture
    def slot(self) -> str:
        return f"test.{uuid.uuid4().hex[:8]}.0"

    @pytest.fixture
    def filled(self, broker: Broker, slot: str) -> list[str]:
        """Twenty committed messages in the input topic."""
        texts = [f"message-{number:02}" for number in range(20)]
        source = joined(broker.source("feeder", f"{slot}.feeder"))
        writer = broker.writer(f"{slot}.feeder")
        writer.commit(outputs(*texts), {}, source.lease())
        writer.close()
        source.close()
        return texts

    def test_records_come_once_each_with_key_value_and_rising_offsets(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        source = broker.source("group", slot)

        records = until(source, lambda got: len(got) >= 20)

        assert values(records) == filled
        assert all(record.key == record.value for record in records)
        for number in range(2):
            offsets = [r.offset for r in records if r.partition == Partition(IN, number)]
            assert offsets == sorted(offsets)
        source.close()

    def test_outputs_and_offsets_move_together_and_a_successor_goes_on_behind_them(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        first = broker.source("group", slot)
        batch = Batch((), first.lease())
        while not batch.records:
            batch = follow(first, first.poll(timeout_s=0.1, most_records=5))
        done = {r.partition: Committed(r.offset + 1, "running aside=0") for r in batch.records}
        writer = broker.writer(slot)
        writer.commit(
            [Output(OUT, r.key or b"", r.value) for r in batch.records], done, batch.lease
        )
        first.close()
        writer.close()

        second = joined(broker.source("group", slot))

        assert dict(second.committed(list(done))) == done
        rest = 20 - len(batch.records)
        records = until(second, lambda got: len(got) >= rest)
        assert sorted(values(records) + values(list(batch.records))) == filled
        assert values(everything(broker.log(), OUT)) == values(list(batch.records))
        second.close()

    def test_a_tombstone_comes_as_a_record_without_value(self, broker: Broker, slot: str) -> None:
        source = joined(broker.source("group", slot))
        broker.writer(slot).commit([Output(IN, b"key", None)], {}, source.lease())

        (record,) = until(source, lambda got: len(got) >= 1)

        assert record.value is None
        assert record.key == b"key"
        source.close()

    def test_begin_rewinds(self, broker: Broker, slot: str, filled: list[str]) -> None:
        source = broker.source("group", slot)
        until(source, lambda got: len(got) >= 20)

        source.begin({Partition(IN, 0): 0, Partition(IN, 1): 0})

        assert values(until(source, lambda got: len(got) >= 20)) == filled
        source.close()

    def test_nothing_is_delivered_while_held_and_nothing_is_lost_by_it(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        source = joined(broker.source("group", slot))

        source.hold()
        held = [source.poll(timeout_s=0.05, most_records=100).records for _ in range(10)]
        source.release()

        assert all(not records for records in held)
        assert values(until(source, lambda got: len(got) >= 20)) == filled
        source.close()

    def test_the_end_of_a_partition_is_past_its_last_record(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        source = broker.source("group", slot)
        records = until(source, lambda got: len(got) >= 20)
        last = {
            p: max(r.offset for r in records if r.partition == p)
            for p in {r.partition for r in records}
        }
        give_up = time.monotonic() + PATIENCE_S
        while any(source.ends().get(p, -1) <= offset for p, offset in last.items()):
            assert time.monotonic() < give_up, f"{source.ends()} against {last}"
            source.poll(timeout_s=0.1, most_records=100)
        source.close()

    def test_a_lease_from_before_a_rebalance_does_not_hold(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        source = joined(broker.source("group", slot))
        lease = source.lease()

        broker.shove(source)

        assert not source.holds(lease)
        source.close()

    def test_offsets_with_older_group_metadata_are_refused_and_leave_nothing(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        source = joined(broker.source("group", slot))
        old = source.lease()
        broker.shove(source)
        writer = broker.writer(slot)

        with pytest.raises(OutcomeUnknown):
            writer.commit(outputs("x", topic=OUT), {Partition(IN, 0): Committed(1)}, old)

        writer.commit(outputs("y", topic=OUT), {}, source.lease())
        assert values(everything(broker.log(), OUT)) == ["y"]
        assert Partition(IN, 0) not in source.committed([Partition(IN, 0)])
        source.close()

    def test_a_second_writer_of_a_slot_fences_the_first(self, broker: Broker, slot: str) -> None:
        source = joined(broker.source("group", slot))
        first, second = broker.writer(slot), broker.writer(slot)
        first.commit(outputs("a", topic=OUT), {}, source.lease())
        second.commit(outputs("b", topic=OUT), {}, source.lease())

        with pytest.raises(Fenced, match=slot):
            first.commit(outputs("c", topic=OUT), {}, source.lease())

        assert values(everything(broker.log(), OUT)) == ["a", "b"]
        source.close()

    def test_a_log_is_read_to_its_end_and_from_any_offset(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        log = broker.log()
        whole = everything(log, IN)

        assert values(whole) == filled
        for number in range(2):
            at = Partition(IN, number)
            mine = [r for r in whole if r.partition == at]
            assert list(log.read(at, StillPulse(), start=mine[-1].offset)) == mine[-1:]
            assert log.position(at) > mine[-1].offset
            assert list(log.read_stable(at, StillPulse(), start=log.position(at))) == []

    def test_the_tail_of_a_log_holds_at_least_the_bytes_asked_for(
        self, broker: Broker, slot: str, filled: list[str]
    ) -> None:
        whole = [r for r in everything(broker.log(), IN) if r.partition == Partition(IN, 0)]

        tail = list(
            broker.log().read_tail(
                Partition(IN, 0), StillPulse(), at_least_bytes=30, most_records=1_000
            )
        )

        assert tail == whole[-len(tail) :]
        assert sum(len(r.value or b"") for r in tail) >= min(
            30, sum(len(r.value or b"") for r in whole)
        )

    def test_partition_counts_are_known(self, broker: Broker) -> None:
        assert broker.log().partition_count(IN) == 2
