"""The stage: records of four topics become documents; what is refused becomes dead letters."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, assert_never

import msgspec

from opstrail_runtime.codecs import decoded
from opstrail_runtime.dead_letters import DeadLetters, clipped
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_runtime.telemetry import RecordsCounted, emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, TrailFile
from opstrail_schemas.topics import TopicName, topic
from opstrail_store.bulk_response import AlreadyThere, Reject, Stored
from opstrail_store.content import content_of
from opstrail_store.document import (
    delivery_of,
    document_id,
    event_body,
    event_document_id,
    reduced_body,
)
from opstrail_store.index_name import IndexNames, is_expired
from opstrail_store.opensearch_sink import Conflict, Final, Write
from opstrail_store.telemetry import BatchWritten, DeadLetterNotIndexed

STAGE = "store"
TOPICS = (
    TopicName.EVENTS_ENRICHED,
    TopicName.EVENTS_REPAIRED,
    TopicName.FILES_LEDGER,
    TopicName.DEAD_LETTERS,
)
# The events of each topic balance for themselves: only the first was counted by enrich as out.
_COUNTED_AS = {TopicName.EVENTS_ENRICHED: "store", TopicName.EVENTS_REPAIRED: "store-repaired"}

_encode = msgspec.json.Encoder().encode


class Sink(Protocol):
    """Writes documents until each has a final verdict."""

    def write(self, writes: Sequence[Write], pulse: Pulse) -> list[Final]:
        """Write all and return their final verdicts, in order."""


@dataclass(frozen=True, slots=True)
class Codecs:
    """The codecs of the topics that store reads."""

    enriched: Codec[EnrichedEvent]
    repaired: Codec[EnrichedEvent]
    ledger: Codec[TrailFile]
    dead_letters: Codec[DeadLetter]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that has no document."""

    error: InvalidRecord


@dataclass(frozen=True, slots=True)
class Expired:
    """An event of a period that retention has closed."""


Planned = Write | Refused | Expired


class StoreStage:
    """Turns records into documents and commits over their final verdicts only.

    `horizon` returns the oldest event time that retention has left open, in ms, and raises when the
    templates are not in place. It is asked at each assignment, and before each batch: retention
    moves it while we run, and no index that it deleted may come back.
    """

    def __init__(
        self,
        *,
        sink: Sink,
        codecs: Codecs,
        names: IndexNames,
        horizon: Callable[[], int | None],
        now_ms: Callable[[], int],
    ) -> None:
        self._sink = sink
        self._codecs = codecs
        self._letters = DeadLetters(STAGE, codecs.dead_letters)
        self._names = names
        self._horizon = horizon
        self._now_ms = now_ms

    def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:  # noqa: ARG002
        """Check the set-up; there is no state."""
        self._horizon()

    def forget(self, partitions: Sequence[Partition]) -> None:
        """Forget nothing: there is no state."""

    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        """Write the documents of all records; one commit with their dead letters."""
        horizon_ms = self._horizon()
        began = self._now_ms()
        times: list[int] = []
        planned = [self._planned(record, began, horizon_ms, times) for record in records]
        newest = max((time for time in times if time <= began), default=None)
        verdicts = iter(self._sink.write([p for p in planned if isinstance(p, Write)], pulse))
        outputs: list[Output] = []
        counts: Counter[tuple[TopicName, str]] = Counter()
        refused: Counter[Partition] = Counter()
        for record, plan in zip(records, planned, strict=True):
            outcome = next(verdicts) if isinstance(plan, Write) else plan
            code, letter = self._settled(record, outcome)
            counts[record.partition.topic, code] += 1
            if letter is not None:
                outputs.append(letter)
                refused[record.partition] += not isinstance(outcome, Conflict)
        yield Commit(
            outputs,
            _offsets_after(records),
            partial(_count, counts, self._now_ms() - began, newest),
            refused,
        )

    def set_aside(self, record: Record) -> Commit:
        """File a record that killed the process three times as the dead letter `crashed`."""
        error = InvalidRecord("it killed the process three times", reason="crashed")
        letter = self._letters.of_record(record, error, now_ms=self._now_ms())
        counts = Counter({(record.partition.topic, error.reason): 1})
        return Commit([letter], _offsets_after([record]), partial(_count, counts, 0))

    # What becomes of a record.

    def _planned(
        self, record: Record, now_ms: int, horizon_ms: int | None, times: list[int]
    ) -> Planned:
        """Return what is to be done about a record; the time of an event is added to `times`."""
        try:
            match record.partition.topic:
                case TopicName.EVENTS_ENRICHED:
                    enriched = decoded(self._codecs.enriched, record)
                    if enriched.event.event_time is not None:
                        times.append(enriched.event.event_time)
                    return self._event(enriched, now_ms, horizon_ms)
                case TopicName.EVENTS_REPAIRED:
                    repaired = decoded(self._codecs.repaired, record)
                    return self._event(repaired, now_ms, horizon_ms)
                case TopicName.FILES_LEDGER:
                    return self._file(record)
                case TopicName.DEAD_LETTERS:
                    return self._dead_letter(record, now_ms)
                case other:
                    raise AssertionError(f"store does not read {other}")
        except InvalidRecord as error:
            return Refused(error)

    def _event(self, enriched: EnrichedEvent, now_ms: int, horizon_ms: int | None) -> Planned:
        event = enriched.event
        if is_expired(event.event_time, horizon_ms):
            return Expired()
        return Write(
            index=self._names.of_event(event.event_time),
            id=event_document_id(event),
            version=enriched.enrichment.version,
            body=event_body(enriched, stored_at=now_ms),
            reduced=partial(reduced_body, enriched, stored_at=now_ms, why="refused"),
            # Also of a repaired one: a forced replay sends what may never have been stored.
            content=content_of(event),
            delivery=delivery_of(enriched, now_ms),
        )

    def _file(self, record: Record) -> Write:
        # Rows of one file share a partition, so their offsets grow: the newest row wins.
        return Write(
            index=self._names.files_index,
            id=document_id(_key_of(record)),
            version=record.offset,
            body=None if record.value is None else _encode(decoded(self._codecs.ledger, record)),
        )

    def _dead_letter(self, record: Record, now_ms: int) -> Write:
        key = _key_of(record)
        body: bytes | None = None
        reduced: Callable[[], bytes] | None = None
        if record.value is not None:
            try:
                letter = decoded(self._codecs.dead_letters, record)
            except InvalidRecord as error:
                # Indexed, not sent: a letter about a letter would come back here, for ever.
                letter = _letter_about(record, error, now_ms)
                key = _place_of(record)
            body = _letter_body(key, letter)
            reduced = partial(_letter_body, key, _bare(letter))
        return Write(
            index=self._names.dead_letters_index,
            id=document_id(key),
            version=record.offset,
            body=body,
            reduced=reduced,
        )

    def _settled(
        self, record: Record, outcome: Final | Refused | Expired
    ) -> tuple[str, Output | None]:
        """Return the outcome's code, and the dead letter where there is one."""
        match outcome:
            case Stored():
                return "stored", None
            case AlreadyThere():
                return "alreadyThere", None
            case Expired():
                return "expired", None
            case Refused(error):
                return error.reason, self._letters.of_record(record, error, now_ms=self._now_ms())
            case Reject(why):
                return self._rejected(record, "rejected", why)
            case Conflict(why):
                return self._rejected(record, "id-conflict", why)
            case _:
                assert_never(outcome)

    def _rejected(self, record: Record, reason: str, why: str) -> tuple[str, Output | None]:
        name = record.partition.topic
        if name is TopicName.DEAD_LETTERS:
            emit(DeadLetterNotIndexed(record.partition.number, record.offset, why))
            return reason, None
        now_ms = self._now_ms()
        letter = DeadLetter(
            stage=STAGE,
            reason=reason,
            message=why,
            topic=topic(name).name,
            partition=record.partition.number,
            offset=record.offset,
            first_failed_at=now_ms,
            failed_at=now_ms,
        )
        if name in _COUNTED_AS:
            event = self._decoded_event(record).event
            text, truncated = clipped(event.raw)
            letter = msgspec.structs.replace(
                letter,
                message=f"{why} (record {event.origin.record_index} of "
                f"{event.origin.bucket}/{event.origin.key})",
                account_id=event.account_id,
                event_id=event.event_id,
                text=text,
                text_truncated=truncated,
            )
        return reason, self._letters.output(letter)

    def _decoded_event(self, record: Record) -> EnrichedEvent:
        first = record.partition.topic is TopicName.EVENTS_ENRICHED
        return decoded(self._codecs.enriched if first else self._codecs.repaired, record)


def _count(
    counts: Mapping[tuple[TopicName, str], int], took_ms: int, newest_ms: int | None = None
) -> None:
    by_kind = {(str(name), code): number for (name, code), number in counts.items()}
    emit(BatchWritten(by_kind, took_ms / 1000, newest_ms))
    for name, stage in _COUNTED_AS.items():
        by_code = {code: number for (of, code), number in counts.items() if of is name}
        came = sum(by_code.values())
        if came:
            emit(
                RecordsCounted(
                    stage=stage,
                    came=came,
                    out=by_code.pop("stored", 0),
                    already_there=by_code.pop("alreadyThere", 0),
                    expired=by_code.pop("expired", 0),
                    dead=by_code,
                )
            )


def _offsets_after(records: Sequence[Record]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}


def _key_of(record: Record) -> bytes:
    return record.key or _place_of(record)


def _place_of(record: Record) -> bytes:
    name = topic(record.partition.topic).name
    return f"{STAGE}:{name}/{record.partition.number}/{record.offset}".encode()


def _letter_about(record: Record, error: InvalidRecord, now_ms: int) -> DeadLetter:
    return DeadLetter(
        stage=STAGE,
        reason=error.reason,
        message=f"a dead letter that cannot be read: {error.message}",
        topic=topic(record.partition.topic).name,
        partition=record.partition.number,
        offset=record.offset,
        first_failed_at=now_ms,
        failed_at=now_ms,
    )


def _letter_body(key: bytes, letter: DeadLetter) -> bytes:
    members = msgspec.to_builtins(letter)
    present = {name: value for name, value in members.items() if value is not None}
    return _encode({"letterKey": key.decode(errors="replace"), **present})


def _bare(letter: DeadLetter) -> DeadLetter:
    return msgspec.structs.replace(letter, text=None, text_truncated=letter.text is not None)
