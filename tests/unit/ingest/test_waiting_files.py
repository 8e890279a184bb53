"""Files that are due to be tried again."""

import msgspec
import pytest

from opstrail_ingest.retries import Retries
from opstrail_ingest.waiting_files import WaitingFiles
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName
from tests.support.discovering import LETTERS, NOW_MS
from tests.support.memory_kafka import MemoryKafka, MemoryLog, StillPulse

KEY = "split:trail/a.json.gz"


def a_letter(**changes: object) -> DeadLetter:
    letter = DeadLetter(
        stage="split",
        reason="object-unavailable",
        message="not there",
        bucket="trail",
        key="a.json.gz",
        version_id="v1",
        e_tag="abc",
        retry_at=NOW_MS,
        first_failed_at=NOW_MS - 1000,
        failed_at=NOW_MS - 1000,
    )
    return msgspec.structs.replace(letter, **changes)


def test_a_file_is_noticed_again_when_its_time_has_come() -> None:
    files = WaitingFiles()
    files.learn(KEY, a_letter())

    expected = FileNotice(
        bucket="trail",
        key="a.json.gz",
        version_id="v1",
        e_tag="abc",
        source="retry",
        noticed_at=NOW_MS,
        retry_of=KEY,
    )
    assert [] == files.due(NOW_MS - 1)
    assert [expected] == files.due(NOW_MS)


def test_a_local_file_is_read_as_it_is_by_then() -> None:
    files = WaitingFiles()
    files.learn(KEY, a_letter(bucket="local", local_path="/d/a", version_id=None))

    due = files.due(NOW_MS)[0]

    assert (None, "/d/a") == (due.e_tag, due.local_path)


@pytest.mark.parametrize(
    "letter",
    [
        None,
        a_letter(retry_at=None),
        a_letter(retry_at=NOW_MS + 1),
        a_letter(bucket=None),
        a_letter(key=None),
    ],
)
def test_what_comes_later_replaces_a_letter(letter: DeadLetter | None) -> None:
    files = WaitingFiles()
    files.learn(KEY, a_letter())

    files.learn(KEY, letter)

    assert [] == files.due(NOW_MS)


def test_a_file_that_was_noticed_waits_no_longer() -> None:
    files = WaitingFiles()
    files.learn(KEY, a_letter())

    files.noticed(files.due(NOW_MS))

    assert (0, []) == (len(files), files.due(NOW_MS))


def test_the_longest_waiting_comes_first() -> None:
    files = WaitingFiles()
    files.learn("split:trail/b", a_letter(key="b", retry_at=NOW_MS - 1))
    files.learn("split:trail/a", a_letter(key="a", retry_at=NOW_MS - 2))

    assert ["a", "b"] == [notice.key for notice in files.due(NOW_MS)]


def a_topic() -> MemoryKafka:
    return MemoryKafka({TopicName.DEAD_LETTERS: 2})


def test_dead_letters_are_followed_from_their_start() -> None:
    kafka = a_topic()
    kafka.append(TopicName.DEAD_LETTERS, b"split:trail/a", LETTERS.encode(a_letter(key="a")))
    retries = Retries(MemoryLog(kafka), LETTERS)

    first = retries.due(NOW_MS, StillPulse())
    retries.noticed(first)
    kafka.append(TopicName.DEAD_LETTERS, b"split:trail/b", LETTERS.encode(a_letter(key="b")))
    second = retries.due(NOW_MS, StillPulse())

    assert (["a"], ["b"]) == ([n.key for n in first], [n.key for n in second])


def test_a_file_is_due_until_its_notice_is_written() -> None:
    kafka = a_topic()
    kafka.append(TopicName.DEAD_LETTERS, b"split:trail/a", LETTERS.encode(a_letter()))
    retries = Retries(MemoryLog(kafka), LETTERS)

    assert retries.due(NOW_MS, StillPulse()) == retries.due(NOW_MS, StillPulse())
    assert 1 == len(retries)


def test_a_tombstone_ends_the_waiting_and_what_is_unreadable_is_passed_over() -> None:
    kafka = a_topic()
    for key, value in [
        (b"k", LETTERS.encode(a_letter())),
        (b"k", None),
        (b"k", b"\x00random"),
        (b"\xff", LETTERS.encode(a_letter())),
    ]:
        kafka.append(TopicName.DEAD_LETTERS, key, value)

    assert [] == Retries(MemoryLog(kafka), LETTERS).due(NOW_MS, StillPulse())
