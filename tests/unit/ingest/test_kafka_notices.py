"""Notices on Kafka: librdkafka with its own mock of a broker."""

import pytest
from confluent_kafka import Producer

from opstrail_ingest.kafka_notices import KafkaNotices
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Output
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

OUTPUTS = [Output(TopicName.FILES_NOTICED, b"key", b"value")] * 1_000


def a_producer(**config: object) -> Producer:
    return Producer({"enable.idempotence": True, "log_level": 0, **config})


def test_everything_is_acknowledged_when_a_write_returns() -> None:
    notices = KafkaNotices(lambda: a_producer(**{"test.mock.num.brokers": 1}), TopicNames())

    notices.write(OUTPUTS)
    notices.write([])
    notices.close()


def test_a_queue_that_is_full_is_waited_for() -> None:
    small = {"test.mock.num.brokers": 1, "queue.buffering.max.messages": 10}
    notices = KafkaNotices(lambda: a_producer(**small), TopicNames())

    notices.write(OUTPUTS)
    notices.close()


def test_after_a_failure_a_new_producer_is_used() -> None:
    built: list[Producer] = []

    def build() -> Producer:
        nobody = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 300}
        built.append(a_producer(**({"test.mock.num.brokers": 1} if built else nobody)))
        return built[-1]

    notices = KafkaNotices(build, TopicNames())

    with pytest.raises(Unavailable, match="kafka"):
        notices.write(OUTPUTS)
    notices.write(OUTPUTS)
    notices.close()

    assert 2 == len(built)
