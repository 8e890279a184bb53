"""The stage on a broker in memory: what goes in, what comes out, what is remembered."""

import random

import pytest

from opstrail_enrich.wiring import check_partitions
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_topics import UnequalPartitions
from opstrail_runtime.loop import Limits, Loop
from opstrail_runtime.stage import Commit, Partition, Record
from opstrail_runtime.telemetry import RECORDS_ALREADY_THERE, RECORDS_DEAD, RECORDS_IN, RECORDS_OUT
from opstrail_schemas.messages import Account, DeadLetter, EnrichedEvent
from opstrail_schemas.topics import TopicName
from tests.support.enriching import (
    ACCOUNT,
    DEAD_LETTER,
    ENRICHED,
    INSTANCE,
    PARTITIONS,
    RAW,
    STACK,
    T0,
    Bench,
    child_belongs,
    opsworks_event,
    raw_event,
    stack_defined,
)
from tests.support.memory_kafka import (
    MemoryKafka,
    MemoryLog,
    MemorySource,
    MemoryWriter,
    StillPulse,
)

ALL = [
    Partition(topic, number)
    for topic in (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD)
    for number in range(PARTITIONS)
]


class Running:
    """A stage that was restored, fed with what is on its input topics."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.stage = bench.stage()
        self.stage.restore(ALL, StillPulse())
        self.done = 0

    def plan(self) -> list[Commit]:
        records = self.bench.kafka.messages(TopicName.EVENTS_RAW)
        records += self.bench.kafka.messages(TopicName.EVENTS_REREAD)
        return list(self.stage.work(records, StillPulse()))

    def run(self) -> None:
        for commit in self.plan():
            self.bench.apply(commit)
        for topic in (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD):
            for partition in ALL:
                if partition.topic == topic:
                    self.bench.kafka.logs[partition] = []

    def out(self, topic: TopicName = TopicName.EVENTS_ENRICHED) -> list[EnrichedEvent]:
        return self.bench.values(topic, ENRICHED)  # type: ignore[return-value]

    def dead(self) -> list[DeadLetter]:
        return self.bench.values(TopicName.DEAD_LETTERS, DEAD_LETTER)  # type: ignore[return-value]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_event_comes_out_unchanged_with_its_enrichment_behind_it(bench: Bench) -> None:
    event = raw_event()
    bench.put(event)
    running = Running(bench)

    running.run()

    [record] = bench.kafka.messages(TopicName.EVENTS_ENRICHED)
    [enriched] = running.out()
    assert event == enriched.event
    assert "alice" == enriched.enrichment.caller.name
    assert f"{ACCOUNT}/e-1".encode() == record.key
    assert (record.value or b"")[5:].startswith(RAW.encode(event)[5:])


def test_a_repeat_is_dropped_within_a_transaction_and_over_them(bench: Bench) -> None:
    running = Running(bench)
    for _ in range(2):
        bench.put(raw_event())
        bench.put(raw_event())
        running.run()

    assert 1 == len(running.out())
    assert [] == running.dead()


def test_other_content_under_one_identity_is_a_dead_letter(bench: Bench) -> None:
    running = Running(bench)
    bench.put(raw_event())
    bench.put(raw_event(eventName="RunInstances"))
    running.run()
    bench.put(raw_event(eventName="StopInstances"))
    running.run()

    assert ["DescribeInstances"] == [e.event.event_name for e in running.out()]
    first, second = running.dead()
    assert ("id-conflict", "eventID", "e-1", ACCOUNT, 3) == (
        first.reason,
        first.field,
        first.event_id,
        first.account_id,
        first.record_index,
    )
    assert "RunInstances" in (first.text or "")
    assert "b/k.json.gz" in first.message
    assert "StopInstances" in (second.text or "")


def test_the_window_learns_nothing_from_an_abort(bench: Bench) -> None:
    running = Running(bench)
    bench.put(raw_event())
    running.plan()  # and no commit

    running.run()

    assert 1 == len(running.out())


def test_the_window_is_restored_from_what_was_passed_on(bench: Bench) -> None:
    bench.put(raw_event())
    Running(bench).run()
    bench.kafka.append(TopicName.EVENTS_ENRICHED, f"{ACCOUNT}/e-1".encode(), b"garbage")

    successor = Running(bench)
    bench.put(raw_event())
    bench.put(raw_event(event_id="e-2"))
    successor.run()

    assert {"e-1", "e-2"} == {
        ENRICHED.decode(r.value or b"").event.event_id
        for r in bench.kafka.messages(TopicName.EVENTS_ENRICHED)
        if r.value != b"garbage"
    }
    assert 3 == len(bench.kafka.messages(TopicName.EVENTS_ENRICHED))


def test_the_window_of_a_partition_goes_with_it(bench: Bench) -> None:
    running = Running(bench)
    bench.put(raw_event())
    running.run()

    running.stage.forget(ALL)

    assert 0 == len(running.stage.window)


def test_a_reread_is_answered_elsewhere_and_leaves_the_window_alone(bench: Bench) -> None:
    running = Running(bench)
    bench.put(raw_event())
    running.run()
    bench.put(raw_event(), TopicName.EVENTS_REREAD)
    bench.put(raw_event(event_id="e-2"), TopicName.EVENTS_REREAD)
    running.run()
    bench.put(raw_event(event_id="e-2"))
    running.run()

    assert {"e-1", "e-2"} == {e.event.event_id for e in running.out(TopicName.EVENTS_REPAIRED)}
    assert {"e-1", "e-2"} == {e.event.event_id for e in running.out()}


@pytest.mark.parametrize("value", [b"random", b"", b"\0\0\0\0\x63abc", b"\0\0\0\0\x01\xff", None])
def test_a_message_that_is_none_of_ours_is_a_dead_letter_with_its_address(
    bench: Bench, value: bytes | None
) -> None:
    record = bench.kafka.append(TopicName.EVENTS_RAW, b"key", value)
    bench.put(raw_event())
    running = Running(bench)

    running.run()

    [letter] = running.dead()
    assert ("opstrail.events.raw.v1", record.partition.number, record.offset) == (
        letter.topic,
        letter.partition,
        letter.offset,
    )
    assert ("tombstone" if value is None else "undecodable") == letter.reason
    assert 1 == len(running.out())


def test_a_message_without_key_gets_the_event_s(bench: Bench) -> None:
    running = Running(bench)
    record = Record(Partition(TopicName.EVENTS_RAW, 0), 0, None, RAW.encode(raw_event()), 0)

    [commit] = running.stage.work([record], StillPulse())

    assert [f"{ACCOUNT}/e-1".encode()] == [output.key for output in commit.outputs]


def test_newer_facts_are_read_before_each_batch(bench: Bench) -> None:
    bench.know(stack_defined(name="shop-prod"))
    running = Running(bench)
    bench.put(opsworks_event("StopInstance", {"instanceId": INSTANCE}, event_id="e-1"))
    running.run()
    bench.know(child_belongs("instance", INSTANCE, region=None))
    bench.know(Account(account_id=ACCOUNT, name="prod", source="file"))
    bench.put(opsworks_event("StopInstance", {"instanceId": INSTANCE}, event_id="e-2"))
    running.run()

    before, after = sorted(running.out(), key=lambda e: e.event.event_id)
    assert before.enrichment.stack is not None
    assert after.enrichment.stack is not None
    assert (None, STACK) == (before.enrichment.stack.id, after.enrichment.stack.id)
    assert "shop-prod" == after.enrichment.stack.name
    assert [(1, 0), (2, 1)] == [
        (e.enrichment.stack_facts_offset, e.enrichment.accounts_offset) for e in (before, after)
    ]
    assert before.enrichment.version < after.enrichment.version


def test_facts_of_an_unknown_version_and_what_is_none_are_ignored(bench: Bench) -> None:
    bench.know(Account(account_id=ACCOUNT, name="future", fact_version=2, source="file"))
    bench.kafka.append(TopicName.ACCOUNTS, b"k", b"garbage")
    bench.kafka.append(TopicName.ACCOUNTS, b"k", None)
    bench.know(Account(account_id=ACCOUNT, name="prod", source="file"))

    running = Running(bench)

    assert 1 == len(running.stage.facts.catalogs.accounts.facts)
    assert 4 == running.stage.facts.catalogs.accounts_offset


def test_facts_are_read_whole_only_once(bench: Bench) -> None:
    running = Running(bench)
    bench.know(Account(account_id=ACCOUNT, name="prod", source="file"))

    running.stage.restore(ALL[:1], StillPulse())

    assert 0 == len(running.stage.facts.catalogs.accounts.facts)


def test_while_kafka_is_away_nothing_is_lost(bench: Bench) -> None:
    running = Running(bench)
    bench.put(raw_event())
    bench.kafka.away = True
    with pytest.raises(Unavailable):
        running.plan()
    bench.kafka.away = False

    running.run()

    assert 1 == len(running.out())


def test_a_transaction_is_bounded_and_offsets_cover_what_it_holds(bench: Bench) -> None:
    bench.transaction_bytes = 1
    for number in range(3):
        bench.put(raw_event(event_id=f"e-{number}"))
    running = Running(bench)

    commits = running.plan()

    assert [1, 1, 1] == [len(commit.outputs) for commit in commits]
    assert {
        partition: len(log)
        for partition, log in bench.kafka.logs.items()
        if partition.topic == TopicName.EVENTS_RAW
    } == {partition: at for commit in commits for partition, at in commit.offsets.items()}


def test_what_killed_the_process_is_set_aside(bench: Bench) -> None:
    running = Running(bench)
    record = Record(Partition(TopicName.EVENTS_RAW, 1), 41, b"k", b"v", 0)

    commit = running.stage.set_aside(record)
    bench.apply(commit)

    [letter] = running.dead()
    assert ("crashed", 1, 41) == (letter.reason, letter.partition, letter.offset)
    assert {record.partition: 42} == commit.offsets
    assert T0 == letter.failed_at


def test_setting_aside_keeps_no_fact_of_an_attempt_that_was_not_committed(bench: Bench) -> None:
    running = Running(bench)
    bench.put(opsworks_event("UpdateStack", {"stackId": STACK, "name": "shop"}))
    records = bench.kafka.messages(TopicName.EVENTS_RAW)
    next(iter(running.stage.work(records, StillPulse())))  # and its commit never comes

    crashed = Record(Partition(TopicName.EVENTS_RAW, 1), 41, b"k", b"v", 0)
    bench.apply(running.stage.set_aside(crashed))
    running.run()

    assert [] != bench.kafka.messages(TopicName.STACK_FACTS)


def test_counts_reconcile(bench: Bench) -> None:
    def counted() -> list[float]:
        return [
            RECORDS_IN.labels("enrich")._value.get(),
            RECORDS_OUT.labels("enrich")._value.get(),
            RECORDS_ALREADY_THERE.labels("enrich")._value.get(),
            RECORDS_DEAD.labels("enrich", "undecodable")._value.get(),
        ]

    before = counted()
    running = Running(bench)
    for event in (raw_event(), raw_event(), raw_event(event_id="e-2")):
        bench.put(event)
    bench.kafka.append(TopicName.EVENTS_RAW, b"k", b"random")

    running.run()

    assert [4, 2, 1, 1] == [now - then for now, then in zip(counted(), before, strict=True)]


def test_topics_of_events_must_have_equal_partitions() -> None:
    counts = dict.fromkeys(TopicName, 3)
    check_partitions(MemoryLog(MemoryKafka(counts)))

    with pytest.raises(UnequalPartitions):
        check_partitions(MemoryLog(MemoryKafka({**counts, TopicName.EVENTS_REREAD: 2})))


def test_in_the_loop_each_event_comes_out_once_whatever_partitions_do(bench: Bench) -> None:
    for number in range(20):
        bench.put(raw_event(event_id=f"e-{number}"))
        bench.put(raw_event(event_id=f"e-{number}"))
    source = MemorySource(bench.kafka, "enrich", [TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD])
    loop = Loop(
        name="enrich",
        stage=bench.stage(),
        source=source,
        writer=MemoryWriter(bench.kafka, "slot"),
        limits=Limits(most_records=7),
        backoff=Backoff(first_s=1, longest_s=1, rng=random.Random(1)),
        monotonic=lambda: 0.0,
        stopping=lambda: False,
    )
    for step in range(30):
        loop.step()
        if step in (3, 5):
            source.rebalance(revoked=ALL, assigned=ALL)

    enriched = bench.kafka.messages(TopicName.EVENTS_ENRICHED)

    assert sorted(f"e-{n}" for n in range(20)) == sorted(
        ENRICHED.decode(record.value or b"").event.event_id for record in enriched
    )
