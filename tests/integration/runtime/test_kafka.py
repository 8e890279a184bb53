"""Real Kafka keeps the contract that the in-memory broker keeps."""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from opstrail_runtime.errors import LeaseLost
from opstrail_runtime.kafka_log import KafkaLog
from opstrail_runtime.kafka_source import KafkaSource
from opstrail_runtime.kafka_topics import KafkaTopics
from opstrail_runtime.kafka_writer import KafkaWriter
from opstrail_runtime.settings import KafkaSettings
from opstrail_runtime.source import Source
from opstrail_runtime.stage import Partition
from opstrail_runtime.wiring import new_admin, new_log, new_source, new_writer
from opstrail_schemas.topics import DAY_MS, TopicName
from tests.support.kafka_contract import IN, PATIENCE_S, KafkaContract
from tests.support.servers import Servers

pytestmark = pytest.mark.servers


class RealBroker:
    """A real broker, with topics of its own under a prefix."""

    def __init__(self, bootstrap_servers: str, **librdkafka: str) -> None:
        self.settings = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            librdkafka=librdkafka,
            topic_prefix=f"test-{uuid.uuid4().hex[:8]}",
            files_partitions=2,
            events_partitions=2,
        )
        self._admin: AdminClient = new_admin(self.settings)
        KafkaTopics(self._admin, self.settings).create_missing()
        self._others: list[KafkaSource] = []

    def source(self, group: str, slot: str) -> KafkaSource:
        return new_source(self.settings, group, [IN], slot=slot)

    def writer(self, slot: str) -> KafkaWriter:
        return new_writer(self.settings, slot=slot)

    def log(self) -> KafkaLog:
        return new_log(self.settings, "contract")

    def shove(self, source: Source) -> None:
        """Let another member join, until it was given a partition."""
        other = self.source("group", f"other.{uuid.uuid4().hex[:8]}.1")
        self._others.append(other)
        give_up = time.monotonic() + PATIENCE_S
        while not other.changes().assigned:
            assert time.monotonic() < give_up, "the other member was given nothing"
            other.poll(timeout_s=0.05, most_records=1)
            with suppress(LeaseLost):
                source.poll(timeout_s=0.05, most_records=1)

    def close(self) -> None:
        for other in self._others:
            other.close()


class TestKafka(KafkaContract):
    @pytest.fixture
    def broker(self, servers: Servers) -> Iterator[RealBroker]:
        broker = RealBroker(servers.addresses.kafka)
        yield broker
        broker.close()

    def test_a_clock_that_is_ahead_has_no_write_refused(self, broker: RealBroker) -> None:
        producer = Producer({"bootstrap.servers": broker.settings.bootstrap_servers})
        refused: list[object] = []
        for name in TopicName:
            producer.produce(
                f"{broker.settings.topic_prefix}.opstrail.{name}.v1",
                b"value",
                key=b"key",
                timestamp=time.time_ns() // 1_000_000 + DAY_MS,
                on_delivery=lambda error, _: refused.append(error) if error else None,
            )
        assert 0 == producer.flush(PATIENCE_S)

        assert [] == refused

    def test_every_topic_is_parted_among_members_that_came_one_after_the_other(
        self, broker: RealBroker
    ) -> None:
        members: list[KafkaSource] = []
        shares: list[set[Partition]] = []

        def balanced() -> bool:
            for member, share in zip(members, shares, strict=True):
                member.poll(timeout_s=0.05, most_records=1)
                changes = member.changes()
                share.difference_update(changes.revoked)
                share.update(changes.assigned)
            topics = [sorted(at.topic for at in share) for share in shares]
            return all(topics) and all(each == topics[0] for each in topics)

        # As a StatefulSet starts them. cooperative-sticky gave one all of raw, one all of reread.
        topics = [TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD]
        for number in range(2):
            members.append(new_source(broker.settings, "two", topics, slot=f"two.{number}"))
            shares.append(set())
            give_up = time.monotonic() + PATIENCE_S
            while not balanced():
                assert time.monotonic() < give_up, shares
        for member in members:
            member.close()

        assert 2 == len(shares[0])
        assert not shares[0] & shares[1]


class TestKafkaThatAssignsAnew(KafkaContract):
    """As members are that read more than one topic: each rebalance takes all partitions first."""

    @pytest.fixture
    def broker(self, servers: Servers) -> Iterator[RealBroker]:
        broker = RealBroker(servers.addresses.kafka, **{"partition.assignment.strategy": "range"})
        yield broker
        broker.close()
