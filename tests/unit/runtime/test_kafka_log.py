"""Offsets of partitions, as the broker's answers have them."""

from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_log import EARLIEST, KafkaLog, offsets_listed
from opstrail_runtime.stage import Partition
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName
from tests.support.memory_kafka import StillPulse

KNOWN, UNKNOWN = TopicPartition("known", 0), TopicPartition("unknown", 3)


class Answer:
    def __init__(self, offset: int) -> None:
        self.offset = offset


class Admin:
    """Answers with these offsets, and remembers that it was asked for the topics."""

    def __init__(self, **offsets: int) -> None:
        self._offsets = offsets
        self.learnt = 0

    def list_offsets(self, asked: Any, **_options: Any) -> Any:
        answers: dict[TopicPartition, Future[Answer]] = {at: Future() for at in asked}
        for at, answer in answers.items():
            answer.set_result(Answer(self._offsets[at.topic]))
        return answers

    def list_topics(self, *_topic: Any, **_options: Any) -> Any:
        self.learnt += 1


def test_offsets_are_those_of_the_broker() -> None:
    admin = Admin(known=7)

    assert 7 == offsets_listed(cast(AdminClient, admin), {KNOWN: EARLIEST})[KNOWN].offset
    assert 0 == admin.learnt


@pytest.mark.parametrize("offset", [-1, -1001])
def test_an_answer_without_an_offset_is_waited_out(offset: int) -> None:
    """Read from -1, which librdkafka takes for the end, a log would look empty."""
    admin = Admin(known=7, unknown=offset)

    with pytest.raises(Unavailable, match=r"no offset known yet of unknown\[3\]"):
        offsets_listed(cast(AdminClient, admin), {KNOWN: EARLIEST, UNKNOWN: EARLIEST})
    assert 1 == admin.learnt, "the client learns who leads the partition"


class Message:
    """A message of a partition, or the event that it was read to its end."""

    def __init__(self, number: int, offset: int, *, end: bool = False) -> None:
        self._number, self._offset, self._end = number, offset, end

    def topic(self) -> str:
        return "opstrail.files.ledger.v1"

    def partition(self) -> int:
        return self._number

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._end else None

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def timestamp(self) -> tuple[int, int]:
        return 0, 0


class Left:
    """A consumer that still gives what it has of the partition it read before."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.asked: list[str] = []

    def list_topics(self, topic: str, *, timeout: float) -> None:
        self.asked.append(topic)

    def assign(self, _partitions: Any) -> None:
        """Take it."""

    def unassign(self) -> None:
        """Let it go."""

    def consume(self, _most: int, _timeout_s: float) -> list[Message]:
        given, self._messages = self._messages[:1], self._messages[1:]
        return given


def test_what_is_left_of_another_partition_ends_no_read() -> None:
    """A ledger that was read to another one's end would miss files, which were split again."""
    left = Left(Message(0, 9, end=True), Message(0, 12), Message(1, 0), Message(1, 1))
    log = KafkaLog(lambda: cast(Consumer, left), cast(AdminClient, Ends()), TopicNames())
    partition = Partition(TopicName.FILES_LEDGER, 1)

    assert [0, 1] == [record.offset for record in log.read(partition, StillPulse())]
    assert 2 == log.position(partition)


def test_a_topic_that_is_new_to_a_client_is_asked_for_once() -> None:
    """Without, the first partition of each topic took one to three seconds to read (measured)."""
    client = Left(Message(1, 0), Message(1, 1), Message(1, 0), Message(1, 1))
    log = KafkaLog(lambda: cast(Consumer, client), cast(AdminClient, Ends()), TopicNames())
    partition = Partition(TopicName.FILES_LEDGER, 1)

    for _ in range(2):
        assert 2 == len(list(log.read(partition, StillPulse())))

    assert client.asked == ["opstrail.files.ledger.v1"]


class Ends:
    """Each partition begins at 0 and ends at 2."""

    def list_offsets(self, asked: Any, **_options: Any) -> Any:
        answers: dict[TopicPartition, Future[Answer]] = {at: Future() for at in asked}
        for at, spec in asked.items():
            answers[at].set_result(Answer(0 if spec is EARLIEST else 2))
        return answers
