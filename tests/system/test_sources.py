"""Buckets and queues as sources of `opstrail run`, on the stand-in of S3 and SQS."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]
KEY = "pre fix+/AWSLogs/o-abcdefghij/111122223333/CloudTrail/eu-west-1/2024/01/{0:02}/"
NAME = "111122223333_CloudTrail_eu-west-1_202401{0:02}T1000Z_{0:016}.json.gz"


@dataclass(frozen=True, slots=True)
class Stand:
    """A bucket that notifies a queue, and an installation that may read it."""

    bucket: str
    queue_url: str
    s3: Any
    sqs: Any
    own: Installed

    def put(self, day: int, *event_ids: str) -> None:
        """Put one trail file of a day."""
        body = trail_file([a_record(eventID=event_id) for event_id in event_ids])
        self.s3.put_object(Bucket=self.bucket, Key=KEY.format(day) + NAME.format(day), Body=body)

    def left_in_queue(self) -> int:
        """Return how many messages the queue holds, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@pytest.fixture
def stand(
    servers: Servers, namespace: str, tmp_path: Path, aws_credentials: dict[str, str]
) -> Iterator[Stand]:
    s3 = boto3.client("s3", endpoint_url=servers.addresses.aws)
    sqs = boto3.client("sqs", endpoint_url=servers.addresses.aws)
    s3.create_bucket(Bucket=namespace)
    queue_url = sqs.create_queue(QueueName=namespace)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    s3.put_bucket_notification_configuration(
        Bucket=namespace,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": arn["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    settings = FEW_PARTITIONS | {
        "OPSTRAIL_DISCOVER__ALLOWED_BUCKETS": json.dumps([namespace]),
        "OPSTRAIL_DISCOVER__WAIT_S": "1",
    }
    with installed(servers, tmp_path, **settings) as own:
        yield Stand(namespace, queue_url, s3, sqs, own)


def test_a_prefix_is_listed_and_split(stand: Stand) -> None:
    for day in range(1, 6):
        stand.put(day, f"a-{day}", f"b-{day}", "in-every-file")

    ended = stand.own.run(f"s3://{stand.bucket}/pre fix+/")

    assert (5, 15, 11) == tuple(ended.result[n] for n in ("files", "records", "stored"))
    assert {f"111122223333/{x}-{d}" for x in "ab" for d in range(1, 6)} | {
        "111122223333/in-every-file"
    } == stand.own.identities()


def test_a_queue_is_taken_to_its_end_and_what_is_no_notification_is_a_dead_letter(
    stand: Stand,
) -> None:
    for day in range(1, 4):
        stand.put(day, f"c-{day}")
    stand.sqs.send_message(QueueUrl=stand.queue_url, MessageBody="CloudTrail validation message.")
    stand.sqs.send_message(QueueUrl=stand.queue_url, MessageBody="who wrote this?")
    topic = {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:trail",
        "Message": json.dumps(
            {"s3Bucket": stand.bucket, "s3ObjectKey": [KEY.format(1) + NAME.format(1)]}
        ),
    }
    stand.sqs.send_message(QueueUrl=stand.queue_url, MessageBody=json.dumps(topic))

    ended = stand.own.run(stand.queue_url)

    assert {f"111122223333/c-{day}" for day in range(1, 4)} == stand.own.identities()
    assert ["not-a-notification"] == [d["reason"] for d in stand.own.dead_letters()]
    assert ended.code == 3
    assert stand.left_in_queue() == 0
