"""The stage that splits files: notices in, events, dead letters and the ledger out.

    notice -> ledger: skip, resume or new -> fetch, spooled -> unpack, split, mask -> one commit

Small files share a commit, a large one has a commit a chunk: its row of the ledger moves with each
of them, the notice's offset with the last. Nothing is fetched inside a transaction, since a commit
is given to the loop when all its outputs are there. An object that cannot be read becomes a dead
letter with a time to try again, so that it never holds up the others.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import msgspec

from opstrail_ingest.decisions import (
    DONE,
    EXTRA_DATA,
    Again,
    Finished,
    Row,
    Skip,
    answers,
    decision,
    is_older,
    read_to_end,
)
from opstrail_ingest.fetched import Fetched, ObjectReader, ObjectUnavailable
from opstrail_ingest.file_split import (
    Events,
    FileSplit,
    Part,
    Place,
    SplitLimits,
    flat,
    ledger_key,
    places,
)
from opstrail_ingest.ledger import Ledger
from opstrail_ingest.masking import Masking
from opstrail_ingest.object_key import object_key
from opstrail_ingest.telemetry import (
    ExtraData,
    FileRefused,
    FilesSplit,
    NoticesTaken,
    NoticeUnreadable,
    ObjectGivenUp,
    ObjectWaits,
)
from opstrail_runtime.codecs import decoded
from opstrail_runtime.dead_letters import DeadLetters, key_of_file, key_of_fragment
from opstrail_runtime.errors import InvalidRecord, Unavailable
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_runtime.telemetry import Happening, RecordsCounted, emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter, FileNotice, TrailFile
from opstrail_schemas.topics import TopicName

STAGE = "split"
_OF_FILES = (f"{STAGE}:", "discover:")  # stages whose dead letters a file that is done answers


@dataclass(frozen=True, slots=True)
class RetryTimes:
    """When an object that cannot be read is tried again, and for how long."""

    first_s: float
    longest_s: float
    give_up_s: float

    def retry_at(self, *, tries: int, first_failed_at: int, now_ms: int) -> int | None:
        """Return the time of the next try; None when it was tried for long enough."""
        if now_ms - first_failed_at >= self.give_up_s * 1000:
            return None
        wait_s = min(self.longest_s, self.first_s * 2 ** min(tries - 1, 30))
        return now_ms + int(wait_s * 1000)


@dataclass(frozen=True, slots=True)
class SplitCodecs:
    """The codecs of the topics that split reads and writes; dead letters have their own."""

    notices: Codec[FileNotice]
    ledger: Codec[TrailFile]
    raw: Events
    reread: Events


@dataclass(slots=True)
class _Batch:
    """What goes into the next commit."""

    began_ms: int
    outputs: list[Output] = field(default_factory=list)
    size: int = 0
    offsets: dict[Partition, int] = field(default_factory=dict)
    rows: dict[bytes, tuple[int, TrailFile]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    refused: dict[Partition, int] = field(default_factory=dict)

    def refuse(self, partition: Partition) -> None:
        """Count an input of which nothing came but dead letters."""
        self.refused[partition] = self.refused.get(partition, 0) + 1


class SplitStage:
    """Splits the files that notices name."""

    def __init__(
        self,
        *,
        reader: ObjectReader,
        ledger: Ledger,
        codecs: SplitCodecs,
        dead_letters: DeadLetters,
        masking: Masking,
        limits: SplitLimits,
        retries: RetryTimes,
        now_ms: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._ledger = ledger
        self._codecs = codecs
        self._dead_letters = dead_letters
        self._masking = masking
        self._limits = limits
        self._retries = retries
        self._now_ms = now_ms

    def restore(self, partitions: Sequence[Partition], pulse: Pulse) -> None:
        """Read the ledger of the partitions. Raises Unavailable."""
        for partition in partitions:
            self._ledger.restore(partition.number, pulse)

    def forget(self, partitions: Sequence[Partition]) -> None:
        """Drop the ledger of the partitions."""
        self._ledger.forget([partition.number for partition in partitions])

    def work(self, records: Sequence[Record], pulse: Pulse) -> Generator[Commit, None, None]:
        """Split the files of the notices. Raises Unavailable where a whole store is away."""
        if records:
            emit(NoticesTaken(min(record.timestamp_ms for record in records)))
        batch = self._batch()
        for record in records:
            pulse.beat()
            try:
                notice = self._notice(record, batch)
                if notice is not None and file_key(notice.bucket, notice.key) in batch.rows:
                    yield self._commit(batch)  # its row must be durable
                    batch = self._batch()
                for part in self._parts(record.partition.number, notice, pulse, batch):
                    self._add(batch, part, record.partition.number)
                    if _is_refused(part):
                        batch.refuse(record.partition)
                    if not part.last:
                        yield self._commit(batch)
                        batch = self._batch()
            except Unavailable:
                if batch.offsets:  # what is ready does not wait
                    yield self._commit(batch)
                raise
            batch.offsets[record.partition] = record.offset + 1
            if self._is_full(batch):
                yield self._commit(batch)
                batch = self._batch()
        if batch.offsets:
            yield self._commit(batch)

    def set_aside(self, record: Record) -> Commit:
        """Set aside a file that killed the process: dead letter `crashed`, quarantined."""
        batch = self._batch()
        message = "the process died three times while it worked on this file and nothing else"
        notice = self._notice(record, batch)
        if notice is not None:
            number = record.partition.number
            known = self._ledger.find(number, file_key(notice.bucket, notice.key))
            row = msgspec.structs.replace(
                known if isinstance(known, TrailFile) else self._row(notice, None),
                state="quarantined",
                reason="crashed",
                e_tag=notice.e_tag or (known.e_tag if isinstance(known, TrailFile) else None),
                updated_at=self._now_ms(),
                first_failed_at=None,
            )
            part = self._letter_part(notice, row, "crashed", message)
            if isinstance(known, Finished) and notice.forced:
                part.row = None  # it stays `done`
            self._add(batch, part, number)
        batch.offsets[record.partition] = record.offset + 1
        return self._commit(batch)

    # One file

    def _notice(self, record: Record, batch: _Batch) -> FileNotice | None:
        """Read a notice; one that cannot be read becomes a dead letter of the batch."""
        try:
            return decoded(self._codecs.notices, record)
        except InvalidRecord as error:
            now_ms = self._now_ms()
            batch.outputs.append(self._dead_letters.of_record(record, error, now_ms=now_ms))
            batch.happenings.append(NoticeUnreadable(record.partition.number, record.offset))
            batch.refuse(record.partition)
            return None

    def _parts(
        self, number: int, notice: FileNotice | None, pulse: Pulse, batch: _Batch
    ) -> Iterator[Part]:
        if notice is None:
            return
        known = self._ledger.find(number, file_key(notice.bucket, notice.key))
        key = object_key(notice.key)
        if key.deferred is not None:
            row = self._row(notice, None)
            yield Part(row=msgspec.structs.replace(row, state="deferred", category=key.deferred))
            return
        try:
            e_tag = notice.e_tag
            if e_tag is None and (isinstance(known, Finished) or (known and known.e_tag)):
                e_tag = self._reader.e_tag(notice, pulse)
            planned = decision(notice, known, e_tag)
            if isinstance(planned, Skip):
                yield self._skipped(notice, planned)
                return
            fetched = self._reader.fetch(notice, pulse)
            pass_by("after-fetch")
        except ObjectUnavailable as error:
            if isinstance(known, Finished) and not notice.forced and error.reason == "not-found":
                yield self._skipped(notice, Skip(known.records))  # done, and removed since
            else:
                yield self._unavailable(notice, known, error, batch)
            return
        with closing(fetched):
            yield from self._split(notice, known, fetched, pulse, batch)

    def _split(
        self,
        notice: FileNotice,
        known: Row | None,
        fetched: Fetched,
        pulse: Pulse,
        batch: _Batch,
    ) -> Iterator[Part]:
        # Decided once more: the object may be another one than the notice saw.
        planned = decision(notice, known, fetched.e_tag)
        if isinstance(planned, Skip):
            yield self._skipped(notice, planned)
            return
        replay = isinstance(planned, Again)
        resumed = getattr(planned, "row", None)
        older = is_older(notice, fetched.last_modified, known)
        row = resumed or self._row(notice, fetched)
        if resumed is None and isinstance(known, TrailFile) and not older:
            # What dead letters there are stays known while chunks of the new copy move the row.
            reason = None if known.reason == EXTRA_DATA else known.reason
            row = msgspec.structs.replace(row, reason=reason, fragments=known.fragments)
        split = FileSplit(
            notice,
            row,
            events=self._codecs.reread if replay else self._codecs.raw,
            dead_letters=self._dead_letters,
            masking=self._masking,
            limits=self._limits,
            now_ms=self._now_ms,
        )
        for part in split.parts(fetched, pulse.beat):
            if part.last:
                self._mend(part, notice, None if older else known, split)
                self._tell(part, batch)
            elif replay:
                part.row = None  # a replay that is cut off begins anew: the file stays `done`
            if older and known is not None:
                _beside_newer(part, notice, known, split)
            yield part

    def _skipped(self, notice: FileNotice, planned: Skip) -> Part:
        part = Part(skipped=1, already_there=planned.records)
        for key in sorted(_tried_again(notice)):
            if key.startswith(_OF_FILES):
                part.add(self._dead_letters.tombstone(key))
        return part

    def _unavailable(
        self, notice: FileNotice, known: Row | None, error: ObjectUnavailable, batch: _Batch
    ) -> Part:
        """Let the object wait among the dead letters, or give it up after long."""
        now_ms = self._now_ms()
        if isinstance(known, Finished) and notice.forced:  # a replay that failed: it stays `done`
            batch.happenings.append(ObjectGivenUp(notice.bucket, notice.key, error.reason, 1))
            text = f"{error.reason}: {error.message}"
            part = self._letter_part(notice, self._row(notice, None), "object-unavailable", text)
            part.row = None
            return part
        row = known if isinstance(known, TrailFile) else self._row(notice, None)
        waits = row.state == "waiting" and row.first_failed_at is not None
        tries = row.tries + 1 if waits else 1
        first_failed_at = (row.first_failed_at if waits else None) or now_ms
        retry_at = self._retries.retry_at(
            tries=tries, first_failed_at=first_failed_at, now_ms=now_ms
        )
        happening = ObjectGivenUp if retry_at is None else ObjectWaits
        batch.happenings.append(happening(notice.bucket, notice.key, error.reason, tries))
        row = msgspec.structs.replace(
            row,
            state="quarantined" if retry_at is None else "waiting",
            reason="object-unavailable",
            tries=tries,
            first_failed_at=first_failed_at,
            updated_at=now_ms,
        )
        message = f"{error.reason}: {error.message}"
        return self._letter_part(notice, row, "object-unavailable", message, retry_at=retry_at)

    def _letter_part(
        self,
        notice: FileNotice,
        row: TrailFile,
        reason: str,
        message: str,
        *,
        retry_at: int | None = None,
    ) -> Part:
        """Return the dead letter of a file that was not read, with its row."""
        part = Part(row=row)
        letter = DeadLetter(
            stage=STAGE,
            reason=reason,
            message=message,
            bucket=notice.bucket,
            key=notice.key,
            version_id=notice.version_id,
            e_tag=notice.e_tag,
            local_path=notice.local_path,
            account_id=row.account_id,
            tries=max(1, row.tries),
            retry_at=retry_at,
            first_failed_at=row.first_failed_at or row.updated_at,
            failed_at=row.updated_at,
        )
        part.add(self._dead_letters.output(letter))
        return part

    def _mend(self, part: Part, notice: FileNotice, known: Row | None, split: FileSplit) -> None:
        """Write tombstones for what this success mends.

        A copy that was read to its end also answers the fragments of those before it: one that was
        not leaves them, since the records in them may be behind its own end.
        """
        of_file = key_of_file(STAGE, notice.bucket, notice.key)
        mended = _tried_again(notice)
        if isinstance(known, Finished):
            failed = notice.forced  # an earlier replay, perhaps
        else:
            failed = known is not None and (
                known.state in {"waiting", "quarantined", "partial"} or known.reason is not None
            )
        if failed:
            mended.add(of_file)
        row = part.row
        if row is not None and answers(row):
            mended |= _keys(of_file, places(row.fragments))
            part.row = msgspec.structs.replace(row, fragments=flat(split.fragments))
        elif row is not None and row.fragments and row.state in DONE:
            part.row = msgspec.structs.replace(row, state="partial")  # those of older copies
        if not read_to_end(row):
            mended = {key for key in mended if not key.startswith(f"{of_file}#")}
        letters = _keys(of_file, split.fragments) | ({of_file} if split.has_file_letter else set())
        for key in sorted(mended - letters):
            part.add(self._dead_letters.tombstone(key))

    @staticmethod
    def _tell(part: Part, batch: _Batch) -> None:
        row = part.row
        if row is not None and row.reason is not None:
            happening = ExtraData if row.reason == EXTRA_DATA else FileRefused
            batch.happenings.append(happening(row.bucket, row.key, row.reason))

    def _row(self, notice: FileNotice, fetched: Fetched | None) -> TrailFile:
        """Return a new row: what is known before the file is read."""
        key = object_key(notice.key)
        last_modified = notice.last_modified
        if fetched is not None and fetched.last_modified is not None:
            last_modified = fetched.last_modified
        return TrailFile(
            bucket=notice.bucket,
            key=notice.key,
            version_id=(fetched and fetched.version_id) or notice.version_id,
            e_tag=notice.e_tag if fetched is None else fetched.e_tag,
            last_modified=None if fetched is None else fetched.last_modified,
            state="splitting",
            account_id=key.account_id,
            aws_region=key.aws_region,
            organization_id=key.organization_id,
            size=notice.size if fetched is None else fetched.size,
            delivered_at=last_modified if key.delivered_at is None else key.delivered_at,
            noticed_at=notice.noticed_at,
            updated_at=self._now_ms(),
        )

    # Batches

    def _batch(self) -> _Batch:
        return _Batch(began_ms=self._now_ms())

    def _is_full(self, batch: _Batch) -> bool:
        waited_ms = self._now_ms() - batch.began_ms
        return batch.size >= self._limits.batch_bytes or waited_ms >= self._limits.batch_s * 1000

    def _add(self, batch: _Batch, part: Part, number: int) -> None:
        batch.outputs += part.outputs
        batch.size += part.size
        part.outputs = []
        batch.parts.append(part)
        if part.row is not None:
            key = ledger_key(part.row)
            row = self._codecs.ledger.encode(part.row)
            batch.outputs.append(Output(TopicName.FILES_LEDGER, key, row))
            batch.rows[key] = number, part.row

    def _commit(self, batch: _Batch) -> Commit:
        def after() -> None:
            for number, row in batch.rows.values():
                self._ledger.keep(number, row)
            for happening in (*batch.happenings, *_counted(batch.parts)):
                emit(happening)

        return Commit(batch.outputs, batch.offsets, after, batch.refused)


def _is_refused(part: Part) -> bool:
    """Whether a file was read and nothing of it got through."""
    row = part.row
    return (
        part.last
        and row is not None
        and row.state == "quarantined"
        and row.reason != "object-unavailable"
    )


def _keys(of_file: str, fragments: set[Place]) -> set[str]:
    """Return the keys of the dead letters of fragments."""
    return {key_of_fragment(of_file, *place) for place in fragments}


def _beside_newer(part: Part, notice: FileNotice, known: Row, split: FileSplit) -> None:
    """Leave of an older copy's part what stays beside a newer copy: as if it had come before it.

    Its events stay. Its dead letters do where the newer one does not answer them, other than the
    one of the whole file, and the newer copy's row holds their places too.
    """
    of_file = key_of_file(STAGE, notice.bucket, notice.key)
    theirs = places(known.fragments) if isinstance(known, TrailFile) else set()
    unwanted = {key.encode() for key in _keys(of_file, theirs) | {of_file}}
    if answers(known):
        unwanted |= {key.encode() for key in _keys(of_file, split.fragments)}
        part.row = None
        part.already_there += sum(part.dead.values())
        part.dead = {}
    elif isinstance(known, TrailFile):
        merged = flat(theirs | split.fragments)
        changed = merged != known.fragments
        part.row = msgspec.structs.replace(known, fragments=merged) if changed else None
    part.outputs = [
        output for output in part.outputs if output.value is None or output.key not in unwanted
    ]


def _tried_again(notice: FileNotice) -> set[str]:
    """Return the keys of the dead letters that a notice tries again."""
    first = () if notice.retry_of is None else (notice.retry_of,)
    return {*first, *notice.retry_of_also}


def _counted(parts: Sequence[Part]) -> tuple[RecordsCounted, FilesSplit]:
    """Add up the parts of a batch: in = out + already there + dead letters."""
    files: dict[str, int] = {}
    dead: dict[str, int] = {}
    for part in parts:
        if part.last and part.row is not None:
            files[part.row.state] = files.get(part.row.state, 0) + 1
        for reason, number in part.dead.items():
            dead[reason] = dead.get(reason, 0) + number
    out = sum(part.records for part in parts)
    already_there = sum(part.already_there for part in parts)
    return (
        RecordsCounted(
            STAGE,
            came=out + already_there + sum(dead.values()),
            out=out,
            already_there=already_there,
            dead=dead,
        ),
        FilesSplit(
            files,
            skipped=sum(part.skipped for part in parts),
            unpacked_bytes=sum(part.unpacked_bytes for part in parts),
            deferred_records=sum(part.deferred for part in parts),
            masked_records=sum(part.masked for part in parts),
        ),
    )
