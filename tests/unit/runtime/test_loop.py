"""The loop on the in-memory broker: order of effects, faults, crash loops."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import LeaseLost, OutcomeUnknown, Unavailable
from opstrail_runtime.loop import Limits, Loop, OffsetsMissing, OurBug
from opstrail_runtime.memory import MemoryKafka, MemorySource, MemoryWriter
from opstrail_runtime.source import Committed
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_schemas.topics import TopicName

IN, OUT = TopicName.EVENTS_RAW, TopicName.EVENTS_ENRICHED


class Copying:
    """A stage that copies values; `act` may raise for a record, as an outage or a crash would."""

    def __init__(self, act: Callable[[Record], None] = lambda _: None) -> None:
        self.act = act
        self.held: set[Partition] = set()
        self.committed: list[bytes | None] = []
        self.seen: list[list[bytes | None]] = []

    def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
        self.held |= set(partitions)

    def forget(self, partitions: Sequence[Partition]) -> None:
        self.held -= set(partitions)

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        assert {record.partition for record in records} <= self.held
        self.seen.append([record.value for record in records])
        for record in records:
            self.act(record)
        yield Commit(
            [Output(OUT, record.key or b"", record.value) for record in records],
            offsets_after(records),
            lambda: self.committed.extend(record.value for record in records),
        )

    def set_aside(self, record: Record) -> Commit:
        return Commit(
            [Output(TopicName.DEAD_LETTERS, record.key or b"", record.value)],
            offsets_after([record]),
        )


def offsets_after(records: Sequence[Record]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}


def a_broker(*values: bytes, partitions: int = 1) -> MemoryKafka:
    kafka = MemoryKafka({IN: partitions, OUT: 1, TopicName.DEAD_LETTERS: 1})
    for value in values:
        kafka.append(IN, value, value)
    return kafka


def a_loop(kafka: MemoryKafka, stage: Copying, **limits: object) -> Loop:
    seconds = iter(range(10**9))
    return Loop(
        name="test",
        stage=stage,
        source=MemorySource(kafka, "group", [IN]),
        writer=MemoryWriter(kafka, "slot"),
        limits=Limits(**limits),  # type: ignore[arg-type]
        backoff=Backoff(first_s=1, longest_s=5, rng=random.Random(1)),
        monotonic=lambda: float(next(seconds)),
        stopping=lambda: False,
    )


def values(kafka: MemoryKafka, topic: TopicName = OUT) -> list[bytes | None]:
    return [record.value for record in kafka.messages(topic)]


def steps(loop: Loop, number: int = 12) -> None:
    for _ in range(number):
        loop.step()


def committed(kafka: MemoryKafka) -> Committed:
    return kafka.offsets[("group", Partition(IN, 0))]


def test_every_record_is_copied_once_and_its_offset_committed_with_it() -> None:
    kafka = a_broker(b"a", b"b", b"c")
    stage = Copying()

    steps(a_loop(kafka, stage))

    assert values(kafka) == [b"a", b"b", b"c"]
    assert stage.committed == [b"a", b"b", b"c"]
    assert committed(kafka).offset == 3


def test_state_is_restored_before_the_first_record_and_dropped_when_a_partition_goes() -> None:
    kafka = a_broker(b"a")
    stage = Copying()
    loop = a_loop(kafka, stage)
    steps(loop)

    loop.source.rebalance(revoked=[Partition(IN, 0)])  # type: ignore[attr-defined]
    steps(loop)

    assert stage.held == set()


def test_an_outage_is_waited_out_and_the_same_records_come_again() -> None:
    kafka = a_broker(b"a", b"b")
    outages = iter([True, True, False])

    def away(record: Record) -> None:
        if record.value == b"a" and next(outages, False):
            raise Unavailable("opensearch", "503")

    stage = Copying(away)
    steps(a_loop(kafka, stage))

    assert stage.seen == [[b"a", b"b"]] * 3
    assert values(kafka) == [b"a", b"b"]


def test_what_a_stage_committed_before_an_outage_is_not_done_again() -> None:
    kafka = a_broker(b"a", b"b")
    fail = iter([True])

    class OneByOne(Copying):
        def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
            for record in records:
                yield from Copying.work(self, [record], pulse)
                if next(fail, False):
                    raise Unavailable("s3", "reset")

    stage = OneByOne()
    steps(a_loop(kafka, stage))

    assert values(kafka) == [b"a", b"b"]


def test_a_rebalance_before_the_commit_leaves_no_trace() -> None:
    kafka = a_broker(b"a")
    loop: Loop

    def rebalance_once(record: Record) -> None:
        if not moved:
            moved.append(record)
            loop.source.rebalance()  # type: ignore[attr-defined]
            loop.wait(5, why="something slow")

    moved: list[Record] = []
    stage = Copying(rebalance_once)
    loop = a_loop(kafka, stage)
    steps(loop)

    assert stage.seen == [[b"a"], [b"a"]]
    assert values(kafka) == [b"a"]


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_of_unknown_outcome_is_settled_by_the_committed_offsets(applied: bool) -> None:
    kafka = a_broker(b"a", b"b")
    stage = Copying()
    loop = a_loop(kafka, stage)
    real = loop.writer.commit
    lost = iter([False, True])  # the mark of the assignment gets through

    def commit(*args: Any) -> None:
        if next(lost, False):
            if applied:
                real(*args)
            raise OutcomeUnknown("the reply was lost")
        real(*args)

    loop.writer.commit = commit  # type: ignore[method-assign,assignment]
    steps(loop)

    assert values(kafka) == [b"a", b"b"]


def test_a_partition_without_committed_offset_begins_at_0_only() -> None:
    kafka = a_broker(b"a")
    loop = a_loop(kafka, Copying())
    loop.source.log_starts = lambda partitions: dict.fromkeys(partitions, 7)  # type: ignore[method-assign]

    with pytest.raises(OffsetsMissing, match=r"offsets 0 to 6 are gone.*--from-earliest"):
        loop.step()


def test_from_earliest_begins_where_the_log_does() -> None:
    kafka = a_broker(b"a", b"b")
    loop = a_loop(kafka, Copying(), from_earliest=True)
    loop.source.log_starts = lambda partitions: dict.fromkeys(partitions, 1)  # type: ignore[method-assign]

    steps(loop)

    assert values(kafka) == [b"b"]


def test_control_records_at_the_end_of_a_partition_are_committed_too() -> None:
    kafka = a_broker(b"a")
    loop = a_loop(kafka, Copying())
    loop.source.ends = lambda: {Partition(IN, 0): 2}  # type: ignore[method-assign]

    steps(loop)

    assert committed(kafka).offset == 2


class Killed(BaseException):
    """The process dies."""


def run_until_it_lives(kafka: MemoryKafka, stage: Copying, *, most_deaths: int) -> int:
    """Start a process again and again, as a supervisor does; return how often it died."""
    for deaths in range(most_deaths + 1):
        try:
            steps(a_loop(kafka, stage), 40)
        except Killed:
            continue
        return deaths
    raise AssertionError(f"still dying after {most_deaths} deaths")


def kills(*poison: bytes) -> Callable[[Record], None]:
    def act(record: Record) -> None:
        if record.value in poison:
            raise Killed

    return act


def test_an_input_that_kills_is_set_aside_after_three_deaths_alone_and_its_neighbours_pass() -> (
    None
):
    kafka = a_broker(b"poison", b"a", b"b")

    deaths = run_until_it_lives(kafka, Copying(kills(b"poison")), most_deaths=10)

    assert deaths == 4  # one in a full batch, three alone
    assert values(kafka) == [b"a", b"b"]
    assert values(kafka, TopicName.DEAD_LETTERS) == [b"poison"]


def test_a_killer_deep_in_a_batch_is_found_in_few_deaths() -> None:
    good = [b"%d" % number for number in range(600)]
    kafka = a_broker(*good[:300], b"poison", *good[300:])

    deaths = run_until_it_lives(kafka, Copying(kills(b"poison")), most_deaths=20)

    assert deaths == 7  # halves of eighths: 512, 64, 8 at a time, then alone
    assert values(kafka) == good
    assert values(kafka, TopicName.DEAD_LETTERS) == [b"poison"]


def test_random_deaths_set_nothing_aside() -> None:
    good = [b"%d" % number for number in range(200)]
    kafka = a_broker(*good)
    chance = random.Random(7)

    def die_now_and_then(_: Record) -> None:
        if chance.random() < 0.02:
            raise Killed

    run_until_it_lives(kafka, Copying(die_now_and_then), most_deaths=500)

    assert values(kafka, TopicName.DEAD_LETTERS) == []
    assert values(kafka) == good


def test_five_inputs_set_aside_in_a_row_are_our_bug() -> None:
    kafka = a_broker(*[b"%d" % number for number in range(9)])
    always = Copying(kills(*[b"%d" % number for number in range(9)]))

    with pytest.raises(OurBug, match="5 inputs in a row"):
        run_until_it_lives(kafka, always, most_deaths=60)

    assert len(values(kafka, TopicName.DEAD_LETTERS)) == 5
    with pytest.raises(OurBug):
        a_loop(kafka, always).step()


def test_a_clean_stop_clears_the_marks() -> None:
    kafka = a_broker(b"a")
    loop = a_loop(kafka, Copying())
    asked = iter([False] * 6)
    loop.stopping = lambda: next(asked, True)

    loop.run()

    assert committed(kafka) == Committed(1, "")


def test_a_lost_lease_in_work_rewinds() -> None:
    kafka = a_broker(b"a", b"b")
    once = iter([True])

    def lose(_: Record) -> None:
        if next(once, False):
            raise LeaseLost("gone")

    stage = Copying(lose)
    steps(a_loop(kafka, stage))

    assert values(kafka) == [b"a", b"b"]
