"""What must become of a set of files, told from their bytes alone: gzip, json, and nothing of ours.

It looks for records in another way than split does: from the left, and where one does not decode,
on to the first place from which the rest does, or where a record begins.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LAYOUT = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail")
DIGEST = re.compile(r"/CloudTrail-Digest/")
SECRET = re.compile(rb"PLANTED-SECRET-\d+")
_decode = json.JSONDecoder().raw_decode
_LIST = re.compile(r'\s*\{\s*"Records"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_BEGINS = '{"eventVersion"'  # as records begin; inside of one that is sound its quotes are escaped
_END = re.compile(r"\s*(?:,\s*\{|\]\s*\})")


class Place(NamedTuple):
    """A record's place: its file and its number in it."""

    file: str
    number: int


class Fault(NamedTuple):
    """A dead letter about a file (no range) or a fragment of it."""

    file: str
    reason: str
    start: int | None = None
    end: int | None = None
    sha256: str | None = None
    """Of the bytes of a fragment, before anything is masked."""


class Stack(NamedTuple):
    """A stack that a record says was made."""

    account: str
    id: str
    name: str


@dataclass(slots=True)
class Event:
    """An event: the texts of all its copies by place, and the period it belongs to (`2024.03`)."""

    texts: dict[Place, bytes] = field(default_factory=dict)
    period: str = "undated"

    @property
    def record(self) -> dict[str, Any]:
        """The record as JSON; copies are equal in all that tells events apart."""
        record: dict[str, Any] = json.loads(next(iter(self.texts.values())))
        return record


class File(NamedTuple):
    """What the ledger must say of a file in the end."""

    state: str
    records: int = 0
    dead_letters: int = 0


@dataclass(slots=True)
class Expected:
    """All that must be there once every file has gone through."""

    events: dict[str, Event] = field(default_factory=dict)
    faults: set[Fault] = field(default_factory=set)
    files: dict[str, File] = field(default_factory=dict)
    secrets: set[bytes] = field(default_factory=set)
    stacks: set[Stack] = field(default_factory=set)
    copies: dict[str, int] = field(default_factory=dict)
    """How many copies of a file there were, one after the other, where it was more than one."""

    @property
    def places(self) -> dict[Place, str]:
        """The identity of each record, by its place."""
        return {place: id_ for id_, event in self.events.items() for place in event.texts}


def expected_of(files: Mapping[str, bytes]) -> Expected:
    """Return what must become of files, by object key. Two copies of an event are one event."""
    expected = Expected()
    for key, data in files.items():
        _add(expected, key, data)
    return expected


def _add(expected: Expected, key: str, data: bytes) -> None:
    text, whole = _unpacked(data)
    if DIGEST.search(key):
        expected.files[key] = File("deferred")
        return
    if text is None or not text.lstrip().startswith(("{", "[")):
        expected.faults.add(Fault(key, "not-json"))
        expected.files[key] = File("quarantined")
        return
    expected.secrets |= set(SECRET.findall(text.encode()))
    records = dead = 0
    for index, (start, end, item) in enumerate(_elements(text)):
        if isinstance(item, dict):
            records += 1
            _add_event(expected, Place(key, index), text[start:end].encode(), item)
        else:
            dead += 1
            digest = hashlib.sha256(text[start:end].encode()).hexdigest()
            place = _bytes(text, start), _bytes(text, end)
            expected.faults.add(Fault(key, str(item), *place, digest))
    if not whole:
        expected.faults.add(Fault(key, "cut-short"))
    state = "partial" if dead or not whole else "done" if records else "empty"
    expected.files[key] = File(state, records, dead)


def _add_event(expected: Expected, place: Place, text: bytes, record: Mapping[str, Any]) -> None:
    layout = LAYOUT.search(place.file)
    account = layout[1] if layout else record.get("recipientAccountId")
    account = account or (record.get("userIdentity") or {}).get("accountId") or "-"
    event = expected.events.setdefault(f"{account}/{record['eventID']}", Event())
    event.texts[place] = text
    if record.get("eventName") == "CreateStack":
        stack, name = record["responseElements"]["stackId"], record["requestParameters"]["name"]
        expected.stacks.add(Stack(str(account), stack, name))
    time = record.get("eventTime")
    if isinstance(time, str):
        event.period = time[:7].replace("-", ".")


def _unpacked(data: bytes) -> tuple[str | None, bool]:
    """Return the text as far as it can be had, and whether that is all of it."""
    if data[:2] != b"\x1f\x8b":
        try:
            return data.decode(), True
        except UnicodeDecodeError:
            return None, True
    try:
        return gzip.decompress(data).decode(), True
    except (EOFError, zlib.error):
        part = zlib.decompressobj(31).decompress(data)
        return part.decode(errors="ignore"), False


def _elements(text: str) -> Iterator[tuple[int, int, dict[str, Any] | str]]:
    """Give the elements of `Records`: a record, or the reason why it is none."""
    head = _LIST.match(text)
    at = 0 if head is None else head.end()
    while True:
        match = _BETWEEN.match(text, at)
        at = at if match is None else match.end()
        if at >= len(text) or text[at] == "]":
            return
        try:
            value, end = _decode(text, at)
        except ValueError:
            found = _next_end(text, at)
            end = len(text.rstrip()) if found is None else found
            yield at, end, "cut-short" if found is None else "not-json"
        else:
            yield at, end, value if isinstance(value, dict) else "not-an-object"
        at = end


def _next_end(text: str, start: int) -> int | None:
    """Return where a broken element ends: before the first place from which the rest decodes."""
    at = start
    while (at := text.find("}", at) + 1) > 0:
        if (found := _END.match(text, at)) is not None:
            begins = text.startswith(_BEGINS, found.end() - 1)
            if found[0].lstrip().startswith("]") or begins:
                return at
            try:
                _decode(text, found.end() - 1)
            except ValueError:
                continue
            return at
    return None


def _bytes(text: str, place: int) -> int:
    return len(text[:place].encode())
