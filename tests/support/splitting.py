"""A split stage on Kafka in memory, with objects in a dict."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field

from opstrail_ingest.fetched import Fetched, ObjectUnavailable
from opstrail_ingest.file_split import Events, SplitLimits
from opstrail_ingest.gunzip import Budget
from opstrail_ingest.ledger import Ledger
from opstrail_ingest.masking import Masking
from opstrail_ingest.split_stage import RetryTimes, SplitCodecs, SplitStage
from opstrail_runtime.dead_letters import DeadLetters
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Commit, Partition, Pulse, Record
from opstrail_schemas.codec import Codec, M
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter, FileNotice, RawEvent, TrailFile
from opstrail_schemas.topics import TopicName
from tests.support.memory_kafka import MemoryKafka, MemoryLog, StillPulse
from tests.support.records import KEY

NOW_MS = 1_709_300_000_000
MIB = 1024 * 1024


def _codec(message_type: type[M], schema_id: int) -> Codec[M]:
    return Codec(message_type, schema_id, lambda schema_id: f"no schema {schema_id}")


NOTICES, LEDGER, LETTERS = _codec(FileNotice, 1), _codec(TrailFile, 2), _codec(DeadLetter, 3)
RAW, REREAD = _codec(RawEvent, 4), _codec(RawEvent, 5)


def a_notice(key: str = KEY, **fields: object) -> FileNotice:
    given = {"bucket": "trails", "key": key, "source": "s3", "noticed_at": NOW_MS}
    return FileNotice(**(given | fields))  # type: ignore[arg-type]


@dataclass(slots=True)
class Objects:
    """An ObjectReader of a dict. `away` and `refused` say what fails; every fetch is noted.

    `versions` are the bytes of versions by their ids, and when each was written.
    """

    stored: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    opened: list[Fetched] = field(default_factory=list)

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        self.fetched.append(notice.key)
        pulse.beat()
        e_tag = self._e_tag(notice)
        stored, modified = self._found(notice)
        fetched = Fetched(
            io.BytesIO(stored), len(stored), e_tag, notice.version_id, last_modified=modified
        )
        self.opened.append(fetched)
        return fetched

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        self.asked.append(notice.key)
        pulse.beat()
        return self._e_tag(notice)

    def _found(self, notice: FileNotice) -> tuple[bytes, int]:
        if notice.version_id in self.versions:
            return self.versions[notice.version_id]
        return self.stored[notice.key], 17

    def _e_tag(self, notice: FileNotice) -> str:
        if notice.key in self.away:
            raise Unavailable("s3", "away")
        if notice.version_id not in self.versions and notice.key not in self.stored:
            raise ObjectUnavailable("not-found", "there is no such object")
        return hashlib.sha256(self._found(notice)[0]).hexdigest()


@dataclass(slots=True)
class Split:
    """A split stage; `run` commits as the loop does, in one partition."""

    objects: Objects = field(default_factory=Objects)
    limits: SplitLimits = field(default_factory=lambda: SplitLimits(32 * MIB, 1.0, Budget()))
    kafka: MemoryKafka = field(default_factory=lambda: MemoryKafka(dict.fromkeys(TopicName, 1)))
    pulse: StillPulse = field(default_factory=StillPulse)
    commits: list[Commit] = field(default_factory=list)
    now: int = NOW_MS
    tick_ms: int = 0

    def _now_ms(self) -> int:
        self.now += self.tick_ms
        return self.now

    def stage(self) -> SplitStage:
        """Return a stage of a process that starts now."""
        stage = SplitStage(
            reader=self.objects,
            ledger=Ledger(MemoryLog(self.kafka), LEDGER, monotonic=lambda: 0.0),
            codecs=SplitCodecs(
                NOTICES,
                LEDGER,
                Events(TopicName.EVENTS_RAW, RAW),
                Events(TopicName.EVENTS_REREAD, REREAD),
            ),
            dead_letters=DeadLetters("split", LETTERS),
            masking=Masking(),
            limits=self.limits,
            retries=RetryTimes(first_s=30, longest_s=3600, give_up_s=86_400),
            now_ms=self._now_ms,
        )
        stage.restore([Partition(TopicName.FILES_NOTICED, 0)], self.pulse)
        return stage

    def noticed(self, notice: FileNotice | bytes | None) -> Record:
        """Append a notice; return its record."""
        if isinstance(notice, FileNotice):
            key = file_key(notice.bucket, notice.key)
            return self.kafka.append(TopicName.FILES_NOTICED, key, NOTICES.encode(notice))
        return self.kafka.append(TopicName.FILES_NOTICED, b"k", notice)

    def run(self, *notices: FileNotice | bytes | None, stage: SplitStage | None = None) -> None:
        """Notice files and split them."""
        records = [self.noticed(notice) for notice in notices]
        for commit in (stage or self.stage()).work(records, self.pulse):
            self.commit(commit)

    def commit(self, commit: Commit) -> None:
        """Do what the loop does with a commit."""
        for output in commit.outputs:
            self.kafka.append(output.topic, output.key, output.value)
        self.commits.append(commit)
        commit.after()

    def _all(self, topic: TopicName, decode: Callable[[bytes], M]) -> list[M]:
        return [
            decode(record.value)
            for record in self.kafka.messages(topic)
            if record.value is not None
        ]

    @property
    def events(self) -> list[RawEvent]:
        return self._all(TopicName.EVENTS_RAW, RAW.decode)

    @property
    def reread(self) -> list[RawEvent]:
        return self._all(TopicName.EVENTS_REREAD, REREAD.decode)

    @property
    def rows(self) -> list[TrailFile]:
        return self._all(TopicName.FILES_LEDGER, LEDGER.decode)

    @property
    def letters(self) -> dict[str, DeadLetter | None]:
        """The newest dead letter of each key; None: a tombstone."""
        return {
            (record.key or b"").decode(): None
            if record.value is None
            else LETTERS.decode(record.value)
            for record in self.kafka.messages(TopicName.DEAD_LETTERS)
        }
