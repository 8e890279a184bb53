"""The stage: raw events in, enriched events out, repeats dropped."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from opstrail_enrich.enrichment import enrich
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.telemetry import WindowHeld
from opstrail_enrich.window import Seen, Window, content_of
from opstrail_runtime.codecs import decoded
from opstrail_runtime.dead_letters import DeadLetters, clipped
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_runtime.telemetry import RecordsCounted, StateRestored, emit
from opstrail_schemas.codec import Codec, append_enrichment
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, RawEvent
from opstrail_schemas.topics import TopicName, topic

STAGE = "enrich"
INPUTS = (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD)
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
            known = len(self.facts.catalogs.stacks) + len(self.facts.catalogs.accounts)
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
        """Enrich records, in transactions of bounded size."""
        self.facts.catch_up(pulse)
        batch = _Batch()
        for count, record in enumerate(records):
            if count % _BEAT_EVERY == 0:
                pulse.beat()
            if batch.size >= self.transaction_bytes:
                yield self._commit(batch)
                batch = _Batch()
            self._take(record, batch)
        yield self._commit(batch)

    def set_aside(self, record: Record) -> Commit:
        """File a record that killed the process as a dead letter."""
        crashed = InvalidRecord(
            "the process died three times while it worked on this message", reason="crashed"
        )
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

    def _take(self, record: Record, batch: _Batch) -> None:
        self._begin(record, batch)
        is_reread = record.partition.topic == TopicName.EVENTS_REREAD
        codec = self.codecs.reread if is_reread else self.codecs.raw
        try:
            event = decoded(codec, record)
        except InvalidRecord as error:
            letter = self.dead_letters.of_record(record, error, now_ms=self.now_ms())
            batch.bury(letter, error.reason)
            return
        if is_reread:
            out = self.codecs.repaired
            batch.add(self._enriched(record, event, codec, out, TopicName.EVENTS_REPAIRED))
            return
        match self._seen(record, event, batch):
            case Seen.NEW:
                out = self.codecs.enriched
                batch.add(self._enriched(record, event, codec, out, TopicName.EVENTS_ENRICHED))
            case Seen.REPEAT:
                batch.repeats += 1
            case Seen.CONFLICT:
                batch.bury(self._conflict(record, event), "id-conflict")

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

    def _enriched(
        self,
        record: Record,
        event: RawEvent,
        codec: Codec[RawEvent],
        enriched_codec: Codec[EnrichedEvent],
        name: TopicName,
    ) -> Output:
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

        return Commit(batch.outputs, batch.offsets, committed)


def _identity(record: Record, event: RawEvent) -> bytes:
    """Return the event's key: the message's own, or made anew where a writer left it out."""
    return record.key or event_key(event.account_id, event.event_id)
