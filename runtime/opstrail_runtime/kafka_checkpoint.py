"""How far a command has come, as committed offsets of a group that nobody joins."""

from collections.abc import Collection, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from opstrail_runtime.kafka_errors import error_of, translated
from opstrail_runtime.stage import Partition
from opstrail_runtime.topic_names import TopicNames

TIMEOUT_S = 10.0


class KafkaCheckpoint:
    """Offsets of a group. Kafka forgets them some days after the last was written (7 by default).

    Raises Unavailable where brokers do not answer.
    """

    def __init__(self, consumer: Consumer, names: TopicNames) -> None:
        self._consumer = consumer
        self._names = names

    def load(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return the offsets; 0 where there is none."""
        wanted = {(self._names.full(at.topic), at.number): at for at in partitions}
        try:
            found = self._consumer.committed(
                [TopicPartition(*at) for at in wanted], timeout=TIMEOUT_S
            )
        except KafkaException as error:
            raise translated(error_of(error), slot="checkpoint") from error
        return {wanted[at.topic, at.partition]: max(at.offset, 0) for at in found}

    def save(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets."""
        try:
            self._consumer.commit(
                offsets=[
                    TopicPartition(self._names.full(at.topic), at.number, offset)
                    for at, offset in offsets.items()
                ],
                asynchronous=False,
            )
        except KafkaException as error:
            raise translated(error_of(error), slot="checkpoint") from error
