"""What to do with a file that was noticed, by what is known of it (PURE)."""

import hashlib
from dataclasses import dataclass

from opstrail_schemas.messages import FileNotice, TrailFile

DONE = frozenset({"done", "empty", "deferred"})
KEY_BITS, _TAG_BITS, _VERSION_BITS, _RECORD_BITS = 60, 40, 20, 28


def digest(text: str | None, bits: int) -> int:
    """Return a number that stands for a text; 0 for none."""
    if text is None:
        return 0
    whole = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return (whole >> (64 - bits)) or 1


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that is done: all that is kept of its row."""

    e_tag: int
    version: int
    records: int

    def is_version(self, notice: FileNotice, e_tag: str | None) -> bool:
        """Whether this is what the notice names; `e_tag` is None where nobody asked for it."""
        if e_tag is None or self.e_tag != digest(e_tag, _TAG_BITS):
            return False
        version = digest(notice.version_id, _VERSION_BITS)
        return not (version and self.version) or version == self.version


def packed(row: TrailFile) -> int:
    """Return all that is kept of a file that is done, in one integer."""
    tag, version = digest(row.e_tag, _TAG_BITS), digest(row.version_id, _VERSION_BITS)
    records = min(row.records, (1 << _RECORD_BITS) - 1)
    return (((tag << _VERSION_BITS) | version) << _RECORD_BITS) | records


def unpacked(number: int) -> Finished:
    """Read what `packed` wrote."""
    head, records = number >> _RECORD_BITS, number & ((1 << _RECORD_BITS) - 1)
    return Finished(head >> _VERSION_BITS, head & ((1 << _VERSION_BITS) - 1), records)


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
