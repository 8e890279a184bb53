"""What there is in the topics and in the store, asked of the servers with plain clients."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

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
TOPICS = ("stack-facts", "accounts", "events.reread", *(t for ts in READS.values() for t in ts))
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_OFFSETS = "__consumer_offsets"
T = TypeVar("T")
TIMEOUT_S = 20.0
AWAY_S, LOOK_AGAIN_S = 120.0, 0.3


class NotKnown(Exception):
    """Kafka gave an answer that is none: it knows better when it is asked again."""


class Read(NamedTuple):
    """How far a group has read a partition: its committed offset, and the partition's end."""

    committed: int
    end: int


class Looks:
    """Looks at one installation from outside; it may be asked while brokers are away."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._kafka = installed.addresses.kafka
        self._admin = AdminClient({"bootstrap.servers": self._kafka, "log_level": 0})
        self._groups: dict[str, Consumer] = {}
        self._decode = AvroDeserializer(SchemaRegistryClient({"url": installed.addresses.registry}))

    def behind(self) -> dict[str, int]:
        """Return how many offsets each group has yet to pass, in the order of READS.

        Waits while brokers are away.
        """
        return {
            role: sum(max(0, at.end - at.committed) for at in read.values())
            for role, read in self.progress().items()
        }

    def progress(self) -> dict[str, dict[str, Read]]:
        """Return how far each role has read, by `TOPIC NUMBER`; waits while brokers are away."""
        return self._patiently(
            lambda: {role: self._read(role, names) for role, names in READS.items()}
        )

    def _read(self, role: str, names: Sequence[str]) -> dict[str, Read]:
        ends = self._ends(names, IsolationLevel.READ_UNCOMMITTED)
        found = {}
        for at in self._group(role).committed(list(ends), timeout=TIMEOUT_S):
            if at.error is not None:
                raise NotKnown(f"{at.topic} {at.partition}: {at.error}")
            end = ends[TopicPartition(at.topic, at.partition)]
            found[f"{at.topic} {at.partition}"] = Read(max(0, at.offset), end)
        return found

    def assigned(self, role: str, instance: str) -> list[str]:
        """Return the partitions of a static member as `TOPIC NUMBER`, also after it has died."""
        group = f"{self._installed.name}.opstrail.{role}"
        described = self._admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)
        return [
            f"{at.topic} {at.partition}"
            for member in described[group].result().members
            if member.group_instance_id == instance and member.assignment is not None
            for at in member.assignment.topic_partitions
        ]

    def open_partitions(self) -> dict[str, int]:
        """Return the last stable offset of each partition that ends in an open transaction.

        Those of committed offsets are among them: a transaction of store writes nothing else.
        """
        stable, last = self._patiently(
            lambda: (
                self._ends(TOPICS, IsolationLevel.READ_COMMITTED, offsets=True),
                self._ends(TOPICS, IsolationLevel.READ_UNCOMMITTED, offsets=True),
            )
        )
        return {f"{at.topic} {at.partition}": stable[at] for at in last if stable[at] < last[at]}

    def _patiently(self, ask: Callable[[], T]) -> T:
        give_up = time.monotonic() + AWAY_S
        while True:
            try:
                return ask()
            except (KafkaException, NotKnown):
                if time.monotonic() > give_up:
                    raise
                with suppress(KafkaException):  # see kafka_log.py: else it may never learn
                    self._admin.list_topics(timeout=TIMEOUT_S)
                time.sleep(LOOK_AGAIN_S)

    def letters(self) -> dict[str, dict[str, Any]]:
        """Return the newest dead letters by key, mended ones left out."""
        return self._newest("dead-letters")

    def pending_retries(self) -> int:
        """Return how many dead letters will be tried again by themselves."""
        return sum(each.get("retryAt") is not None for each in self.letters().values())

    def observed(self, logs: Sequence[bytes], **more: Any) -> Observed:
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
            indexed_letters=own.dead_letters(),
            files=list(self._newest("files.ledger").values()),
            indexed_files=[hit["_source"] for hit in own.hits("files")],
            stacks=[
                Stack(each["accountId"], each["stackId"], each["attributes"]["name"])
                for each in self._newest("stack-facts").values()
                if each["kind"] == "stackDefined"
            ],
            reread=sum(1 for _ in own.messages("events.reread")),
            behind=self.behind(),
            open_partitions=list(self.open_partitions()),
            leaks=self._leaks(logs),
            **more,
        )

    def _leaks(self, logs: Sequence[bytes]) -> dict[str, frozenset[bytes]]:
        """Return what looks like a planted secret, in aborted messages too, by where it was."""
        own, found = self._installed, {}
        for name in dict.fromkeys(TOPICS):
            values = (message.value or b"" for message in own.messages(name, "read_uncommitted"))
            found[name] = _secrets_of(values)
        for kind in ("events", "files", "dead-letters"):
            texts = (json.dumps(hit["_source"]).encode() for hit in own.hits(kind))
            found[f"the index of {kind}"] = _secrets_of(texts)
        found["the logs"] = _secrets_of(logs)
        return found

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
        self, names: Sequence[str], isolation: IsolationLevel, *, offsets: bool = False
    ) -> dict[TopicPartition, int]:
        asked = {
            TopicPartition(self._installed.topic(name), number): _LATEST
            for name in names
            for number in self._installed.partitions(name)
        }
        if offsets:
            topics = self._admin.list_topics(timeout=TIMEOUT_S).topics
            numbers = topics[_OFFSETS].partitions if _OFFSETS in topics else ()
            asked |= {TopicPartition(_OFFSETS, number): _LATEST for number in numbers}
        answers = self._admin.list_offsets(
            asked, isolation_level=isolation, request_timeout=TIMEOUT_S
        )
        found = {
            TopicPartition(at.topic, at.partition): future.result().offset
            for at, future in answers.items()
        }
        if unknown := [str(at) for at, offset in found.items() if offset < 0]:
            raise NotKnown(f"no offset of {', '.join(unknown)}")
        return found

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
    return (key or b"").decode(errors="backslashreplace")


def _secrets_of(texts: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(secret for text in texts for secret in SECRET.findall(text))


def _place(origin: Mapping[str, Any]) -> Place:
    return Place(origin["key"], origin["recordIndex"])
