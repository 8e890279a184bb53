"""The in-memory broker keeps the contract that real Kafka keeps."""

import pytest

from opstrail_runtime.source import Source
from opstrail_schemas.topics import TopicName
from tests.support.kafka_contract import IN, KafkaContract
from tests.support.memory_kafka import MemoryKafka, MemoryLog, MemorySource, MemoryWriter


class MemoryBroker:
    """MemoryKafka behind the suite's fixture."""

    def __init__(self) -> None:
        self.kafka = MemoryKafka(dict.fromkeys(TopicName, 2))

    def source(self, group: str, slot: str) -> MemorySource:
        return MemorySource(self.kafka, group, [IN])

    def writer(self, slot: str) -> MemoryWriter:
        return MemoryWriter(self.kafka, slot)

    def log(self) -> MemoryLog:
        return MemoryLog(self.kafka)

    def shove(self, source: Source) -> None:
        assert isinstance(source, MemorySource)
        source.rebalance()
        source.poll(timeout_s=0, most_records=1)


class TestMemoryKafka(KafkaContract):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()
