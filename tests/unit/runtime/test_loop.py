"""The loop on the in-memory broker: order of effects, faults, crash loops."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.crash_marks import mark_of
from opstrail_runtime.errors import LeaseLost, OutcomeUnknown, Refused, Unavailable
from opstrail_runtime.loop import Limits, Loop, OffsetsMissing, OurBug, TooManyRefused
from opstrail_runtime.source import Batch, Committed, Lease
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_schemas.topics import TopicName
from tests.support.memory_kafka import MemoryKafka, MemorySource, MemoryWriter

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


def test_it_is_ready_once_the_state_of_its_share_is_restored_and_not_before() -> None:
    at_restore: list[bool] = []

    class Looking(Copying):
        def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
            at_restore.append(loop.ready)
            super().restore(partitions, pulse)

    loop = a_loop(a_broker(b"a"), Looking())
    before = loop.ready
    steps(loop)

    assert ([False], False, True) == (at_restore, before, loop.ready)


def test_a_spare_member_that_the_group_has_nothing_for_is_ready() -> None:
    """Else a rolling update of more pods than partitions would wait for it for ever."""
    loop = a_loop(a_broker(partitions=0), Copying())

    steps(loop, 1)

    assert loop.ready


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


def test_records_that_were_lost_before_they_were_read_are_named() -> None:
    kafka = a_broker(b"a", b"b", b"c")
    kafka.offsets[("group", Partition(IN, 0))] = Committed(1)
    loop = a_loop(kafka, Copying())
    loop.source.log_starts = lambda partitions: dict.fromkeys(partitions, 2)  # type: ignore[method-assign]

    with pytest.raises(OffsetsMissing, match=r"1 is committed.*offsets 1 to 1 are gone"):
        loop.step()


def test_cleared_crash_marks_let_a_mended_service_go_on() -> None:
    kafka = a_broker(b"a")
    kafka.offsets[("group", Partition(IN, 0))] = Committed(0, "running aside=5")

    steps(a_loop(kafka, Copying(), clear_crash_marks=True))

    assert values(kafka) == [b"a"]


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


def test_an_outage_outside_of_work_is_waited_out_too() -> None:
    kafka = a_broker(b"a", b"b")
    loop = a_loop(kafka, Copying())
    real = loop.source.poll
    polls = iter([False, False, True])

    def poll(**how: float) -> Batch:
        batch = real(**how)  # type: ignore[arg-type]
        if next(polls, False):
            raise Unavailable("kafka", "what came with this poll is lost")
        return batch

    loop.source.poll = poll  # type: ignore[method-assign]
    steps(loop)

    assert values(kafka) == [b"a", b"b"]


def test_kafka_away_while_a_mark_is_written_does_not_end_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = a_broker(b"poison", b"a")
    died = Copying(kills(b"poison"))
    with pytest.raises(Killed):
        steps(a_loop(kafka, died))
    loop = a_loop(kafka, Copying())
    real = loop.writer.commit
    away = iter([True, True])

    def commit(*args: object) -> None:
        if next(away, False):
            raise Unavailable("kafka", "no transaction can begin")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.writer, "commit", commit)
    steps(loop)

    assert values(kafka) == [b"poison", b"a"]


def test_a_partition_that_goes_while_its_state_is_waited_for_is_not_begun() -> None:
    kafka = a_broker(partitions=2)
    gone, stays = Partition(IN, 0), Partition(IN, 1)
    restored: list[list[Partition]] = []

    class Away(Copying):
        def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
            restored.append(list(partitions))
            if len(restored) == 1:
                loop.source.rebalance(revoked=[gone])  # type: ignore[attr-defined]
                raise Unavailable("kafka", "the ledger cannot be read")

    loop = a_loop(kafka, Away())
    loop.backoff = Backoff(first_s=20, longest_s=20, rng=random.Random(1))
    steps(loop)

    assert restored == [[gone, stays], [stays]]
    assert ("group", gone) not in kafka.offsets


def test_a_stop_while_a_commit_is_in_doubt_does_not_take_offsets_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = a_broker(b"a", b"b")
    asked: list[bool] = []

    class NotAgain(Copying):
        def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
            super().restore(partitions, pulse)
            if asked:
                raise Unavailable("kafka", "the ledger cannot be read")

    loop = a_loop(kafka, NotAgain())
    loop.stopping = lambda: bool(asked)
    real = loop.writer.commit

    def commit(
        outputs: Sequence[Output], offsets: Mapping[Partition, Committed], at: Lease
    ) -> None:
        real(outputs, offsets, at)
        if outputs and not asked:
            asked.append(True)
            raise OutcomeUnknown("it is committed, but the reply was lost")

    monkeypatch.setattr(loop.writer, "commit", commit)
    loop.run()

    assert committed(kafka).offset == 2


def test_a_transaction_that_was_left_open_is_ended_before_state_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = a_broker(b"a")
    order: list[str] = []

    class Telling(Copying):
        def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
            super().restore(partitions, pulse)
            order.append("restore")

    loop = a_loop(kafka, Telling())
    real = loop.writer.commit
    lost = [True]

    def commit(
        outputs: Sequence[Output], offsets: Mapping[Partition, Committed], at: Lease
    ) -> None:
        if outputs and lost:
            lost.clear()
            raise OutcomeUnknown("the reply was lost")
        order.append("commit" if outputs or offsets else "empty")
        real(outputs, offsets, at)

    monkeypatch.setattr(loop.writer, "commit", commit)
    steps(loop)

    assert order == ["empty", "restore", "commit", "empty", "restore", "commit"]


def test_a_refusal_is_blamed_on_no_input_however_often_the_process_is_started() -> None:
    kafka = a_broker(b"a", b"b")

    def refuse(_: Record) -> None:
        raise Refused("403: no right to write")

    for _ in range(8):
        with pytest.raises(Refused):
            a_loop(kafka, Copying(refuse)).run()
        assert committed(kafka) == Committed(0, "")
    steps(a_loop(kafka, Copying()))

    assert values(kafka, TopicName.DEAD_LETTERS) == []
    assert values(kafka) == [b"a", b"b"]


def test_a_file_whose_chunks_get_through_is_not_set_aside_by_deaths_between_them() -> None:
    kafka = a_broker(b"large")
    chunks: list[int] = []

    class Chunks(Copying):
        """Commits one chunk a life, then dies, until eight are done."""

        def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
            while len(chunks) < 8:
                yield Commit(
                    [Output(OUT, b"large", b"%d" % len(chunks))],
                    after=lambda: chunks.append(len(chunks)),
                )
                raise Killed
            yield Commit(offsets=offsets_after(records))

    deaths = run_until_it_lives(kafka, Chunks(), most_deaths=20)

    assert deaths == 8
    assert values(kafka) == [b"%d" % number for number in range(8)]
    assert values(kafka, TopicName.DEAD_LETTERS) == []
    assert not mark_of(committed(kafka).metadata).deaths


class InParts(Copying):
    """A stage that commits half of each record's outputs before its offset moves."""

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        for record in records:
            yield Commit([Output(OUT, record.key or b"", b"half")])
            yield Commit([Output(OUT, record.key or b"", b"rest")], offsets_after([record]))


def test_a_part_of_an_input_is_committed_with_the_offset_where_it_stands() -> None:
    kafka = a_broker(b"a")
    loop = a_loop(kafka, InParts())
    given: list[dict[Partition, int]] = []
    commit = loop.writer.commit

    def noting(
        outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        if outputs:
            given.append({partition: at.offset for partition, at in offsets.items()})
        commit(outputs, offsets, lease)

    loop.writer.commit = noting  # type: ignore[method-assign]
    steps(loop)

    assert given == [{Partition(IN, 0): 0}, {Partition(IN, 0): 1}]


def test_a_part_of_an_input_whose_partition_is_anothers_now_is_not_written() -> None:
    kafka = a_broker(b"a")

    class Stalled(InParts):
        def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
            for commit in super().work(records, pulse):
                kafka.generations["group"] += 1  # a rebalance that this process does not know of
                yield commit

    a_loop(kafka, Stalled()).step()
    loop = a_loop(kafka, Stalled())
    steps(loop, 3)

    assert values(kafka) == []


class Refusing(Copying):
    """A stage that refuses values that begin with `bad`, one commit a record."""

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        for record in records:
            bad = (record.value or b"").startswith(b"bad")
            name = TopicName.DEAD_LETTERS if bad else OUT
            yield Commit(
                [Output(name, record.key or b"", record.value)],
                offsets_after([record]),
                refused={record.partition: int(bad)},
            )


class TestTooManyRefused:
    def test_inputs_in_a_row_that_are_dead_letters_stop_the_service(self) -> None:
        kafka = a_broker(b"bad-1", b"bad-2", b"bad-3", b"sound")

        with pytest.raises(TooManyRefused, match="2 inputs in a row"):
            a_loop(kafka, Refusing(), most_refused=2).run()

        assert values(kafka, TopicName.DEAD_LETTERS) == [b"bad-1", b"bad-2"]
        assert committed(kafka).offset == 2

    def test_the_next_process_stops_at_once(self) -> None:
        kafka = a_broker(b"bad-1", b"bad-2", b"sound")
        for _ in range(2):
            with pytest.raises(TooManyRefused):
                a_loop(kafka, Refusing(), most_refused=2).run()

        assert values(kafka) == []

    def test_it_goes_on_once_somebody_says_so(self) -> None:
        kafka = a_broker(b"bad-1", b"bad-2", b"sound")
        with pytest.raises(TooManyRefused):
            a_loop(kafka, Refusing(), most_refused=2).run()

        steps(a_loop(kafka, Refusing(), most_refused=2, clear_crash_marks=True))

        assert values(kafka) == [b"sound"]
        assert mark_of(committed(kafka).metadata).refused == 0

    def test_one_that_gets_through_between_them_is_enough(self) -> None:
        kafka = a_broker(b"bad-1", b"sound", b"bad-2", b"sound", b"bad-3")

        steps(a_loop(kafka, Refusing(), most_refused=2))

        assert committed(kafka).offset == 5

    def test_a_restart_counts_on(self) -> None:
        kafka = a_broker(b"bad-1")
        steps(a_loop(kafka, Refusing(), most_refused=2))
        kafka.append(IN, b"bad-2", b"bad-2")

        with pytest.raises(TooManyRefused):
            steps(a_loop(kafka, Refusing(), most_refused=2))

    def test_no_limit_is_no_limit(self) -> None:
        kafka = a_broker(*(b"bad-%d" % n for n in range(50)))

        steps(a_loop(kafka, Refusing(), most_refused=0))

        assert committed(kafka).offset == 50
