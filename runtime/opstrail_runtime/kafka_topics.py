"""Create the topics, and compare those that are there with their YAML files."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from opstrail_runtime.kafka_errors import error_of, settled, translated
from opstrail_runtime.settings import KafkaSettings
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName, topic

TIMEOUT_S = 30.0


class UnequalPartitions(Exception):
    """Topics that must have the same number of partitions have not: services do not start."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something about a topic that is not as its YAML file says; `mend` tells what to do."""

    topic: str
    what: str
    mend: str


class KafkaTopics:
    """The topics of one installation. Raises Unavailable where Kafka is away."""

    def __init__(self, admin: AdminClient, settings: KafkaSettings) -> None:
        self._admin = admin
        self._settings = settings
        self._names = TopicNames(settings.topic_prefix)

    def partition_counts(self) -> dict[TopicName, int]:
        """Return the partitions of the topics that exist."""
        try:
            there = self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise translated(error_of(error), slot="admin") from error
        return {
            name: len(there[self._names.full(name)].partitions)
            for name in TopicName
            if self._names.full(name) in there
        }

    def missing(self) -> list[TopicName]:
        """Return the topics that are not there."""
        there = self.partition_counts()
        return [name for name in TopicName if name not in there]

    def create_missing(self) -> list[str]:
        """Create what is missing; return full names. Partition counts are fixed from then on."""
        new = [
            NewTopic(
                self._names.full(name),
                num_partitions=topic(name).partition_count(
                    files=self._settings.files_partitions, events=self._settings.events_partitions
                ),
                replication_factor=self._settings.replication_factor,
                config=topic(name).config(),
            )
            for name in self.missing()
        ]
        if new:
            settled(
                self._admin.create_topics(new, request_timeout=TIMEOUT_S),
                passing={KafkaError.TOPIC_ALREADY_EXISTS},  # somebody else was quicker
            )
        return [created.topic for created in new]

    def check_partitions(self) -> None:
        """Raise UnequalPartitions unless files topics agree, and events topics too."""
        there = self.partition_counts()
        for group in ("files", "events"):
            counts = {
                self._names.full(name): count
                for name, count in there.items()
                if topic(name).partitions == group
            }
            if len(set(counts.values())) > 1:
                raise UnequalPartitions(
                    f"{group} topics have unequal partition counts: {counts}. Repeats meet on one "
                    "partition only where counts are equal: see docs/how-to/partitions.md"
                )
        for name in (TopicName.STACK_FACTS, TopicName.ACCOUNTS):
            if there.get(name, 1) != 1:
                raise UnequalPartitions(f"{self._names.full(name)} must have one partition")

    def differences(self) -> Sequence[Difference]:
        """Return where settings of existing topics are not as their YAML files say."""
        there = self.partition_counts()
        resources = {
            ConfigResource(ResourceType.TOPIC, self._names.full(name)): name for name in there
        }
        if not resources:
            return []
        found: list[Difference] = []
        for resource, config in settled(self._admin.describe_configs(list(resources))).items():
            for key, wanted in topic(resources[resource]).config().items():
                got = config[key].value if key in config else None
                if set(str(got).split(",")) != set(wanted.split(",")):
                    found.append(
                        Difference(
                            resource.name,
                            f"{key} is {got}, not {wanted}",
                            "kafka-configs --bootstrap-server HOST:PORT --alter "
                            f"--topic {resource.name} --add-config '{key}=[{wanted}]'",
                        )
                    )
        return found
