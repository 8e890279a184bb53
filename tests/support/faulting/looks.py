"""What there is in the topics and in the store, asked of the servers with plain clients."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from tests.support.checker.expected import SECRET, Place, Stack
from tests.support.checker.observed import EnrichedSeen, Observed, RawSeen, Stored
from tests.support.installed import Installed

READS: Mapping[str, tuple[str, ...]] = {
    "split": ("files.noticed",),
    "enrich": ("events.raw", "events.reread"),
    "store": ("events.enriched", "events.repaired", "files.ledger", "dead-letters"),
}
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
TIMEOUT_S = 20.0
AWAY_S, LOOK_AGAIN_S = 120.0, 0.3


class Looks:
    """Looks at one installation from outside; it may be asked while brokers are away."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._kafka = installed.addresses.kafka
        self._admin = AdminClient({"bootstrap.servers": self._kafka, "log_level": 0})
        self._groups: dict[str, Consumer] = {}
        self._decode = AvroDeserializer(SchemaRegistryClient({"url": installed.addresses.registry}))

    def behind(self) -> dict[str, int]:
        """Return how many offsets each group has yet to pass; waits while brokers are away."""
        give_up = time.monotonic() + AWAY_S
        while True:
            try:
                return self._behind()
            except KafkaException:
                if time.monotonic() > give_up:
                    raise
                with suppress(KafkaException):  # see kafka_log.py: else it may never learn
                    self._admin.list_topics(timeout=TIMEOUT_S)
                time.sleep(LOOK_AGAIN_S)

    def _behind(self) -> dict[str, int]:
        found = {}
        for role, names in READS.items():
            ends = self._ends(names, IsolationLevel.READ_UNCOMMITTED)
            committed = self._group(role).committed(list(ends), timeout=TIMEOUT_S)
            found[role] = sum(
                max(0, ends[TopicPartition(at.topic, at.partition)] - max(0, at.offset))
                for at in committed
            )
        return found

    def open_partitions(self) -> list[str]:
        """Return partitions that end in an open transaction."""
        names = ["files.noticed", "events.raw", "events.enriched", "files.ledger", "dead-letters"]
        last = self._ends(names, IsolationLevel.READ_UNCOMMITTED)
        stable = self._ends(names, IsolationLevel.READ_COMMITTED)
        return [f"{at.topic} {at.partition}" for at in last if stable[at] < last[at]]

    def letters(self) -> dict[str, dict[str, Any]]:
        """Return the newest dead letters by key, mended ones left out."""
        return self._newest("dead-letters")

    def pending_retries(self) -> int:
        """Return how many dead letters will be tried again by themselves."""
        return sum(each.get("retryAt") is not None for each in self.letters().values())

    def observed(self, **more: Any) -> Observed:
        """Return everything that the checker looks at; `more` is what only the caller knows."""
        own = self._installed
        return Observed(
            raw=[
                RawSeen(_text(m.key), _place(event["origin"]), bytes(event["raw"]))
                for m in own.messages("events.raw")
                for event in [self._decoded(m.value)]
            ],
            enriched=self._enriched("events.enriched"),
            repaired=self._enriched("events.repaired"),
            stored=[
                Stored(hit["_index"], hit["_id"], hit["_version"], hit["_source"])
                for hit in own.hits()
            ],
            letters=self.letters(),
            indexed_letters=frozenset(each["letterKey"] for each in own.dead_letters()),
            files={row["key"]: row for row in self._newest("files.ledger").values()},
            indexed_files=own.files(),
            behind=self.behind(),
            open_partitions=self.open_partitions(),
            **more,
        )

    def coordinator_of(self, transactional_id: str) -> int:
        """Return the broker that coordinates the transactions of an id, as Kafka computes it."""
        hashed = 0
        for character in transactional_id:
            hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
        hashed = hashed - (1 << 32) if hashed >= 1 << 31 else hashed
        partitions: Any = {}
        while not partitions:  # it is made with the first transaction
            topics = self._admin.list_topics(timeout=TIMEOUT_S).topics
            if "__transaction_state" in topics:
                partitions = topics["__transaction_state"].partitions
        leader: int = partitions[(hashed & 0x7FFFFFFF) % len(partitions)].leader
        return leader

    def _enriched(self, name: str) -> list[EnrichedSeen]:
        return [
            EnrichedSeen(
                _text(message.key),
                _place(found["event"]["origin"]),
                bytes(found["event"]["raw"]),
                found["enrichment"]["version"],
            )
            for message in self._installed.messages(name)
            for found in [self._decoded(message.value)]
        ]

    def _newest(self, name: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for message in self._installed.messages(name):
            key = _text(message.key)
            if message.value is None:
                found.pop(key, None)
            else:
                found[key] = self._decoded(message.value)
        return found

    def _decoded(self, value: bytes | None) -> dict[str, Any]:
        decoded: dict[str, Any] = self._decode(value)
        return decoded

    def _ends(
        self, names: tuple[str, ...] | list[str], isolation: IsolationLevel
    ) -> dict[TopicPartition, int]:
        asked = {
            TopicPartition(self._installed.topic(name), number): _LATEST
            for name in names
            for number in self._installed.partitions(name)
        }
        answers = self._admin.list_offsets(
            asked, isolation_level=isolation, request_timeout=TIMEOUT_S
        )
        return {
            TopicPartition(at.topic, at.partition): future.result().offset
            for at, future in answers.items()
        }

    def _group(self, role: str) -> Consumer:
        if role not in self._groups:
            self._groups[role] = Consumer(
                {
                    "bootstrap.servers": self._kafka,
                    "group.id": f"{self._installed.name}.opstrail.{role}",
                    "enable.auto.commit": False,
                    "isolation.level": "read_uncommitted",
                    "log_level": 0,
                }
            )
        return self._groups[role]


def _text(key: bytes | None) -> str:
    return (key or b"").decode()


def _place(origin: Mapping[str, Any]) -> Place:
    return Place(origin["key"], origin["recordIndex"])
