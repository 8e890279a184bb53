"""An installation of the test's own on the shared servers, and `opstrail run` against it.

Topics, groups, indices, slots and the state folder carry the installation's name, so that nothing
of one test is seen by another. What happened is looked at with plain clients, not with our code.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from opstrail_runtime.dead_letters import key_of
from opstrail_schemas.codec import encode_body, frame
from opstrail_schemas.messages import DeadLetter
from opstrail_schemas.topics import TopicName, topic
from tests.support.servers import Servers

LOOK_EVERY_S = 0.05
READ_WITHIN_S = 120.0  # only ever waited for by a test that fails
SERVICES = ("split", "enrich", "store")
_BEING_CREATED = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
FEW_PARTITIONS = {
    "OPSTRAIL_KAFKA__FILES_PARTITIONS": "4",
    "OPSTRAIL_KAFKA__EVENTS_PARTITIONS": "4",
}


class Message(NamedTuple):
    """A committed message as a plain consumer sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Place(NamedTuple):
    """Where a message is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: what it printed, what its services logged, how large they became."""

    code: int
    result: Mapping[str, Any]
    said: str
    logs: Mapping[str, str]
    peaks: Mapping[str, int]
    """Peak resident bytes by service."""


@dataclass(slots=True)
class Running:
    """`opstrail run`, or one service, as a process."""

    process: psutil.Popen
    out: Path
    err: Path
    logs: Path
    peaks: dict[str, int] = field(default_factory=dict)

    def pid(self, service: str) -> int | None:
        """Return the process id of a service of the run, while it runs."""
        return next((pid for name, pid in self._services() if name == service), None)

    def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for something to become true while the run goes on."""
        while not true():
            self._look()
            if self.process.poll() is not None:
                raise AssertionError(f"the run ended before {what}:\n{self.told()}")
            time.sleep(LOOK_EVERY_S)

    def ended(self) -> Ended:
        """Wait for the end; the time limit of the test bounds it."""
        while self.process.poll() is None:
            self._look()
            time.sleep(LOOK_EVERY_S)
        lines = self.out.read_text().splitlines()
        if not lines:
            raise AssertionError(f"no result, exit code {self.process.returncode}:\n{self.told()}")
        return Ended(
            code=self.process.returncode,
            result=json.loads(lines[-1]),
            said=self.err.read_text(),
            logs={path.stem: path.read_text() for path in self.logs.rglob("*.log")},
            peaks=self.peaks,
        )

    def log(self, service: str) -> str:
        """Return what a service of the run has logged."""
        path = next(self.logs.rglob(f"{service}.log"), None)
        return "" if path is None else path.read_text()

    def stop(self) -> None:
        """End it and all its children, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except psutil.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _services(self) -> Iterator[tuple[str, int]]:
        with suppress(psutil.NoSuchProcess):
            for child in self.process.children():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    command = child.cmdline()
                    name = next((word for word in ("discover", *SERVICES) if word in command), None)
                    if name is not None:
                        yield name, child.pid

    def _look(self) -> None:
        for name, pid in [("run", self.process.pid), *self._services()]:
            self.peaks[name] = max(self.peaks.get(name, 0), peak_bytes(pid))

    def told(self) -> str:
        """Return what it printed, and the last lines of each of its logs."""
        ends = [
            f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-15:])
            for path in self.logs.rglob("*.log")
        ]
        return "\n".join([self.out.read_text(), self.err.read_text(), *ends])


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process ever had, as Linux counts it."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Installed:
    """One installation. `settings` are environment variables of its processes."""

    def __init__(
        self, servers: Servers, name: str, state: Path, settings: Mapping[str, str]
    ) -> None:
        self.name = name
        self.state = state
        self._settings = {
            "OPSTRAIL_KAFKA__TOPIC_PREFIX": name,
            "OPSTRAIL_STORE__INDEX_PREFIX": name,
            "XDG_STATE_HOME": str(state),
            "LOGNAME": name,  # part of the names of a run's slots
            "PYTHONUNBUFFERED": "1",
            # Named, so that `run` leaves none behind: it would outlive the tests.
            "OPSTRAIL_HISTORY__URL": "http://127.0.0.1:9",
            **servers.environment(),
            **settings,
        }
        self.addresses = servers.addresses
        self.opensearch = OpenSearch(servers.addresses.opensearch, timeout=60)
        self._admin = AdminClient({"bootstrap.servers": servers.addresses.kafka})
        self._runs = 0

    # Processes

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a process of ours is given; settings may be added."""
        return {**os.environ, **self._settings, **more}

    def start(self, *command: str, **more: str) -> Running:
        """Start `opstrail COMMAND`; settings may be added for this process."""
        self._runs += 1
        out, err = (self.state / f"run-{self._runs}.{end}" for end in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = psutil.Popen(
                [sys.executable, "-m", "opstrail_cli.main", *command],
                env=self.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        return Running(process, out, err, self.state / "opstrail" / "logs")

    @contextmanager
    def running(self, source: Path | str, **more: str) -> Iterator[Running]:
        """Run SOURCE until idle; whatever happens in the block, no process is left.

        What it and its services said last is printed when the block fails, as when time is over.
        """
        run = self.start("run", str(source), "--until-idle", "--json", **more)
        try:
            yield run
        except BaseException:
            print(run.told())
            raise
        finally:
            run.stop()

    def run(self, source: Path | str, **more: str) -> Ended:
        """Run SOURCE until idle, to its end."""
        with self.running(source, **more) as run:
            return run.ended()

    # The store

    def hits(self, kind: str = "events") -> Iterator[dict[str, Any]]:
        """Give every document behind an alias with its index, id, version and source."""
        alias = f"{self.name}-{kind}"
        self.opensearch.indices.refresh(index=alias)
        yield from scan(self.opensearch, {"version": True}, index=alias, size=2_000)

    def identities(self) -> set[str]:
        """Return the ids of all stored events; each document must have one of its own."""
        found = [hit["_id"] for hit in self.hits()]
        assert len(found) == len(set(found)), "an identity is stored in two indices"
        return set(found)

    def stored(self) -> int:
        """Return how many events the store shows now."""
        self.opensearch.indices.refresh(index=f"{self.name}-events", ignore=[404])
        # 503: the first index is being made, and its shard is not there yet.
        found = self.opensearch.count(index=f"{self.name}-events", ignore=[404, 503])
        count: int = found.get("count", 0)
        return count

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return all dead letters."""
        return [hit["_source"] for hit in self.hits("dead-letters")]

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the ledger's rows by object key."""
        return {hit["_source"]["key"]: hit["_source"] for hit in self.hits("files")}

    def mapped_fields(self) -> dict[str, int]:
        """Return the number of mapped fields of each index of events."""
        answer = self.opensearch.indices.get_mapping(index=f"{self.name}-events-v1-*")
        return {
            index: _leaves(mapping["mappings"]["properties"]) for index, mapping in answer.items()
        }

    def template_fields(self) -> int:
        """Return the number of fields that the template of events maps."""
        answer = self.opensearch.indices.get_index_template(name=f"{self.name}-events")
        template = answer["index_templates"][0]["index_template"]["template"]
        return _leaves(template["mappings"]["properties"])

    # Kafka

    def topic(self, name: str) -> str:
        """Return a topic's full name: `events.raw` is `NAME.opstrail.events.raw.v1`."""
        return f"{self.name}.opstrail.{name}.v1"

    def partitions(self, name: str) -> list[int]:
        """Return the partitions of a topic."""
        full = self.topic(name)
        found = self._admin.list_topics(full, timeout=30).topics[full]
        if found.error is not None:  # else a topic that is not known now would look like no topic
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def messages(self, name: str, isolation: str = "read_committed") -> Iterator[Message]:
        """Give what a plain consumer reads of a topic, from its start to its end."""
        full = self.topic(name)
        consumer = Consumer(
            {
                "bootstrap.servers": self.addresses.kafka,
                "group.id": f"{self.name}.looks-on",
                "isolation.level": isolation,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            unread = set(self.partitions(name))
            consumer.assign([TopicPartition(full, number, 0) for number in unread])
            give_up = time.monotonic() + READ_WITHIN_S
            while unread:
                assert time.monotonic() < give_up, f"{full} has no end"
                for message in consumer.consume(1_000, 0.2):
                    error = message.error()
                    number, offset = message.partition(), message.offset()
                    assert number is not None
                    assert offset is not None
                    if error is None:
                        yield Message(number, offset, message.key(), message.value())
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unread.discard(number)
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()

    def decoded(self, name: str) -> Iterator[dict[str, Any]]:
        """Give the messages of a topic as any Avro client reads them; tombstones left out."""
        registry = SchemaRegistryClient({"url": self.addresses.registry})
        decode = AvroDeserializer(
            registry, conf={"subject.name.strategy": topic_subject_name_strategy}
        )
        context = SerializationContext(self.topic(name), MessageField.VALUE)
        for message in self.messages(name):
            if message.value is not None:
                yield decode(message.value, context)

    def written(self, name: str) -> int:
        """Return how many offsets of a topic are taken; none while it is being created."""
        full = self.topic(name)
        consumer = Consumer(
            {"bootstrap.servers": self.addresses.kafka, "group.id": f"{self.name}.looks-on"}
        )
        try:
            there = consumer.list_topics(full, timeout=30).topics[full]
            return sum(
                consumer.get_watermark_offsets(TopicPartition(full, number), timeout=30)[1]
                for number in there.partitions
            )
        except KafkaException as error:
            if error.args[0].code() in _BEING_CREATED:
                return 0
            raise
        finally:
            consumer.close()

    def produce(self, name: str, values: Iterable[tuple[int, bytes, bytes]]) -> list[Place]:
        """Write (partition, key, value) to a topic as anybody could; return where they are."""
        producer = Producer(
            {"bootstrap.servers": self.addresses.kafka, "partitioner": "murmur2_random"}
        )
        places: list[Place] = []

        def delivered(error: KafkaError | None, message: Any) -> None:
            assert error is None, error
            places.append(Place(message.topic(), message.partition(), message.offset()))

        for partition, key, value in values:
            producer.produce(self.topic(name), value, key, partition, on_delivery=delivered)
        assert producer.flush(60) == 0
        return places

    def bury(self, letters: Iterable[DeadLetter]) -> list[Place]:
        """File dead letters, as a stage would."""
        registry = SchemaRegistryClient({"url": self.addresses.registry})
        subject = topic(TopicName.DEAD_LETTERS).subject
        schema_id = registry.get_latest_version(subject).schema_id
        assert schema_id is not None
        return self.produce(
            "dead-letters",
            [(-1, key_of(letter), frame(schema_id, encode_body(letter))) for letter in letters],
        )

    def clear(self) -> None:
        """Take topics and indices away, so that the next test finds quiet servers."""
        own = [name for name in self._admin.list_topics(timeout=30).topics if self._owns(name)]
        for future in self._admin.delete_topics(own).values() if own else ():
            future.result()
        self.opensearch.indices.delete(
            index=f"{self.name}-*", ignore=[404], params={"expand_wildcards": "all"}
        )
        self.opensearch.indices.delete_index_template(name=f"{self.name}-*", ignore=[404])
        self.opensearch.close()

    def _owns(self, topic: str) -> bool:
        return topic.startswith(f"{self.name}.")


@contextmanager
def installed(servers: Servers, folder: Path, **settings: str) -> Iterator[Installed]:
    """Yield an installation with a name of its own; it is taken away at the end."""
    name = f"s{uuid.uuid4().hex[:10]}"
    state = folder / name
    state.mkdir(parents=True)
    installation = Installed(servers, name, state, settings)
    try:
        yield installation
    finally:
        installation.clear()


def _leaves(properties: Mapping[str, Any]) -> int:
    return sum(1 + _leaves(each.get("properties", {})) for each in properties.values())
