"""One file to messages: events, dead letters and the row of the ledger, in parts."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from opstrail_ingest.decisions import EXTRA_DATA
from opstrail_ingest.fetched import Fetched
from opstrail_ingest.gunzip import Budget, Damage, Unpacked, unpack
from opstrail_ingest.masking import Masking
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import HEAD_BYTES, Broken, Deferred, Element, split
from opstrail_runtime.dead_letters import DeadLetters, clipped
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.identity import event_key, file_key
from opstrail_schemas.messages import DeadLetter, FileNotice, RawEvent, TrailFile
from opstrail_schemas.topics import TopicName

OUTPUT_OVERHEAD_BYTES = 200  # what a message costs in memory besides its value
ITEMS_PER_BEAT = 512
LARGEST_EVENT_BYTES = 6 * 1024 * 1024  # enriched it still fits a message
MOST_IN_A_ROW = 1000  # fragments without a record between them: each is a dead letter
MOST_FRAGMENTS = 10_000  # in a file: the ledger knows the place of each
CUT_SHORT = "cut-short"  # of a fragment: the list ends with it, not as lists do

Place = tuple[int, int]  # first byte and end of a fragment in the unpacked file


@dataclass(frozen=True, slots=True)
class SplitLimits:
    """How much at once: a file whose outputs are more than `batch_bytes` goes in chunks."""

    batch_bytes: int
    batch_s: float
    budget: Budget


@dataclass(frozen=True, slots=True)
class Events:
    """Where events go: `events.raw`, or `events.reread` for a replay."""

    topic: TopicName
    codec: Codec[RawEvent]


@dataclass(slots=True)
class Part:
    """What one transaction may hold of a file. `row` is the ledger's after it, `last` says all."""

    row: TrailFile | None = None
    last: bool = True
    outputs: list[Output] = field(default_factory=list)
    size: int = 0
    records: int = 0
    already_there: int = 0
    masked: int = 0
    deferred: int = 0
    skipped: int = 0
    unpacked_bytes: int = 0
    dead: dict[str, int] = field(default_factory=dict)

    def add(self, output: Output) -> None:
        """Take one more message."""
        self.outputs.append(output)
        self.size += len(output.value or b"") + OUTPUT_OVERHEAD_BYTES


@dataclass(slots=True)
class _Totals:
    """What was found in the file so far, chunks of earlier processes counted."""

    records: int = 0
    dead_letters: int = 0
    deferred_records: int = 0
    oldest_event_time: int | None = None
    newest_event_time: int | None = None
    category: str | None = None

    def count_event(self, event_time: int | None) -> None:
        """Count one event and its time."""
        self.records += 1
        if event_time is None:
            return
        if self.oldest_event_time is None or event_time < self.oldest_event_time:
            self.oldest_event_time = event_time
        if self.newest_event_time is None or event_time > self.newest_event_time:
            self.newest_event_time = event_time


class FileSplit:
    """Splits one file.

    `fragments` are those that it has so far. Those of the row that it begins with, of older copies
    and of chunks that are done, stay in its rows beside them.
    """

    def __init__(
        self,
        notice: FileNotice,
        row: TrailFile,
        *,
        events: Events,
        dead_letters: DeadLetters,
        masking: Masking,
        limits: SplitLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self._notice = notice
        self._row = row  # as far as is known before it is read
        self._totals = _Totals(
            row.records,
            row.dead_letters,
            row.deferred_records,
            row.oldest_event_time,
            row.newest_event_time,
        )
        self._events = events
        self._dead_letters = dead_letters
        self._masking = masking
        self._limits = limits
        self._now_ms = now_ms
        self.fragments: set[Place] = set()
        self.has_file_letter = False
        self._cut_short = False

    def parts(self, fetched: Fetched, beat: Callable[[], None]) -> Iterator[Part]:
        """Give the file's parts in order. Those before `row.next_record` are passed over."""
        try:
            unpacked = unpack(
                fetched.body, stored_bytes=fetched.size, budget=self._limits.budget, beat=beat
            )
        except InvalidRecord as error:
            yield self._refused(error, None)
            return
        self._row = msgspec.structs.replace(
            self._row, unpacked_size=unpacked.size, sha256=unpacked.sha256
        )
        try:
            yield from self._split(unpacked, beat)
        except InvalidRecord as error:
            yield self._refused(error, unpacked)

    def _split(self, unpacked: Unpacked, beat: Callable[[], None]) -> Iterator[Part]:
        reader = RecordReader(self._origin(), self._masking, salvaged=unpacked.damage is not None)
        done = self._row.next_record
        part = Part()
        in_a_row = 0
        fault = unpacked.damage
        for number, item in enumerate(split(unpacked.blocks())):
            if number % ITEMS_PER_BEAT == 0:
                beat()
                if number:
                    pass_by("mid-file")
            if isinstance(item, Deferred):
                self._totals.category = item.category
                continue
            # Also what is passed over is read: equal records without an id are counted, and so are
            # dead letters.
            found, value = self._read(reader, item)
            in_a_row = in_a_row + 1 if isinstance(found, Broken) else 0
            if isinstance(found, Broken):
                self.fragments.add((found.start, found.end))
                self._cut_short |= found.reason == CUT_SHORT
            if item.record_index < done:
                continue
            self._take(part, found, value)
            if in_a_row == MOST_IN_A_ROW or len(self.fragments) == MOST_FRAGMENTS:
                what = f"{len(self.fragments)} fragments, {in_a_row} of them one after the other"
                message = f"{what}: nothing behind byte {item.end} was read"
                fault = Damage("too-many-fragments", message)
                break
            if part.size >= self._limits.batch_bytes:
                part.row = self._row = self._moved("splitting", item.end, item.record_index + 1)
                part.last = False
                yield part
                part = Part()
        yield self._finished(part, unpacked, fault)

    def _read(
        self, reader: RecordReader, item: Element | Broken
    ) -> tuple[RawEvent | Broken | Deferred, bytes]:
        """Return what an item is, and an event's message."""
        found = reader.read(item) if isinstance(item, Element) else item
        value = self._events.codec.encode(found) if isinstance(found, RawEvent) else b""
        if len(value) > LARGEST_EVENT_BYTES:
            message = f"an event of {len(value)} bytes: the largest is {LARGEST_EVENT_BYTES}"
            found = Broken(*item[:3], "too-large", f"{message} (byte {item.start})", item.text)
        return found, value

    def _take(self, part: Part, found: RawEvent | Broken | Deferred, value: bytes) -> None:
        if isinstance(found, RawEvent):
            key = event_key(found.account_id, found.event_id)
            part.add(Output(self._events.topic, key, value))
            part.records += 1
            part.masked += bool(found.masked_paths)
            self._totals.count_event(found.event_time)
        elif isinstance(found, Broken):
            part.add(self._dead_letters.output(self._letter_of(found)))
            part.dead[found.reason] = part.dead.get(found.reason, 0) + 1
            self._totals.dead_letters += 1
        else:
            part.deferred += 1
            self._totals.deferred_records += 1
            self._totals.category = self._totals.category or found.category

    def _finished(self, part: Part, unpacked: Unpacked, fault: Damage | None) -> Part:
        found = self._totals
        reason = EXTRA_DATA if unpacked.extra_data else None
        if fault is not None:
            reason = fault.reason
            self._bury(part, self._file_letter(fault, unpacked))
            state = "partial" if found.records or found.dead_letters else "quarantined"
        elif found.dead_letters:
            reason = CUT_SHORT if self._cut_short else reason
            state = "partial"
        elif found.records:
            state = "done"
        else:
            state = "empty" if found.category is None else "deferred"
        part.row = self._row = msgspec.structs.replace(
            self._moved(state, unpacked.size, 0),
            reason=reason,
            category=found.category if state == "deferred" else None,
        )
        part.unpacked_bytes = unpacked.size
        return part

    def _refused(self, error: InvalidRecord, unpacked: Unpacked | None) -> Part:
        row = self._moved("quarantined", 0, 0)
        part = Part(row=msgspec.structs.replace(row, reason=error.reason))
        self._bury(part, self._file_letter(error, unpacked))
        return part

    def _moved(self, state: str, next_byte: int, next_record: int) -> TrailFile:
        found = self._totals
        return msgspec.structs.replace(
            self._row,
            fragments=flat(self.fragments | places(self._row.fragments)),
            records=found.records,
            dead_letters=found.dead_letters,
            deferred_records=found.deferred_records,
            oldest_event_time=found.oldest_event_time,
            newest_event_time=found.newest_event_time,
            state=state,
            next_byte=next_byte,
            next_record=next_record,
            updated_at=self._now_ms(),
            tries=0,
            first_failed_at=None,
        )

    def _origin(self) -> FileOrigin:
        row = self._row
        return FileOrigin(
            bucket=row.bucket,
            key=row.key,
            sha256=row.sha256 or "",
            version_id=row.version_id,
            e_tag=row.e_tag,
            delivered_at=row.delivered_at,
            account_id=row.account_id,
        )

    # Dead letters

    def _bury(self, part: Part, letter: DeadLetter) -> None:
        self.has_file_letter = True
        part.add(self._dead_letters.output(letter))

    def _letter_of(self, broken: Broken) -> DeadLetter:
        text, truncated = clipped(self._masking.mask_fragment(broken.text[:HEAD_BYTES]))
        return msgspec.structs.replace(
            self._letter(broken.reason, broken.message),
            start_byte=broken.start,
            end_byte=broken.end,
            record_index=broken.record_index,
            sha256=broken.sha256 or hashlib.sha256(broken.text).hexdigest(),
            text=text,
            text_truncated=truncated or broken.end - broken.start > HEAD_BYTES,
        )

    def _file_letter(self, fault: InvalidRecord | Damage, unpacked: Unpacked | None) -> DeadLetter:
        """Return the dead letter of the file as a whole: its address, and how it begins."""
        letter = self._letter(fault.reason, fault.message)
        if unpacked is None:
            return letter
        head = next(iter(unpacked.blocks()), b"")[:HEAD_BYTES]
        text, truncated = clipped(self._masking.mask_fragment(head))
        return msgspec.structs.replace(
            letter,
            sha256=unpacked.sha256,
            text=text,
            text_truncated=truncated or unpacked.size > HEAD_BYTES,
        )

    def _letter(self, reason: str, message: str) -> DeadLetter:
        row, now = self._row, self._now_ms()
        return DeadLetter(
            stage=self._dead_letters.stage,
            reason=reason,
            message=message,
            bucket=row.bucket,
            key=row.key,
            version_id=row.version_id,
            e_tag=row.e_tag,
            local_path=self._notice.local_path,
            account_id=row.account_id,
            first_failed_at=now,
            failed_at=now,
        )


def places(fragments: Sequence[int]) -> set[Place]:
    """Return the fragments of a row as pairs of first byte and end."""
    return set(zip(fragments[::2], fragments[1::2], strict=True))


def flat(fragments: Collection[Place]) -> list[int]:
    """Return fragments as a row has them."""
    return [at for place in sorted(fragments) for at in place]


def ledger_key(row: TrailFile) -> bytes:
    """Return the key of a row, which is also that of the file's notices."""
    return file_key(row.bucket, row.key)
