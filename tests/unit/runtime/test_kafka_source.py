"""KafkaSource over a consumer that is told what to return: no record is lost to an error."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_source import KafkaSource
from opstrail_runtime.source import Changes
from opstrail_runtime.stage import Partition
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

NAMES = TopicNames("")
IN = Partition(TopicName.EVENTS_RAW, 0)


class Told:
    """A message of librdkafka."""

    def __init__(self, offset: int | None, code: int | None = None) -> None:
        self._offset, self._code = offset, code

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)

    def topic(self) -> str | None:
        return None if self._offset is None else NAMES.full(IN.topic)

    def partition(self) -> int | None:
        return None if self._offset is None else IN.number

    def offset(self) -> int | None:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    value = key

    def __len__(self) -> int:
        return len(self.value())

    def timestamp(self) -> tuple[int, int]:
        return 0, 0


class Consumer:
    """A consumer: each `consume` gives the next of `answers`, or does what it is."""

    def __init__(self) -> None:
        self.answers: list[list[Told] | Callable[[], list[Told]]] = []
        self.subscriptions: list[str] = []
        self.share = [IN.number]
        self.calls: list[str] = []
        self.revoke: Callable[[Any, list[TopicPartition]], None]

    def unsubscribe(self) -> None:
        self.subscriptions.append("left")

    def subscribe(
        self, _topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any
    ) -> None:
        self.subscriptions.append("joined")
        self.revoke = on_lost
        on_assign(self, [TopicPartition(NAMES.full(IN.topic), n) for n in self.share])

    def consume(self, _most: int, _timeout_s: float) -> list[Told]:
        answer = self.answers.pop(0) if self.answers else []
        return answer() if callable(answer) else answer

    def consumer_group_metadata(self) -> str:
        return "metadata"

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda places=(): self.calls.append(f"{name} {len(places)}")


class Clock:
    """A clock that is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()
TIMES: Any = {"cooperative": True, "session_s": 10.0, "monotonic": CLOCK}


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def source(consumer: Consumer) -> KafkaSource:
    source = KafkaSource(consumer, [IN.topic], NAMES, slot="s", **TIMES)  # type: ignore[arg-type]
    source.poll(timeout_s=0, most_records=10)
    source.changes()
    source.begin({IN: 0})
    return source


def offsets(source: KafkaSource) -> list[int]:
    return [record.offset for record in source.poll(timeout_s=0, most_records=10).records]


def test_records_that_came_with_an_error_come_with_the_next_poll(
    source: KafkaSource, consumer: Consumer
) -> None:
    consumer.answers = [[Told(0)], [Told(1), Told(None, KafkaError.UNKNOWN), Told(2)]]

    with pytest.raises(Unavailable):
        source.poll(timeout_s=0, most_records=10)

    assert offsets(source) == [0, 1, 2]


def test_being_too_slow_to_poll_is_told_by_the_loss_of_partitions_and_by_nothing_else(
    source: KafkaSource, consumer: Consumer
) -> None:
    def lose() -> list[Told]:
        consumer.revoke(consumer, [TopicPartition(NAMES.full(IN.topic), IN.number)])
        return []

    source.hold()
    consumer.answers = [[Told(None, KafkaError._MAX_POLL_EXCEEDED)], [Told(0)], lose]
    lease = source.lease()
    source.poll(timeout_s=0, most_records=10)
    source.poll(timeout_s=0, most_records=10)
    source.release()

    assert not source.holds(lease)
    assert source.changes().revoked == (IN,)
    assert offsets(source) == []


def test_ends_that_were_reached_while_held_count_after_their_records(
    source: KafkaSource, consumer: Consumer
) -> None:
    source.hold()
    consumer.answers = [[Told(0)], [Told(2, KafkaError._PARTITION_EOF)]]
    source.poll(timeout_s=0, most_records=10)
    assert source.ends() == {}
    source.release()

    assert offsets(source) == [0]
    assert source.ends() == {IN: 2}


def test_a_poll_ends_when_it_has_enough_bytes(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstrail_runtime.kafka_source.MOST_BYTES", 3)
    source = KafkaSource(consumer, [IN.topic], NAMES, slot="s.0", **TIMES)  # type: ignore[arg-type]
    source.poll(timeout_s=0, most_records=100)
    source.begin({IN: 0})
    consumer.answers = [[Told(0)], [Told(1), Told(2)], [Told(3)]]

    records = source.poll(timeout_s=0, most_records=100).records

    assert [0, 1, 2] == [record.offset for record in records]
    assert [3] == [r.offset for r in source.poll(timeout_s=0, most_records=100).records]


def test_a_member_that_polled_too_late_joins_anew(consumer: Consumer, source: KafkaSource) -> None:
    consumer.answers = [[Told(None, KafkaError._MAX_POLL_EXCEEDED)], []]
    CLOCK.now = 100.0

    for _ in range(3):
        source.poll(timeout_s=0, most_records=10)
    early = list(consumer.subscriptions)
    CLOCK.now += 11  # a second after the end of its session
    source.poll(timeout_s=0, most_records=10)

    assert ["joined", "left"] == early
    assert ["joined", "left", "joined"] == consumer.subscriptions


def test_a_share_of_nothing_is_told_once_the_group_has_told_it(consumer: Consumer) -> None:
    consumer.share = []
    source = KafkaSource(consumer, [IN.topic], NAMES, slot="s", **TIMES)  # type: ignore[arg-type]

    source.poll(timeout_s=0, most_records=10)

    assert [Changes(balanced=True), Changes()] == [source.changes(), source.changes()]


def test_nothing_is_assigned_paused_or_resumed_before_reading_begins(consumer: Consumer) -> None:
    source = KafkaSource(consumer, [IN.topic], NAMES, slot="s", **TIMES)  # type: ignore[arg-type]

    source.poll(timeout_s=0, most_records=10)
    assert consumer.calls == ["incremental_assign 0"]
    source.begin({IN: 7})

    assert consumer.calls[1:] == ["incremental_assign 1"]


def test_a_rewind_gives_a_partition_back_first(source: KafkaSource, consumer: Consumer) -> None:
    consumer.calls.clear()

    source.begin({IN: 7})

    assert consumer.calls == ["incremental_unassign 1", "incremental_assign 1"]


@pytest.mark.parametrize("goes", [False, True])
def test_what_was_paused_is_resumed_before_it_is_read_anew(
    source: KafkaSource, consumer: Consumer, *, goes: bool
) -> None:
    source.hold()
    if goes:
        consumer.revoke(consumer, [TopicPartition(NAMES.full(IN.topic), IN.number)])
    source.release()
    consumer.calls.clear()

    source.begin({IN: 7})
    source.begin({IN: 7})

    first = [] if goes else ["incremental_unassign 1"]
    again = ["incremental_unassign 1", "incremental_assign 1"]
    assert consumer.calls == [*first, "resume 1", "incremental_assign 1", *again]


def test_only_what_was_begun_is_given_back(consumer: Consumer) -> None:
    source = KafkaSource(consumer, [IN.topic], NAMES, slot="s", **TIMES)  # type: ignore[arg-type]
    source.poll(timeout_s=0, most_records=10)
    consumer.calls.clear()

    consumer.revoke(consumer, [TopicPartition(NAMES.full(IN.topic), IN.number)])

    assert consumer.calls == ["incremental_unassign 0"]


def test_an_assignment_that_is_replaced_as_a_whole_is_begun_as_a_whole(consumer: Consumer) -> None:
    consumer.share = [0, 1]
    at = [Partition(IN.topic, number) for number in consumer.share]
    source = KafkaSource(
        consumer,  # type: ignore[arg-type]
        [IN.topic],
        NAMES,
        **{**TIMES, "cooperative": False, "slot": "s"},
    )
    source.poll(timeout_s=0, most_records=10)
    source.begin({at[0]: 3, at[1]: 4})

    with pytest.raises(AssertionError, match="as a whole"):
        source.begin({at[0]: 5})

    assert ["assign 0", "assign 2"] == consumer.calls
