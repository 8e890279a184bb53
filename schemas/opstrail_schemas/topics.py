"""The topics: one YAML file each in `topics/`, and their names under a prefix."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import yaml

DAY_MS = 86_400_000
LARGEST_MESSAGE_BYTES = 8 * 1024 * 1024
LARGEST_RECORD_BYTES = 4 * 1024 * 1024  # inline; a larger record is a dead letter with its address


class TopicName(StrEnum):
    """The topics as the files in `topics/` are called; `Topic.name` is the full name."""

    FILES_NOTICED = "files.noticed"
    FILES_LEDGER = "files.ledger"
    EVENTS_RAW = "events.raw"
    EVENTS_ENRICHED = "events.enriched"
    EVENTS_REREAD = "events.reread"
    EVENTS_REPAIRED = "events.repaired"
    STACK_FACTS = "stack-facts"
    ACCOUNTS = "accounts"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as its YAML file describes it."""

    name: str
    schema: str
    key: str
    partitions: str | int  # "files", "events", or a fixed number
    cleanup: tuple[str, ...]
    retention_days: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    why: str
    tombstone_days: int = 0  # how long a message without value is kept; 0: Kafka's one day

    @property
    def subject(self) -> str:
        """Subject of the value's schema in the registry (TopicNameStrategy)."""
        return f"{self.name}-value"

    def partition_count(self, *, files: int, events: int) -> int:
        """Return how many partitions the topic has; all of one group have the same number."""
        return {"files": files, "events": events}.get(str(self.partitions)) or int(self.partitions)

    def config(self) -> dict[str, str]:
        """Return the topic's settings in Kafka."""
        config = {
            "cleanup.policy": ",".join(self.cleanup),
            "max.message.bytes": str(LARGEST_MESSAGE_BYTES),
            # With create time, Kafka 4 refuses what a clock more than an hour ahead has written
            # (message.timestamp.after.max.ms by default), and cleans by the writer's clock.
            "message.timestamp.type": "LogAppendTime",
        }
        if "delete" in self.cleanup:
            config["retention.ms"] = str(self.retention_days * DAY_MS)
        if self.tombstone_days:
            config["delete.retention.ms"] = str(self.tombstone_days * DAY_MS)
        return config


@cache
def topic(name: TopicName) -> Topic:
    """Return the topic of that name."""
    text = files("opstrail_schemas").joinpath("topics", f"{name}.yaml").read_text("utf-8")
    described = yaml.safe_load(text)
    return Topic(
        name=described["topic"],
        schema=described["schema"],
        key=described["key"],
        partitions=described["partitions"],
        cleanup=tuple(described["cleanup"]),
        retention_days=described["retentionDays"],
        writers=tuple(described["writers"]),
        readers=tuple(described["readers"]),
        why=described["why"],
        tombstone_days=described.get("tombstoneDays", 0),
    )


def all_topics() -> list[Topic]:
    """Return every topic."""
    return [topic(name) for name in TopicName]
