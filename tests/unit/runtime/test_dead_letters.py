"""Keys and texts of dead letters."""

import pytest

from opstrail_runtime.dead_letters import LONGEST_TEXT_BYTES, DeadLetters, clipped, key_of
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import DeadLetter
from opstrail_schemas.topics import TopicName

CODEC = Codec(DeadLetter, 7, str)


def a_letter(**members: object) -> DeadLetter:
    return DeadLetter(
        **{"stage": "split", "reason": "r", "message": "m", "first_failed_at": 1, "failed_at": 2}
        | members  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("letter", "key"),
    [
        (a_letter(bucket="b", key="a/k"), b"split:b/a/k"),
        (a_letter(bucket="b", key="k", start_byte=3, end_byte=9), b"split:b/k#3-9"),
        (
            a_letter(stage="enrich", topic="opstrail.events.raw.v1", partition=1, offset=5),
            b"enrich:opstrail.events.raw.v1/1/5",
        ),
    ],
)
def test_the_key_is_the_stage_and_the_place(letter: DeadLetter, key: bytes) -> None:
    assert key_of(letter) == key


def test_a_message_that_cannot_be_read_is_filed_under_its_address() -> None:
    record = Record(Partition(TopicName.EVENTS_RAW, 3), 42, b"k", b"junk", 0)
    error = InvalidRecord("not framed", reason="undecodable")

    output = DeadLetters("enrich", CODEC).of_record(record, error, now_ms=9)

    letter = CODEC.decode(output.value or b"")
    assert output.key == b"enrich:opstrail.events.raw.v1/3/42"
    assert (letter.topic, letter.partition, letter.offset) == ("opstrail.events.raw.v1", 3, 42)
    assert letter.text is None


def test_a_long_text_is_clipped_and_says_so() -> None:
    assert clipped(b"x" * (LONGEST_TEXT_BYTES + 1)) == ("x" * LONGEST_TEXT_BYTES, True)
    assert clipped(b"\xff short") == ("\ufffd short", False)
