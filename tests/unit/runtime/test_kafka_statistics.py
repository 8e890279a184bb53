"""How far a consumer is behind, read from what librdkafka tells of itself."""

import json

from confluent_kafka import Consumer, Producer, TopicPartition

from opstrail_runtime.kafka_statistics import lags
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

NAMES = TopicNames("a")


def told(**topics: dict[str, int]) -> str:
    return json.dumps(
        {
            "name": "x",
            "topics": {
                name.replace("_", "."): {
                    "topic": name,
                    "partitions": {p: {"consumer_lag": lag} for p, lag in lags_.items()},
                }
                for name, lags_ in topics.items()
            },
        }
    )


def test_lags_are_added_up_by_topic_and_what_is_not_known_counts_as_none() -> None:
    text = told(
        **{
            "a.opstrail.events.raw.v1": {"0": 5, "1": 7, "2": -1, "-1": -1},
            "a.opstrail.events.reread.v1": {"0": -1},
            "somebody.else": {"0": 9},
        }
    )

    assert {TopicName.EVENTS_RAW: 12, TopicName.EVENTS_REREAD: 0} == lags(text, NAMES)


def test_the_clients_own_text_is_understood() -> None:
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = str(next(iter(mock.list_topics().brokers.values()))).split("/")[0]
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    full = NAMES.full(TopicName.EVENTS_RAW)
    for number in range(4):
        producer.produce(full, str(number), partition=0)
    producer.flush()
    seen: list[dict[TopicName, int]] = []
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "g",
            "statistics.interval.ms": 50,
            "stats_cb": lambda text: seen.append(dict(lags(text, NAMES))),
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(full, 0, 0)])
    taken = 0
    while taken < 4 or not seen or seen[-1] != {TopicName.EVENTS_RAW: 0}:
        taken += len(consumer.consume(1, 0.1))
    consumer.close()
