"""Discover as a process, on librdkafka's mock of Kafka and a registry in this process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient

from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.registry import Registry
from opstrail_schemas.topics import TopicName, topic
from tests.support.fake_registry import FakeRegistry, serving

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

CODE = "from opstrail_ingest.commands import ingest; ingest(prog_name='ingest')"
DONE, LEFTOVERS = 0, 3


class Kafka:
    """A mock cluster; it ends with the producer that it belongs to."""

    def __init__(self, registry_url: str) -> None:
        self._cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        for name in (TopicName.FILES_NOTICED, TopicName.DEAD_LETTERS):
            self._cluster.list_topics(topic(name).name, timeout=10)
        broker = next(iter(self._cluster.list_topics(timeout=10).brokers.values()))
        self.address = f"{broker.host}:{broker.port}"
        self.registry_url = registry_url
        self.registry = Registry(SchemaRegistryClient({"url": registry_url}))
        self.registry.register()
        self.notices = self.registry.codec(TopicName.FILES_NOTICED, FileNotice)
        self.letters = self.registry.codec(TopicName.DEAD_LETTERS, DeadLetter)

    def write(self, name: TopicName, key: str, value: bytes) -> None:
        self._cluster.produce(topic(name).name, value, key)
        self._cluster.flush(10)

    def values(self, name: TopicName) -> list[bytes]:
        consumer = Consumer(
            {"bootstrap.servers": self.address, "group.id": "test", "enable.partition.eof": True}
        )
        full = topic(name).name
        partitions = list(consumer.list_topics(full, timeout=10).topics[full].partitions)
        consumer.assign([TopicPartition(full, number, 0) for number in partitions])
        values, ends = [], 0
        while ends < len(partitions):
            message = consumer.poll(10)
            assert message is not None
            if message.error() is None:
                values.append(message.value() or b"")
            else:
                ends += 1
        consumer.close()
        return values


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    with serving(FakeRegistry()) as registry:
        yield Kafka(registry.url)


def discover(
    kafka: Kafka, *arguments: str, stdin: bytes = b"", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", CODE, "discover", "--once", *arguments],
        env={
            **os.environ,
            "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": kafka.address,
            "OPSTRAIL_REGISTRY__URL": kafka.registry_url,
            "OPSTRAIL_DISCOVER__WAIT_S": "0",
            **environment,
        },
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_folder_is_noticed(kafka: Kafka, tmp_path: Path) -> None:
    for name in ("a", "b", ".hidden"):
        (tmp_path / name).write_text(name)

    done = discover(kafka, str(tmp_path))

    assert DONE == done.returncode, done.stderr
    assert {
        "files": 2,
        "leftOut": 1,
        "deadLetters": 0,
        "triedAgain": 0,
        "waiting": 0,
    } == json.loads(done.stdout)
    found = [kafka.notices.decode(value) for value in kafka.values(TopicName.FILES_NOTICED)]
    assert [("local", "a"), ("local", "b")] == sorted((n.bucket, n.key) for n in found)


def test_standard_input_is_noticed_as_a_file(kafka: Kafka, tmp_path: Path) -> None:
    done = discover(kafka, "-", stdin=b"text", OPSTRAIL_OBJECTS__STDIN_FOLDER=str(tmp_path))

    assert DONE == done.returncode, done.stderr
    notice = kafka.notices.decode(kafka.values(TopicName.FILES_NOTICED)[0])
    assert (b"text", "stream") == (Path(notice.local_path or "").read_bytes(), notice.source)


def test_a_queue_is_drained_and_what_is_due_is_tried_again(
    kafka: Kafka, aws: str, namespace: str
) -> None:
    sqs: SQSClient = boto3.client("sqs", endpoint_url=aws)
    url = sqs.create_queue(QueueName=namespace)["QueueUrl"]
    for body in ('{"s3Bucket": "trail", "s3ObjectKey": "a"}', "not a notification"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    late = DeadLetter(
        stage="split", reason="object-unavailable", message="m", bucket="trail", key="late",
        retry_at=1, first_failed_at=0, failed_at=0,
    )  # fmt: skip
    kafka.write(TopicName.DEAD_LETTERS, "split:trail/late", kafka.letters.encode(late))

    done = discover(kafka, url, OPSTRAIL_DISCOVER__ALLOWED_BUCKETS='["trail"]')

    assert LEFTOVERS == done.returncode, done.stderr
    found = [kafka.notices.decode(value) for value in kafka.values(TopicName.FILES_NOTICED)]
    assert [("a", "cloudTrail"), ("late", "due")] == sorted((n.key, n.source) for n in found)
    letters = [kafka.letters.decode(value) for value in kafka.values(TopicName.DEAD_LETTERS)]
    assert {"object-unavailable", "not-a-notification"} == {letter.reason for letter in letters}
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
