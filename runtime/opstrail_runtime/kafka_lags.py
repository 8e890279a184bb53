"""How far a service is behind: records between its committed offsets and the ends of its topics."""

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from opstrail_runtime.kafka_errors import error_of, settled, translated
from opstrail_runtime.kafka_log import offsets_listed
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

TIMEOUT_S = 10.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaLags:
    """Asks brokers for offsets. Raises Unavailable where they do not answer.

    `consumer` returns a client that only asks for a group's offsets and never joins it: the admin
    client ends the process with a segmentation fault where a broker that was just started, or has
    just taken the group over, answers NOT_COORDINATOR (librdkafka #5040; seen on 2.16).
    """

    def __init__(
        self, admin: AdminClient, consumer: Callable[[str], Consumer], names: TopicNames
    ) -> None:
        self._admin = admin
        self._consumer = consumer
        self._consumers: dict[str, Consumer] = {}
        self._names = names

    def lag(self, group: str, topics: Sequence[TopicName]) -> int:
        """Return the records that a group has yet to read; an open transaction's count too.

        A partition without committed offset counts whole. Services commit the ends that they have
        read to, so an idle one is at 0 although transactions leave control records behind.
        """
        return self.behind(group, self.ends(topics))

    def ends(self, topics: Sequence[TopicName]) -> Mapping[tuple[str, int], int]:
        """Return where each partition, by full topic name and number, ends now."""
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
        found = offsets_listed(self._admin, dict.fromkeys(partitions, _LATEST))
        return {(at.topic, at.partition): end.offset for at, end in found.items()}

    def behind(self, group: str, ends: Mapping[tuple[str, int], int]) -> int:
        """Return the records before these ends that a group has yet to read."""
        committed = self._committed(group, [TopicPartition(*at) for at in ends])
        return sum(max(0, end - committed[at]) for at, end in ends.items())

    def _committed(
        self, group: str, partitions: list[TopicPartition]
    ) -> Mapping[tuple[str, int], int]:
        if group not in self._consumers:
            self._consumers[group] = self._consumer(group)
        try:
            found = self._consumers[group].committed(partitions, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise translated(error_of(error), slot=group) from error
        for at in found:
            if at.error is not None:
                raise translated(at.error, slot=group)
        return {(at.topic, at.partition): max(at.offset, 0) for at in found}
