"""The stage: raw events in, enriched events out, repeats dropped."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from opstrail_enrich.enrichment import enrich
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.learning import facts_of
from opstrail_enrich.telemetry import WindowHeld
from opstrail_enrich.window import Seen, Window, content_of
from opstrail_runtime.codecs import decoded
from opstrail_runtime.dead_letters import DeadLetters, clipped
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_runtime.telemetry import RecordsCounted, StateRestored, emit
from opstrail_schemas.codec import Codec, append_enrichment
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, RawEvent
from opstrail_schemas.topics import TopicName, topic

STAGE = "enrich"
INPUTS = (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD)
T = TypeVar("T")
_BEAT_EVERY = 100  # records; about 10 ms of work


@dataclass(frozen=True, slots=True)
class EventCodecs:
    """The codecs of the topics of events."""

    raw: Codec[RawEvent]
    reread: Codec[RawEvent]
    enriched: Codec[EnrichedEvent]
    repaired: Codec[EnrichedEvent]


@dataclass(slots=True)
class _Batch:
    """What one transaction will move."""

    outputs: list[Output] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    size: int = 0
    came: int = 0
    repeats: int = 0
    dead: dict[str, int] = field(default_factory=dict)
    refused: dict[Partition, int] = field(default_factory=dict)
    # Identities of this transaction: the window learns of them when it is committed.
    fresh: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    def add(self, output: Output) -> None:
        self.outputs.append(output)
        self.size += len(output.value or b"")

    def bury(self, letter: Output, reason: str) -> None:
        self.add(letter)
        self.dead[reason] = self.dead.get(reason, 0) + 1


@dataclass(slots=True)
class EnrichStage:
    """Enriches events; see the package's docstring for what it promises.

    `restored_bytes` is how much of the end of events.enriched a process reads back at least, an
    equal part for each partition; `transaction_bytes` bounds the outputs of one transaction.
    """

    log: Log
    facts: FactLog
    window: Window
    codecs: EventCodecs
    dead_letters: DeadLetters
    restored_bytes: int
    transaction_bytes: int
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]

    def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
        """Read all facts, once, and the windows of partitions of raw events."""
        began = self.monotonic()
        if not self.facts.restored:
            self.facts.restore(pulse)
            catalogs = self.facts.catalogs
            known = len(catalogs.stacks.facts) + len(catalogs.accounts.facts)
            emit(StateRestored(STAGE, "facts", known, self.monotonic() - began))
        began = self.monotonic()
        raw = [p.number for p in partitions if p.topic == TopicName.EVENTS_RAW]
        for number in raw:
            self.window.open(number)
        for number in raw:
            self._restore_window(number, pulse)
        emit(StateRestored(STAGE, "window", len(self.window), self.monotonic() - began))

    def forget(self, partitions: Sequence[Partition]) -> None:
        """Drop the windows of partitions that went; facts stay."""
        for partition in partitions:
            if partition.topic == TopicName.EVENTS_RAW:
                self.window.forget(partition.number)

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        """Enrich records, in transactions of bounded size.

        What the records of a transaction teach counts for all of them, whatever their order.
        """
        for portion in _portions(records, self.transaction_bytes):
            self.facts.catch_up(pulse)
            batch = _Batch()
            events = []
            for record in _beating(portion, pulse):
                if (taken := self._taken(record, batch)) is not None:
                    events.append((record, taken))
                    self._learn(taken, batch)
            pass_by("after-learning")
            for record, event in _beating(events, pulse):
                batch.add(self._enriched(record, event))
            yield self._commit(batch)

    def set_aside(self, record: Record) -> Commit:
        """File a record that killed the process as a dead letter."""
        crashed = InvalidRecord(
            "the process died three times while it worked on this message", reason="crashed"
        )
        self.facts.forget_learnt()  # of an attempt before: this commit does not send them
        batch = _Batch()
        self._begin(record, batch)
        batch.bury(
            self.dead_letters.of_record(record, crashed, now_ms=self.now_ms()), crashed.reason
        )
        return self._commit(batch)

    def _restore_window(self, number: int, pulse: Pulse) -> None:
        enriched = Partition(TopicName.EVENTS_ENRICHED, number)
        for record in self.log.read_tail(
            enriched,
            pulse,
            at_least_bytes=math.ceil(self.restored_bytes / self.window.parts),
            most_records=self.window.most_in_a_part,
        ):
            try:
                event = decoded(self.codecs.enriched, record).event
            except InvalidRecord:  # not ours: then it was never in the window either
                continue
            self.window.add(number, _identity(record, event), content_of(event))

    def _begin(self, record: Record, batch: _Batch) -> None:
        batch.came += 1
        batch.offsets[record.partition] = record.offset + 1

    def _taken(self, record: Record, batch: _Batch) -> RawEvent | None:
        """Return the event to enrich; None for a repeat and for what is a dead letter."""
        self._begin(record, batch)
        is_reread = _is_reread(record)
        try:
            event = decoded(self.codecs.reread if is_reread else self.codecs.raw, record)
        except InvalidRecord as error:
            letter = self.dead_letters.of_record(record, error, now_ms=self.now_ms())
            batch.bury(letter, error.reason)
            batch.refused[record.partition] = batch.refused.get(record.partition, 0) + 1
            return None
        match Seen.NEW if is_reread else self._seen(record, event, batch):
            case Seen.NEW:
                return event
            case Seen.REPEAT:
                batch.repeats += 1
            case Seen.CONFLICT:
                batch.bury(self._conflict(record, event), "id-conflict")
        return None

    def _learn(self, event: RawEvent, batch: _Batch) -> None:
        for fact in facts_of(event):
            if (message := self.facts.learn(fact)) is not None:
                batch.add(message)

    def _seen(self, record: Record, event: RawEvent, batch: _Batch) -> Seen:
        """Look an event up in the window and among this transaction's; note it there if new."""
        number, identity, content = (
            record.partition.number,
            _identity(record, event),
            content_of(event),
        )
        seen = self.window.seen(number, identity, content)
        if seen is not Seen.NEW:
            return seen
        held = batch.fresh.setdefault((number, identity), content)
        if held is content:
            return Seen.NEW
        return Seen.REPEAT if held == content else Seen.CONFLICT

    def _enriched(self, record: Record, event: RawEvent) -> Output:
        name, codec, enriched_codec = (
            (TopicName.EVENTS_REPAIRED, self.codecs.reread, self.codecs.repaired)
            if _is_reread(record)
            else (TopicName.EVENTS_ENRICHED, self.codecs.raw, self.codecs.enriched)
        )
        value = append_enrichment(
            record.value or b"",
            enrich(event, self.facts.catalogs),
            raw_codec=codec,
            enriched_codec=enriched_codec,
        )
        return Output(name, _identity(record, event), value)

    def _conflict(self, record: Record, event: RawEvent) -> Output:
        now_ms = self.now_ms()
        text, truncated = clipped(event.raw)
        origin = event.origin
        return self.dead_letters.output(
            DeadLetter(
                stage=STAGE,
                reason="id-conflict",
                message="another event has the same account and eventID, and another eventTime, "
                f"eventSource or eventName; the first stays (record {origin.record_index} of "
                f"{origin.bucket}/{origin.key})",
                field="eventID",
                topic=topic(record.partition.topic).name,
                partition=record.partition.number,
                offset=record.offset,
                record_index=origin.record_index,
                account_id=event.account_id,
                event_id=event.event_id,
                sha256=hashlib.sha256(event.raw).hexdigest(),
                text=text,
                text_truncated=truncated,
                first_failed_at=now_ms,
                failed_at=now_ms,
            )
        )

    def _commit(self, batch: _Batch) -> Commit:
        def committed() -> None:
            self.facts.keep_learnt()
            for (number, identity), content in batch.fresh.items():
                self.window.add(number, identity, content)
            emit(WindowHeld(len(self.window)))
            emit(
                RecordsCounted(
                    STAGE,
                    came=batch.came,
                    out=batch.came - batch.repeats - sum(batch.dead.values()),
                    already_there=batch.repeats,
                    dead=batch.dead,
                )
            )

        return Commit(batch.outputs, batch.offsets, committed, batch.refused)


def _is_reread(record: Record) -> bool:
    return record.partition.topic == TopicName.EVENTS_REREAD


def _portions(records: Sequence[Record], most_bytes: int) -> Iterator[Sequence[Record]]:
    """Cut records into transactions: their outputs are little larger than they are."""
    start = size = 0
    for end, record in enumerate(records):
        if size >= most_bytes:
            yield records[start:end]
            start, size = end, 0
        size += len(record.value or b"")
    yield records[start:]


def _beating(items: Sequence[T], pulse: Pulse) -> Iterator[T]:
    for count, item in enumerate(items):
        if count % _BEAT_EVERY == 0:
            pulse.beat()
        yield item


def _identity(record: Record, event: RawEvent) -> bytes:
    """Return the event's key: the message's own, or made anew where a writer left it out."""
    return record.key or event_key(event.account_id, event.event_id)
