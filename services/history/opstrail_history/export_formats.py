"""The forms of a download (PURE): each begins, has a piece for each event, and ends with a count.

A download that was cut off lacks that end, or has one that says `complete: false`.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, assert_never

import msgspec

from opstrail_history.row import row_of
from opstrail_history.stored_document import account_by_itself, document, record_in, texts

Format = Literal["ndjson", "records", "csv"]
CLOSING = "opstrailExport"
MEDIA_TYPES: Mapping[Format, str] = {
    "ndjson": "application/x-ndjson",
    "records": "application/json",
    "csv": "text/csv; charset=utf-8",
}
FILE_ENDINGS: Mapping[Format, str] = {"ndjson": "ndjson", "records": "json", "csv": "csv"}
COLUMNS = (
    "time", "who", "callerKind", "arn", "role", "session", "accessKey", "sourceIP", "action",
    "source", "targets", "account", "accountName", "region", "stack", "layers", "instances",
    "apps", "readOnly", "outcome", "errorCode", "eventID", "id",
)  # fmt: skip
# A cell that begins so is a formula to a spreadsheet (CWE-1236, ASVS 1.2.10), also after blanks.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # noqa: RUF001 - what spreadsheets take for them


@dataclass(slots=True)
class Tally:
    """What a download holds so far. The last two tell what `opstrail run -` would store anew."""

    events: int = 0
    without_event_id: int = 0
    other_account: int = 0
    unreadable: int = 0

    def closing(self, *, why: str | None = None) -> dict[str, Any]:
        """Return what a download ends with; `why` it is incomplete, where it is."""
        return {
            "complete": why is None,
            "events": self.events,
            "withoutEventID": self.without_event_id,
            "otherAccountThanItsKey": self.other_account,
            "unreadable": self.unreadable,
            **({} if why is None else {"why": why}),
        }


class Writer(Protocol):
    """One form of a download."""

    tally: Tally

    def begin(self) -> bytes:
        """Return what stands before the first event."""

    def event(self, document_id: str, source: bytes) -> bytes:
        """Return an event, of its document's exact bytes."""

    def end(self, *, why: str | None = None) -> bytes:
        """Return what stands behind the last; `why` it is not complete, where it is not."""


def writer(form: Format) -> Writer:
    """Return the writer of a form."""
    match form:
        case "ndjson":
            return Ndjson()
        case "records":
            return Records()
        case "csv":
            return Csv()
        case never:
            assert_never(never)


@dataclass(slots=True)
class Ndjson:
    """One document a line: CloudTrail's record, and ours under `opstrail`. Last a closing line."""

    tally: Tally = field(default_factory=Tally)

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def event(self, document_id: str, source: bytes) -> bytes:  # noqa: ARG002 - it is inside
        """Return the document on one line."""
        self.tally.events += 1
        return source + b"\n"

    def end(self, *, why: str | None = None) -> bytes:
        """Return the closing line."""
        return msgspec.json.encode({CLOSING: self.tally.closing(why=why)}) + b"\n"


@dataclass(slots=True)
class Records:
    """`{"Records": […]}` of CloudTrail's own texts: what `opstrail run -` takes in again."""

    tally: Tally = field(default_factory=Tally)

    def begin(self) -> bytes:
        """Return the beginning of the list."""
        return b'{"Records":[\n'

    def event(self, document_id: str, source: bytes) -> bytes:  # noqa: ARG002 - it is inside
        """Return the record, with a comma before it where one is needed."""
        try:
            record = record_in(source)
        except (ValueError, msgspec.MsgspecError):
            self.tally.unreadable += 1
            return b""
        ours = msgspec.json.decode(record.ours)
        flags = texts(ours.get("flags"))
        # Their identity followed from the file that they stood in, not from themselves.
        self.tally.without_event_id += "derivedEventID" in flags
        self.tally.other_account += _account_by_itself(record.raw) != ours.get("accountId")
        first = self.tally.events == 0
        self.tally.events += 1
        return record.raw if first else b",\n" + record.raw

    def end(self, *, why: str | None = None) -> bytes:
        """Return the end of the list, and the closing member."""
        closing = msgspec.json.encode(self.tally.closing(why=why))
        return b'\n],"%b":%b}\n' % (CLOSING.encode(), closing)


@dataclass(slots=True)
class Csv:
    """A table for spreadsheets, RFC 4180, in UTF-8 with its mark; no cell is a formula."""

    tally: Tally = field(default_factory=Tally)

    def begin(self) -> bytes:
        """Return the byte order mark, by which spreadsheets know UTF-8, and the names."""
        return b"\xef\xbb\xbf" + csv_line(COLUMNS)

    def event(self, document_id: str, source: bytes) -> bytes:
        """Return the event's line."""
        self.tally.events += 1
        return csv_line(_cells(document_id, source))

    def end(self, *, why: str | None = None) -> bytes:
        """Return the closing line: a comment in its first cell."""
        if why is None:
            return csv_line([f"# complete: {self.tally.events} events"])
        return csv_line([f"# INCOMPLETE after {self.tally.events} events: {why}"])


def csv_line(cells: Any) -> bytes:
    """Return one line of a table."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([safe_cell(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "replace")


def safe_cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe before what it would."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    cell = ", ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{cell}" if cell.lstrip(" \u00a0").startswith(_FORMULA) else cell


def _cells(document_id: str, source: bytes) -> list[object]:
    row = row_of(document_id, document(source))
    stack = row.stack
    return [
        row.time, row.who.name, row.who.kind, row.who.arn, row.who.role, row.who.session,
        row.access_key, row.address, row.action, row.source, row.targets, row.account,
        row.account_name, row.region, stack and (stack.name or stack.id),
        stack and stack.layers, stack and stack.instances, stack and stack.apps, row.read_only,
        row.outcome, row.error_code, row.event_id, row.id,
    ]  # fmt: skip


def _account_by_itself(raw: bytes) -> str | None:
    try:
        return account_by_itself(document(raw))
    except ValueError:
        return None
