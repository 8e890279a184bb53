"""Offsets of partitions, as the broker's answers have them."""

from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_log import EARLIEST, offsets_listed

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
