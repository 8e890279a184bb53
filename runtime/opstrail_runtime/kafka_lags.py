"""How far a service is behind: records between its committed offsets and the ends of its topics."""

from collections.abc import Sequence

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from opstrail_runtime.kafka_errors import settled
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

TIMEOUT_S = 10.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaLags:
    """Asks brokers for offsets. Raises Unavailable where they do not answer."""

    def __init__(self, admin: AdminClient, names: TopicNames) -> None:
        self._admin = admin
        self._names = names

    def lag(self, group: str, topics: Sequence[TopicName]) -> int:
        """Return the records that a group has yet to read; an open transaction's count too.

        A partition without committed offset counts whole. Services commit the ends that they have
        read to, so an idle one is at 0 although transactions leave control records behind.
        """
        described = settled(
            self._admin.describe_topics(
                TopicCollection([self._names.full(topic) for topic in topics])
            )
        )
        partitions = [
            TopicPartition(full, info.id)
            for full, topic in described.items()
            for info in topic.partitions
        ]
        ends = settled(
            self._admin.list_offsets(dict.fromkeys(partitions, _LATEST), request_timeout=TIMEOUT_S)
        )
        asked = settled(
            self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=TIMEOUT_S
            )
        )
        committed = {
            (at.topic, at.partition): max(at.offset, 0) for at in asked[group].topic_partitions
        }
        return sum(
            max(0, end.offset - committed.get((at.topic, at.partition), 0))
            for at, end in ends.items()
        )
