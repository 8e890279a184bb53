"""Partitions read from outside any group: how state is restored."""

from collections.abc import Iterator
from typing import Protocol

from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_schemas.topics import TopicName


class Log(Protocol):
    """Reads partitions, read_committed; never commits. Raises Unavailable where Kafka is away."""

    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        """Read from `start` (the log's start) to the end that is written when it is called.

        That end counts open transactions too (read_uncommitted), and is waited for: else an open
        transaction would hide the newest entries (measured).
        """

    def read_stable(self, partition: Partition, pulse: Pulse, *, start: int) -> Iterator[Record]:
        """Read from `start` to the last stable offset as of now: waits for no transaction.

        `position` tells afterwards where to go on.
        """

    def position(self, partition: Partition) -> int:
        """Return the offset after the last record or control record that was read."""

    def read_tail(
        self, partition: Partition, pulse: Pulse, *, at_least_bytes: int, most_records: int
    ) -> Iterator[Record]:
        """Read the end of a partition: at least that many bytes of values where there are.

        `most_records` bounds it; like `read` it goes to the end that is written.
        """

    def partition_count(self, topic: TopicName) -> int:
        """Return how many partitions a topic has. Raises Unavailable where there is none."""
