"""What to do with a file that was noticed, by what is known of it (PURE)."""

from dataclasses import dataclass

from opstrail_schemas.messages import FileNotice, TrailFile

DONE = frozenset({"done", "empty", "deferred"})
KEY_BITS, _TAG_BITS, _VERSION_BITS, _RECORD_BITS, _TIME_BITS = 60, 40, 20, 28, 32
EXTRA_DATA = "extra-data"  # no fault, but AWS's own validation would call it tampering


def number_of(text: bytes | str | None, bits: int) -> int:
    """Return a number that stands for a text in this process; 0 for none.

    Python's own hash is keyed anew in each process: nobody can make two texts meet.
    """
    if text is None:
        return 0
    of_bytes = hash(text.encode() if isinstance(text, str) else text)
    return (of_bytes & ((1 << bits) - 1)) or 1


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that is done: all that is kept of its row."""

    e_tag: int
    version: int
    records: int
    last_modified: int | None = None

    def is_version(self, notice: FileNotice, e_tag: str | None) -> bool:
        """Whether this is what the notice names; `e_tag` is None where nobody asked for it."""
        if e_tag is None or self.e_tag != number_of(e_tag, _TAG_BITS):
            return False
        version = number_of(notice.version_id, _VERSION_BITS)
        return not (version and self.version) or version == self.version


def packed(
    e_tag: bytes | str | None,
    version_id: bytes | str | None,
    records: int,
    last_modified: int | None,
) -> int:
    """Return all that is kept of a file that is done, in one integer."""
    number = min((last_modified or 0) // 1000, (1 << _TIME_BITS) - 1)  # S3 knows seconds
    number = (number << _TAG_BITS) | number_of(e_tag, _TAG_BITS)
    number = (number << _VERSION_BITS) | number_of(version_id, _VERSION_BITS)
    return (number << _RECORD_BITS) | min(records, (1 << _RECORD_BITS) - 1)


def unpacked(number: int) -> Finished:
    """Read what `packed` wrote."""
    number, records = divmod(number, 1 << _RECORD_BITS)
    number, version = divmod(number, 1 << _VERSION_BITS)
    seconds, e_tag = divmod(number, 1 << _TAG_BITS)
    return Finished(e_tag, version, records, seconds * 1000 or None)


Row = TrailFile | Finished


@dataclass(frozen=True, slots=True)
class New:
    """Split the file from its start."""


@dataclass(frozen=True, slots=True)
class Again:
    """Split a file that is done from its start: a replay, for `events.reread`."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where an earlier process stopped."""

    row: TrailFile


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do: the file's records are there already."""

    records: int


def is_older(notice: FileNotice, last_modified: int | None, row: Row | None) -> bool:
    """Whether an object that was read is an older version of a file than the one in the ledger.

    Notices of versions come in any order. Where a notice names none, what was read is the newest.
    """
    known = None if row is None else row.last_modified
    if notice.version_id is None or last_modified is None or known is None:
        return False
    return last_modified // 1000 < known // 1000


def read_to_end(row: Row | None) -> bool:
    """Whether a copy was read to its end: each of its records is an event or a dead letter."""
    return isinstance(row, Finished) or (
        row is not None and row.state in {*DONE, "partial"} and row.reason in {None, EXTRA_DATA}
    )


def answers(row: Row | None) -> bool:
    """Whether a copy of a file answers the dead letters of its older copies.

    What was broken in them is an event or a dead letter of this one. An empty list answers nothing.
    """
    return row is not None and read_to_end(row) and row.records > 0


Decision = New | Again | Resume | Skip


def decision(notice: FileNotice, row: Row | None, e_tag: str | None) -> Decision:
    """Say what to do with a file. `e_tag`: the object's as far as it is known."""
    asked_for = notice.forced or notice.retry_of is not None
    if isinstance(row, TrailFile) and row.reason == "crashed" and not (row.e_tag or asked_for):
        return Skip(row.records)  # it would kill the process again, whatever its ETag
    if row is None or e_tag is None:
        return New()
    if isinstance(row, Finished):
        if not row.is_version(notice, e_tag):
            return New()
        return Again() if notice.forced else Skip(row.records)
    if row.e_tag != e_tag:
        return New()
    # What could not be read for a day is tried again when it is noticed again; what was read and
    # refused would be refused again.
    refused = row.state == "quarantined" and row.first_failed_at is None
    if (row.state == "partial" or refused) and not asked_for:
        return Skip(row.records)
    if row.state != "partial" and row.next_record:
        return Resume(row)
    return New()
