"""The services' own loops and stages on a model of Kafka and OpenSearch: killed, and looked at.

What is killed is an object: it is dropped as it stands, and a new one begins. `Parts` says what a
simulation is built of; tests put parts with planted bugs there.
"""

import hashlib
import io
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from opstrail_enrich.enrich_stage import INPUTS, EnrichStage, EventCodecs
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.window import Window
from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.discover import Discover, Notifications
from opstrail_ingest.fetched import Fetched, ObjectUnavailable
from opstrail_ingest.file_split import Events, SplitLimits
from opstrail_ingest.gunzip import Budget
from opstrail_ingest.ledger import Ledger
from opstrail_ingest.masking import Masking
from opstrail_ingest.notices import Notices
from opstrail_ingest.patience import Patiently, StopPulse
from opstrail_ingest.split_stage import RetryTimes, SplitCodecs, SplitStage
from opstrail_ingest.sqs_source import Received, SqsSource
from opstrail_runtime import failpoints
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.dead_letters import DeadLetters
from opstrail_runtime.loop import Limits, Loop
from opstrail_runtime.stage import Output, Pulse, Stage
from opstrail_schemas.codec import Codec, M
from opstrail_schemas.messages import (
    Account,
    DeadLetter,
    EnrichedEvent,
    FileNotice,
    RawEvent,
    StackFact,
    TrailFile,
)
from opstrail_schemas.topics import TopicName
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import OpenSearchSink
from opstrail_store.store_stage import TOPICS, StoreStage
from opstrail_store.store_stage import Codecs as StoreCodecs
from tests.support.checker.broker_model import (
    BrokerModel,
    ModelLog,
    ModelSource,
    ModelWriter,
    Stuck,
)
from tests.support.checker.expected import SECRET, Expected, Place, Stack, expected_of
from tests.support.checker.observed import EnrichedSeen, Observed, RawSeen, Stored
from tests.support.fake_opensearch import FakeOpenSearch

BUCKET = "trails"
PARTITIONS = 2
NOW_MS = 1_709_300_000_000
MIB = 1024 * 1024
ROLES = ("split", "enrich", "store")
_TOPICS: Mapping[str, Sequence[TopicName]] = {
    "split": (TopicName.FILES_NOTICED,),
    "enrich": INPUTS,
    "store": TOPICS,
}


class Killed(BaseException):
    """The process got a SIGKILL."""


def _codec(message_type: type[M], schema_id: int) -> Codec[M]:
    return Codec(message_type, schema_id, lambda wanted: f"no schema {wanted}")


NOTICES, LEDGER, LETTERS = _codec(FileNotice, 1), _codec(TrailFile, 2), _codec(DeadLetter, 3)
RAW, REREAD = _codec(RawEvent, 4), _codec(RawEvent, 5)
ENRICHED, REPAIRED = _codec(EnrichedEvent, 6), _codec(EnrichedEvent, 7)
STACK_FACTS, ACCOUNTS = _codec(StackFact, 8), _codec(Account, 9)


class Bucket:
    """Reads objects of a dict."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Return an object's bytes."""
        e_tag = self.e_tag(notice, pulse)
        data = self.files[notice.key]
        return Fetched(io.BytesIO(data), len(data), e_tag)

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Return its ETag."""
        pulse.beat()
        if notice.key not in self.files:
            raise ObjectUnavailable("not-found", "there is no such object")
        return hashlib.sha256(self.files[notice.key]).hexdigest()


class Queue:
    """A queue that delivers a message again until it is deleted."""

    name = "trail"

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}
        self._sent = 0

    def send(self, key: str) -> None:
        """Notify of an object."""
        self._sent += 1
        body = json.dumps({"s3Bucket": BUCKET, "s3ObjectKey": [key]})
        self.messages[f"m{self._sent}"] = body

    def receive(self, *, most: int) -> list[Received]:
        """Return messages."""
        return [Received(i, i, body) for i, body in list(self.messages.items())[:most]]

    def holding(self, received: Sequence[Received], pulse: Pulse) -> Pulse:
        """Return the pulse."""
        return pulse

    def delete(self, received: Sequence[Received]) -> None:
        """Delete messages."""
        for message in received:
            self.messages.pop(message.message_id, None)


class _NeverStops:
    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        return False


class _Notifier:
    """Writes notices without transactions."""

    def __init__(self, kafka: BrokerModel) -> None:
        self._kafka = kafka

    def write(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self._kafka.append(output.topic, output.key, output.value)

    def close(self) -> None:
        """Nothing is open."""


def _slot(role: str, member: str, start: int) -> str:
    return f"sim.{role}.{member}"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a simulation is built of."""

    source: Callable[..., ModelSource] = ModelSource
    writer: Callable[[BrokerModel, str], ModelWriter] = ModelWriter
    log: Callable[[BrokerModel], ModelLog] = ModelLog
    loop: Callable[..., Loop] = Loop
    ledger: Callable[..., Ledger] = Ledger
    sink: Callable[..., OpenSearchSink] = OpenSearchSink
    store: Callable[..., StoreStage] = StoreStage
    search: Callable[[], FakeOpenSearch] = FakeOpenSearch
    queue: Callable[[], Queue] = Queue
    masking: Callable[[], Masking] = Masking
    slot: Callable[[str, str, int], str] = _slot


@dataclass(slots=True)
class _Process:
    role: str
    loop: Loop
    writer: ModelWriter
    sink: OpenSearchSink | None = None


@dataclass(slots=True)
class Simulation:
    """A bucket of files, a queue, and the three services. `armed` is OPSTRAIL_FAILPOINT."""

    files: dict[str, bytes]
    parts: Parts = field(default_factory=Parts)
    seed: int = 1
    armed: str = ""
    most_records: int = 40
    kafka: BrokerModel = field(init=False)
    search: FakeOpenSearch = field(init=False)
    queue: Queue = field(init=False)
    kills: int = 0
    restarts: int = 0
    resumed_s: list[float] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    """Commits and replies to commits that were lost."""
    processes: dict[tuple[str, str], _Process] = field(default_factory=dict)
    _starts: int = 0
    _copies: dict[str, int] = field(default_factory=dict)
    _died: dict[str, tuple[float, object]] = field(default_factory=dict)
    _passed: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the servers."""
        self.files = dict(self.files)
        one = (TopicName.STACK_FACTS, TopicName.ACCOUNTS)
        self.kafka = BrokerModel({name: 1 if name in one else PARTITIONS for name in TopicName})
        self.search = self.parts.search()
        self.queue = self.parts.queue()

    # Acts

    def notify(self, keys: Collection[str] | None = None) -> None:
        """Put objects into the queue, all of them by default."""
        for key in self.files if keys is None else keys:
            self.queue.send(key)

    def replace(self, key: str, data: bytes) -> None:
        """Put another copy of a file in its place, and notify of it."""
        self.files[key] = data
        self._copies[key] = self._copies.get(key, 1) + 1
        self.notify([key])

    def start(self, role: str, member: str = "0") -> _Process:
        """Start a process; the first of its role owns all partitions."""
        group = self._group(role)
        if group not in self.kafka.assigned:
            self.kafka.move(group, self.kafka.all(_TOPICS[role]), member)
        self._starts += 1
        slot = self.parts.slot(role, member, self._starts)
        writer = self.parts.writer(self.kafka, slot)
        writer.lost = self.lost
        stage, sink = self._stage(role)
        loop = self.parts.loop(
            name=role,
            stage=stage,
            source=self.parts.source(self.kafka, group, _TOPICS[role], member),
            writer=writer,
            limits=Limits(most_records=self.most_records),
            backoff=Backoff(first_s=0.5, longest_s=30, rng=random.Random(self.seed)),
            monotonic=self._monotonic,
            stopping=lambda: False,
        )
        process = _Process(role, loop, writer, sink)
        self.processes[role, member] = process
        return process

    def step(self, role: str, member: str = "0") -> None:
        """Let a process poll once; one that dies there is started again."""
        process = self.processes.get((role, member)) or self.start(role, member)
        try:
            with self._failpoints_of(role):
                process.loop.step()
        except Killed:
            self._dies(role, member)
        else:
            self._note_resumed(role)

    def take(self) -> None:
        """Let discover look into the queue once."""
        discover = Discover(
            Notices(NOTICES, LETTERS, Masking().mask_fragment),
            _Notifier(self.kafka),
            StopPulse("discover", _NeverStops()),
            Patiently(Backoff(first_s=1, longest_s=8, rng=random.Random(1))),
            now_ms=self._now_ms,
        )
        notifications = Notifications(
            cast("SqsSource", self.queue), AllowedBuckets(frozenset([BUCKET])), most=7
        )
        try:
            with self._failpoints_of("discover"):
                discover.take(notifications)
        except Killed:
            self.kills += 1
            self.restarts += 1

    def run(self, *, rounds: int = 300) -> Observed:
        """Let everything go on until all is at its end, or nothing ends; return what there is."""
        self.drain(rounds=rounds)
        self.close()
        return self.observed()

    def drain(self, *, rounds: int = 300) -> None:
        """Let everything go on until all is at its end, or nothing ends."""
        try:
            for _ in range(rounds):
                self.take()
                for role in ROLES:
                    self.step(role)
                if not self.queue.messages and not any(self.behind().values()):
                    break
        except Stuck:
            pass  # the lag tells

    def close(self) -> None:
        """Let go of threads."""
        for process in self.processes.values():
            if process.sink is not None:
                process.sink.close()

    # What came of it

    def expected(self) -> Expected:
        """Return what must come of it: the last copy of a file says what is in it."""
        expected = expected_of(self.files)
        expected.copies.update(self._copies)
        return expected

    def behind(self) -> dict[str, int]:
        """Return what each service has yet to read."""
        return {
            role: sum(
                len(self.kafka.log(at)) - (done.offset if done else 0)
                for at in self.kafka.all(_TOPICS[role])
                for done in [self.kafka.offsets.get((self._group(role), at))]
            )
            for role in ROLES
        }

    def observed(self) -> Observed:
        """Return what there is now."""
        letters = self._newest(TopicName.DEAD_LETTERS, LETTERS)
        documents = self.search.documents
        texts = {str(name): b"\n".join(self._written(name)) for name in TopicName}
        texts["the store"] = json.dumps(list(documents.values())).encode()
        return Observed(
            raw=[
                RawSeen((r.key or b"").decode(), Place(e.origin.key, e.origin.record_index), e.raw)
                for r in self.kafka.messages(TopicName.EVENTS_RAW)
                for e in [RAW.decode(r.value or b"")]
            ],
            enriched=self._enriched(TopicName.EVENTS_ENRICHED, ENRICHED),
            repaired=self._enriched(TopicName.EVENTS_REPAIRED, REPAIRED),
            stored=[
                Stored(index, id_, self.search.versions[index, id_], document)
                for (index, id_), document in documents.items()
                if "-events-" in index
            ],
            letters=letters,
            indexed_letters=[d for (i, _), d in documents.items() if "dead-letters" in i],
            files=list(self._newest(TopicName.FILES_LEDGER, LEDGER).values()),
            indexed_files=[d for (i, _), d in documents.items() if "-files" in i],
            stacks=[
                Stack(each["accountId"], each["stackId"], each["attributes"]["name"])
                for each in self._newest(TopicName.STACK_FACTS, STACK_FACTS).values()
                if each["kind"] == "stackDefined"
            ],
            reread=len(self.kafka.messages(TopicName.EVENTS_REREAD)),
            behind={**self.behind(), "the queue": len(self.queue.messages)},
            open_partitions=[
                f"{at.topic} {at.number}"
                for at in self.kafka.logs
                if self.kafka.stable(at) < len(self.kafka.log(at))
            ],
            kills=self.kills,
            restarts=self.restarts,
            resumed_s=self.resumed_s,
            leaks={at: frozenset(SECRET.findall(text)) for at, text in texts.items()},
        )

    def _written(self, topic: TopicName) -> Iterator[bytes]:
        """Give all values that were ever written to a topic, also those of aborted transactions."""
        for at in self.kafka.all([topic]):
            for entry in self.kafka.log(at):
                yield (entry.record.value if entry.record else None) or b""

    def _newest(self, topic: TopicName, codec: Codec[Any]) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for record in self.kafka.messages(topic):
            key = (record.key or b"").decode(errors="backslashreplace")
            if record.value is None:
                found.pop(key, None)
            else:
                found[key] = msgspec.to_builtins(codec.decode(record.value))
        return found

    def _enriched(self, topic: TopicName, codec: Codec[EnrichedEvent]) -> list[EnrichedSeen]:
        return [
            EnrichedSeen(
                (record.key or b"").decode(),
                Place(event.event.origin.key, event.event.origin.record_index),
                event.event.raw,
                event.enrichment.version,
            )
            for record in self.kafka.messages(topic)
            for event in [codec.decode(record.value or b"")]
        ]

    # Processes

    def _stage(self, role: str) -> tuple[Stage, OpenSearchSink | None]:
        log, letters = self.parts.log(self.kafka), DeadLetters(role, LETTERS)
        if role == "split":
            return SplitStage(
                reader=Bucket(self.files),
                ledger=self.parts.ledger(log, LEDGER, monotonic=self._monotonic),
                codecs=SplitCodecs(
                    NOTICES,
                    LEDGER,
                    Events(TopicName.EVENTS_RAW, RAW),
                    Events(TopicName.EVENTS_REREAD, REREAD),
                ),
                dead_letters=letters,
                masking=self.parts.masking(),
                limits=SplitLimits(24 * 1024, 1.0, Budget()),
                retries=RetryTimes(first_s=30, longest_s=3600, give_up_s=86_400),
                now_ms=self._now_ms,
            ), None
        if role == "enrich":
            return EnrichStage(
                log=log,
                facts=FactLog(log, STACK_FACTS, ACCOUNTS),
                window=Window(most_identities=100_000),
                codecs=EventCodecs(RAW, REREAD, ENRICHED, REPAIRED),
                dead_letters=letters,
                restored_bytes=100 * MIB,
                transaction_bytes=16 * 1024,
                now_ms=self._now_ms,
                monotonic=self._monotonic,
            ), None
        sink = self.parts.sink(
            cast("Any", self.search),
            backoff=Backoff(first_s=0.5, longest_s=30, rng=random.Random(self.seed)),
            max_documents=20,
            in_flight=1,
        )
        return self.parts.store(
            sink=sink,
            codecs=StoreCodecs(ENRICHED, REPAIRED, LEDGER, LETTERS),
            names=IndexNames(),
            horizon=lambda: None,
            now_ms=self._now_ms,
        ), sink

    @contextmanager
    def _failpoints_of(self, role: str) -> Iterator[None]:
        """Arm the failpoints of a role, counts kept over its steps; a SIGKILL raises Killed."""
        failpoints.arm(role, {"OPSTRAIL_FAILPOINT": self.armed})
        if role in self._passed:
            failpoints._armed.update(self._passed[role])
        real = os.kill
        os.kill = _kill
        try:
            yield
        finally:
            os.kill = real
            self._passed[role] = dict(failpoints._armed)
            failpoints.arm("none", {})

    def _dies(self, role: str, member: str) -> None:
        process = self.processes.pop((role, member))
        if process.sink is not None:
            process.sink.close()
        self.kills += 1
        self.restarts += 1
        self._died[role] = (self.kafka.now_s, self._offsets(role))
        self.start(role, member)

    def _note_resumed(self, role: str) -> None:
        if role in self._died and self._offsets(role) != self._died[role][1]:
            self.resumed_s.append(self.kafka.now_s - self._died.pop(role)[0])

    def _offsets(self, role: str) -> object:
        return {at: to for at, to in self.kafka.offsets.items() if at[0] == self._group(role)}

    @staticmethod
    def _group(role: str) -> str:
        return f"opstrail.{role}"

    def _monotonic(self) -> float:
        self.kafka.now_s += 0.0001
        return self.kafka.now_s

    def _now_ms(self) -> int:
        return NOW_MS + int(self.kafka.now_s * 1000)


def _kill(pid: int, number: int) -> None:
    assert (pid, number) == (os.getpid(), signal.SIGKILL)
    raise Killed
