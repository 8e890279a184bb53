"""Discover: nothing is deleted before it is safe, and nothing is lost on the way."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.discover import Discover, Finding, Listed, Notifications
from opstrail_ingest.folder_source import LeftOut
from opstrail_ingest.patience import Stopped, StopPulse
from opstrail_ingest.retries import Retries
from opstrail_ingest.sqs_source import SqsSource
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName
from tests.support.discovering import (
    LETTERS,
    NOW_MS,
    Stop,
    Writer,
    a_pulse,
    patiently,
    some_notices,
)
from tests.support.memory_kafka import MemoryKafka, MemoryLog


class Client:
    """As much of a client of SQS as discover uses; it remembers what was done."""

    def __init__(self, *bodies: str) -> None:
        self.left = [
            {"MessageId": f"m{n}", "ReceiptHandle": f"r{n}", "Body": body}
            for n, body in enumerate(bodies)
        ]
        self.done: list[tuple[str, int]] = []

    def receive_message(self, *, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        taken, self.left = self.left[:MaxNumberOfMessages], self.left[MaxNumberOfMessages:]
        return {"Messages": taken} if taken else {}

    def delete_message_batch(self, *, Entries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.done.append(("delete", len(Entries)))
        return {}

    def change_message_visibility_batch(self, *, Entries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.done.append((f"keep {Entries[0]['VisibilityTimeout']}", len(Entries)))
        return {}


def a_queue(client: Client, stop: Stop | None = None) -> SqsSource:
    """A queue whose time goes on by what was waited for."""
    return SqsSource(
        client,  # type: ignore[arg-type]
        "https://sqs.eu-west-1.amazonaws.com/111122223333/trail",
        visibility_s=30,
        wait_s=0,
        monotonic=lambda: sum(stop.waits) if stop else 0.0,
    )


def following(client: Client, stop: Stop | None = None, *, buckets: str = "trail") -> Notifications:
    return Notifications(a_queue(client, stop), AllowedBuckets([buckets]), most=100)


def a_discover(writer: Writer, pulse: StopPulse | None = None) -> Discover:
    return Discover(some_notices(), writer, pulse or a_pulse(), patiently(), now_ms=lambda: NOW_MS)


def of_cloudtrail(*keys: str, bucket: str = "trail") -> str:
    return json.dumps({"s3Bucket": bucket, "s3ObjectKey": list(keys)})


def a_notice(key: str = "a") -> FileNotice:
    return FileNotice(bucket="trail", key=key, source="listing", noticed_at=NOW_MS)


def test_a_message_is_deleted_after_its_notices_are_written() -> None:
    writer, client = Writer(), Client(of_cloudtrail("a", "b"), "CloudTrail validation message.")

    taken = a_discover(writer).take(following(client))

    assert (2, 2, 0) == (taken.messages, taken.files, taken.dead)
    assert ["a", "b"] == [notice.key for notice in writer.notices]
    assert [("delete", 2)] == client.done


def test_a_message_stays_while_kafka_is_away_and_is_kept_from_others() -> None:
    stop = Stop()
    writer, client = Writer(away=8), Client(of_cloudtrail("a"))

    a_discover(writer, a_pulse(stop)).take(following(client, stop))

    *kept, last = client.done
    assert ("delete", 1) == last
    assert {("keep 30", 1)} == set(kept)
    assert len(kept) >= int(sum(stop.waits) / 15) - 1
    assert ["a"] == [notice.key for notice in writer.notices]


def test_a_message_is_given_back_when_discover_has_to_stop() -> None:
    stop = Stop(after_waits=1)
    writer, client = Writer(away=99), Client(of_cloudtrail("a"))

    with pytest.raises(Stopped):
        a_discover(writer, a_pulse(stop)).take(following(client, stop))

    assert [("keep 0", 1)] == client.done


def test_more_messages_are_taken_at_once_while_there_are_many() -> None:
    writer = Writer()
    client = Client(*(of_cloudtrail(f"k{n}") for n in range(25)))

    taken = a_discover(writer).take(following(client))

    assert (25, 1) == (taken.messages, writer.tried)
    assert [("delete", 10), ("delete", 10), ("delete", 5)] == client.done


def test_what_is_not_a_notification_is_a_dead_letter_with_masked_text() -> None:
    writer, client = Writer(), Client("hush, not JSON")

    a_discover(writer).take(following(client))

    letter = writer.letters[0]
    assert ("discover", "not-a-notification", "***, not JSON") == (
        letter.stage,
        letter.reason,
        letter.text,
    )
    assert b"discover:sqs/trail/m0" == writer.outputs[0].key
    assert [("delete", 1)] == client.done


def test_only_the_head_of_a_large_message_is_looked_at() -> None:
    writer = Writer()

    a_discover(writer).take(following(Client("x" * 2**18)))

    letter = writer.letters[0]
    assert (letter.text, letter.text_truncated) == ("x" * 2**16, True)


def test_an_object_of_a_foreign_bucket_is_a_dead_letter() -> None:
    writer, client = Writer(), Client(of_cloudtrail("a", bucket="foreign"), of_cloudtrail("b"))

    a_discover(writer).take(following(client))

    assert ["b"] == [notice.key for notice in writer.notices]
    assert [("bucket-not-allowed", "foreign", "a")] == [
        (letter.reason, letter.bucket, letter.key) for letter in writer.letters
    ]
    assert [("delete", 2)] == client.done


def test_a_message_that_is_broken_in_part_gives_notices_and_a_dead_letter() -> None:
    writer = Writer()
    client = Client(json.dumps({"s3Bucket": "trail", "s3ObjectKey": ["a", 7]}))

    a_discover(writer).take(following(client))

    assert (["a"], ["bad-notification"]) == (
        [notice.key for notice in writer.notices],
        [letter.reason for letter in writer.letters],
    )


def test_a_queue_is_drained_to_its_end() -> None:
    writer = Writer()
    client = Client(*(of_cloudtrail(f"k{n}") for n in range(120)))

    assert Listed(files=120) == a_discover(writer).drain(following(client))


def test_a_source_is_noticed_to_its_end_in_chunks_when_the_gate_is_open() -> None:
    writer = Writer(away=1)
    opened: list[int] = []

    def findings() -> Iterator[Finding]:
        yield a_notice("a")
        yield LeftOut("/d/.b", ".b", "hidden", "its name begins with a dot")
        yield LeftOut("/d/c", "c", "unreadable", "Permission denied")
        yield a_notice("d")

    listed = a_discover(writer).once(
        findings(), gate=lambda _: opened.append(len(writer.outputs)), most=2
    )

    assert Listed(files=2, left_out=2, dead=1) == listed
    assert ["a", "d"] == [notice.key for notice in writer.notices]
    assert [("file-unreadable", "c", "/d/c")] == [
        (letter.reason, letter.key, letter.local_path) for letter in writer.letters
    ]
    assert [0, 1] == opened


def a_waiting_file() -> Retries:
    kafka = MemoryKafka({TopicName.DEAD_LETTERS: 1})
    letter = DeadLetter(
        stage="split", reason="object-unavailable", message="m", bucket="trail", key="late",
        retry_at=NOW_MS, first_failed_at=0, failed_at=0,
    )  # fmt: skip
    kafka.append(TopicName.DEAD_LETTERS, b"split:trail/late", LETTERS.encode(letter))
    return Retries(MemoryLog(kafka), LETTERS)


def test_files_that_are_due_are_noticed_again_once() -> None:
    writer = Writer()
    discover, retries = a_discover(writer), a_waiting_file()

    assert [1, 0] == [discover.retry(retries), discover.retry(retries)]
    assert [("late", "due", "split:trail/late")] == [
        (notice.key, notice.source, notice.retry_of) for notice in writer.notices
    ]


def test_discover_follows_what_is_due_until_it_is_stopped() -> None:
    stop = Stop(after_waits=4)
    writer = Writer()

    with pytest.raises(Stopped):
        a_discover(writer, a_pulse(stop)).forever(
            None, a_waiting_file(), retry_poll_s=5, monotonic=lambda: sum(stop.waits)
        )

    assert ["late"] == [notice.key for notice in writer.notices]
    assert 15 == sum(stop.waits)


def test_discover_follows_a_queue_and_what_is_due() -> None:
    client = Client(of_cloudtrail("a"))
    writer = Writer()
    calls = iter([False] * 6 + [True] * 9)

    class StopLater(Stop):
        def is_set(self) -> bool:
            return next(calls)

    with pytest.raises(Stopped):
        a_discover(writer, a_pulse(StopLater())).forever(
            following(client), a_waiting_file(), retry_poll_s=5, monotonic=lambda: 1.0
        )

    assert ["a", "late"] == [notice.key for notice in writer.notices]
