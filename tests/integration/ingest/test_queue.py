"""Notifications from a queue of SQS, fed by S3 itself."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
import pytest

from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.discover import Discover, Notifications
from opstrail_ingest.patience import Stopped
from opstrail_ingest.sqs_source import SqsSource
from opstrail_ingest.wiring import new_s3
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.settings import S3Settings
from tests.support.discovering import NOW_MS, Stop, Writer, a_pulse, patiently, some_notices
from tests.support.memory_kafka import StillPulse

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

KEYS = ["AWSLogs/1/a +%2B/ü.json.gz", "AWSLogs/1/b.json.gz"]


@pytest.fixture
def s3(aws: str) -> "S3Client":
    return new_s3(S3Settings(endpoint_url=aws))


@pytest.fixture
def sqs(aws: str) -> "SQSClient":
    return boto3.client("sqs", endpoint_url=aws)


@pytest.fixture
def queue_url(sqs: "SQSClient", namespace: str) -> str:
    return sqs.create_queue(QueueName=namespace)["QueueUrl"]


@pytest.fixture
def bucket(s3: "S3Client", sqs: "SQSClient", queue_url: str, namespace: str) -> str:
    """A bucket whose new objects are told to the queue; its first message is S3's test."""
    s3.create_bucket(Bucket=namespace)
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    s3.put_bucket_notification_configuration(
        Bucket=namespace,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": arn["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    return namespace


def a_source(
    sqs: "SQSClient",
    url: str,
    *,
    visibility_s: int = 300,
    monotonic: Callable[[], float] = time.monotonic,
) -> SqsSource:
    return SqsSource(sqs, url, visibility_s=visibility_s, wait_s=0, monotonic=monotonic)


def a_discover(writer: Writer, stop: Stop | None = None) -> Discover:
    return Discover(some_notices(), writer, a_pulse(stop), patiently(), now_ms=lambda: NOW_MS)


def count(sqs: "SQSClient", url: str) -> tuple[int, int]:
    """Return how many messages wait, and how many are somebody's."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return (
        int(found["ApproximateNumberOfMessages"]),
        int(found["ApproximateNumberOfMessagesNotVisible"]),
    )


def test_new_objects_are_noticed_and_their_messages_deleted(
    s3: "S3Client", sqs: "SQSClient", queue_url: str, bucket: str
) -> None:
    e_tags = [s3.put_object(Bucket=bucket, Key=key, Body=b"x")["ETag"].strip('"') for key in KEYS]
    writer = Writer()

    listed = a_discover(writer).drain(
        Notifications(a_source(sqs, queue_url), AllowedBuckets([bucket]))
    )

    assert (2, 0) == (listed.files, listed.dead)
    assert [(bucket, key, e_tag, 1, "s3") for key, e_tag in zip(KEYS, e_tags, strict=True)] == [
        (n.bucket, n.key, n.e_tag, n.size, n.source) for n in writer.notices
    ]
    assert (0, 0) == count(sqs, queue_url)


def test_a_message_stays_until_kafka_has_its_notices(
    s3: "S3Client", sqs: "SQSClient", queue_url: str, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key=KEYS[0], Body=b"x")
    following = Notifications(a_source(sqs, queue_url), AllowedBuckets([bucket]))
    before = count(sqs, queue_url)

    with pytest.raises(Stopped):
        a_discover(Writer(away=99), Stop(after_waits=2)).take(following)

    assert before == count(sqs, queue_url) == (2, 0)
    writer = Writer()
    assert 1 == a_discover(writer).drain(following).files


def test_a_message_in_work_is_kept_from_others_for_longer(sqs: "SQSClient", queue_url: str) -> None:
    sqs.send_message(QueueUrl=queue_url, MessageBody="{}")
    now_s = [0.0]
    source = a_source(sqs, queue_url, visibility_s=2, monotonic=lambda: now_s[0])
    received = source.receive(most=10)
    holding = source.holding(received, StillPulse())
    taken_at = time.monotonic()

    while time.monotonic() < taken_at + 3:
        now_s[0] = time.monotonic() - taken_at
        holding.beat()
        assert [] == source.receive(most=10)

    source.give_back(received)
    assert 1 == len(source.receive(most=10))


def test_a_queue_that_is_not_there_is_unavailable(sqs: "SQSClient", queue_url: str) -> None:
    gone = a_source(sqs, queue_url + "-gone")

    with pytest.raises(Unavailable, match="sqs: "):
        gone.receive(most=10)


def test_messages_that_cannot_be_kept_come_again_and_nothing_fails(
    sqs: "SQSClient", queue_url: str
) -> None:
    sqs.send_message(QueueUrl=queue_url, MessageBody="{}")
    now_s = [0.0]
    source = a_source(sqs, queue_url, monotonic=lambda: now_s[0])
    holding = source.holding(source.receive(most=10), StillPulse())

    sqs.delete_queue(QueueUrl=queue_url)
    now_s[0] = 200.0
    holding.beat()
