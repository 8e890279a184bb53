"""Split an unpacked trail file into its records, in file order (PURE).

Read are `{"Records": [...]}`, a bare list of records, single records, and any number of those one
after the other (JSON lines; two files packed into one). Pretty print and a byte order mark do no
harm. Byte offsets are those of the unpacked file, its byte order mark counted.

Sound stretches of a list are decoded at once (msgspec, about 1 µs a record). A stretch that does
not decode is halved until only the broken element is left, and that one is cut out by its braces:
a broken record never costs its neighbours. Memory stays within a few MiB whatever the file's size.
"""

import hashlib
import json
import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

import msgspec

from opstrail_ingest.brace_scan import LOOK_BACK_BYTES, ElementScan, MemberScan
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.topics import LARGEST_RECORD_BYTES

KIB = 1024
LARGEST_UNIT, SMALLEST_UNIT = 1024 * KIB, 16 * KIB
HEAD_BYTES = 96 * KIB  # kept of a record that is too large: what a dead letter can show
_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
_SEPARATORS = re.compile(rb"[ \t\r\n,]*")
_RECORDS = re.compile(rb'\{\s*"Records"\s*:\s*\[')
_RECORDS_END = re.compile(rb"\]\s*\}\s*\Z")
_BARE_END = re.compile(rb"\]\s*\Z")
_BETWEEN = re.compile(rb'\}\s*,\s*\{\s*("[^"\\]{1,64}")')
# How a record may begin: with a name of CloudTrail's own that seldom is the first in anything else.
# Learnt from a file are others.
_FIRST_NAMES = (
    rb'"(?:addendum|additionalEventData|apiVersion|awsRegion|recipientAccountId|requestParameters|'
    rb'event(?:Version|Category|ID|Name|Source|Time|Type)|sourceIPAddress|userAgent|userIdentity)"'
)
_MOST_LEARNT = 8
_AFTER_LIST = re.compile(rb'\s*(?:\}|,\s*"|\{|[\r\n]\s*\[|\Z)')
_FIRST_KEY = re.compile(rb'\{\s*("[^"\\]{1,64}")')
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_CONFIG_KEYS = frozenset({"configurationItems", "configurationItemDiff"})


class Element(NamedTuple):
    """One object of a list of records, as it stands in the file. Its JSON is sound.

    Not checked here: UTF-8, and what the object says. `salvaged`: damage came before it.
    """

    record_index: int
    start: int
    end: int
    text: bytes
    salvaged: bool


class Broken(NamedTuple):
    """A fragment that is no record. `text` is all of it, or its head where `sha256` is given."""

    record_index: int
    start: int
    end: int
    reason: str
    message: str
    text: bytes
    sha256: str | None = None


class Deferred(NamedTuple):
    """A document of a kind that is kept for later: `digest` or `config`."""

    category: str


Item = Element | Broken | Deferred


class _Refused(NamedTuple):
    """A document that is none of ours; what that means depends on what else is in the file."""

    broken: Broken


def split(blocks: Iterator[bytes]) -> Iterator[Item]:
    """Give the elements of a file, broken ones among them, in order.

    Raises InvalidRecord (`not-json`, `no-records`, `not-a-trail-file`), before it gives anything,
    where the file as a whole is none of ours. A file without records gives nothing.
    """
    return _Splitter(blocks).items()


def json_fault(text: bytes) -> tuple[str, str, int] | None:
    """Return reason, message and place of what makes a text no JSON; None where it is JSON.

    An escaped lone surrogate and bytes that are not UTF-8 pass: the text is kept as it is.
    """
    try:
        _RAW.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _json_fault(text)
    return None


def _json_fault(text: bytes) -> tuple[str, str, int] | None:
    decoded = text.decode("utf-8", "replace")
    try:
        json.loads(decoded, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return "not-json", f"JSON is broken: {error.msg}", len(decoded[: error.pos].encode())
    except _Constant as error:
        return "not-json", f"JSON is broken: {error} is not a value", text.find(str(error).encode())
    except RecursionError:
        return "too-deep", "JSON is nested too deeply", 0
    return None


class _Constant(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


def _keys(text: bytes) -> frozenset[str]:
    """Return the keys of an object that is JSON."""
    try:
        return frozenset(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except (ValueError, RecursionError):  # a lone surrogate, bytes that are not UTF-8
        return frozenset(json.loads(text.decode("utf-8", "replace"), parse_int=str))


def _is_record(keys: frozenset[str]) -> bool:
    """Whether an object that stands alone, or first in a bare list, is a record of any kind."""
    return (
        {"eventName", "eventSource"} <= keys
        or "insightDetails" in keys
        or {"eventVersion", "eventCategory"} <= keys
    )


class _Splitter:
    """Reads on in blocks; `_text[_at:]` is what is not done with, `_base` where `_text` begins."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._text = b""
        self._at = 0
        self._base = 0
        self._last = False
        self._index = 0
        self._damaged = False
        self._cut = False  # the file ends inside a record
        self._sound = False  # a document of ours was found
        self._list_end = _RECORDS_END
        self._separator = b'},{"eventVersion"'
        self._none_between = 0  # the byte up to which there is no separator
        self._first_names = [_FIRST_NAMES]
        self._next_record = _next_record(self._first_names)
        self._none_before = 0  # the byte up to which no next record was found

    def items(self) -> Iterator[Item]:
        self._fill(len(_BOM))
        if self._text.startswith(_BOM):
            self._at = len(_BOM)
        refused: Broken | None = None
        while self._more():
            for item in self._document():
                if isinstance(item, _Refused):
                    if self._sound:
                        yield item.broken
                    elif refused is None:
                        refused = item.broken  # the next document tells whose file it is
                    else:
                        raise _invalid(refused)
                    continue
                self._sound = True
                if refused is not None:
                    yield refused
                    refused = None
                yield item
        if refused is not None:
            raise _invalid(refused)

    # Reading

    def _fill(self, size: int) -> None:
        """Have at least that many bytes ahead, or all there are."""
        while not self._last and len(self._text) - self._at < size:
            block = next(self._blocks, None)
            if block is None:
                self._last = True
                return
            self._text = self._text[self._at :] + block
            self._base += self._at
            self._at = 0

    def _more(self) -> bool:
        """Skip white space; whether anything follows."""
        while True:
            self._fill(LARGEST_UNIT)
            self._at = _end(_SPACE, self._text, self._at)
            if self._at < len(self._text):
                return True
            if self._last:
                return False

    # Documents

    def _document(self) -> Iterator[Item | _Refused]:
        head = _RECORDS.match(self._text, self._at)
        if head is not None:
            self._at = head.end()
            yield from self._records()
        elif self._text.startswith(b"{", self._at):
            yield from self._object()
        elif self._text.startswith(b"[", self._at):
            self._at += 1
            yield from self._bare_list()
        elif self._sound:
            yield self._rest("trailing-data", "bytes follow the end of the JSON document")
        else:
            place = self._base + self._at
            raise InvalidRecord(
                f"the file is neither gzip nor JSON: byte {place} begins no object or list",
                reason="not-json",
                start=place,
            )

    def _records(self) -> Iterator[Item]:
        """From the first element of `Records` to the end of the document."""
        self._sound = True
        self._list_end = _RECORDS_END
        while (yield from self._list()):
            found = b"n"
            while found == b"n":  # null: no list, but nothing is lost with it
                self._at, found = self._member()
            if found == b"}":
                return
            if found != b"[":
                what = "the file ends before its JSON document does"
                reason = "no-list" if found else "cut-short"
                yield self._rest(reason, "another `Records` is no list" if found else what)
                return
            self._at += 1  # a second list: "nothing is missing" holds for it as well

    def _member(self, done: int = 0) -> tuple[int, bytes]:
        """Look for (another) `Records` in the object at hand, reading on for it.

        What is passed over is kept up to the size of a record; `done` bytes of it were looked at.
        """
        scan = MemberScan(b"Records")
        while True:
            place, found = scan.feed(self._text, self._at + done, last=self._last)
            if found or self._last:
                return place, found
            done = place - self._at
            if done > LARGEST_RECORD_BYTES:
                self._at, done = place, 0
            self._fill(len(self._text) - self._at + 1)

    def _object(self) -> Iterator[Item | _Refused]:
        start = self._base + self._at
        place, found = self._member(done=1)
        if found == b"[":
            self._at = place + 1
            yield from self._records()
            return
        if self._base + self._at > start:
            self._at = place
            size = self._base + place - start
            yield _Refused(self._broken(start, start + size, *_too_large(size), b""))
            return
        whole = self._scanned(in_list=False)
        if isinstance(whole, Broken):
            yield _Refused(whole)
            return
        keys = _keys(whole.text)
        if "digestStartTime" in keys:
            yield Deferred("digest")
        elif keys & _CONFIG_KEYS:
            yield Deferred("config")
        elif _is_record(keys):
            yield whole
        elif not keys or "Records" in keys:
            yield self._refused(whole, "no-records", "`Records` is no list, or there is none")
        else:
            what = "JSON, but neither a trail file nor a digest nor another kind that is known"
            yield self._refused(whole, "not-a-trail-file", what)

    def _refused(self, whole: Element, reason: str, message: str) -> _Refused:
        return _Refused(
            Broken(whole.record_index, whole.start, whole.end, reason, message, whole.text)
        )

    def _bare_list(self) -> Iterator[Item]:
        self._list_end = _BARE_END
        items = self._list()
        for item in items:
            if not self._sound and not _may_be_record(item):
                raise InvalidRecord(
                    f"a list whose first element (byte {item.start}) is no CloudTrail record",
                    reason="not-a-trail-file",
                    start=item.start,
                )
            yield item
            break
        yield from items

    # Lists

    def _list(self) -> Generator[Element | Broken, None, bool]:
        """Give the elements up to the list's end; returns whether the file went on to there."""
        size = LARGEST_UNIT
        while True:
            self._fill(LARGEST_UNIT)
            self._at = _end(_SEPARATORS, self._text, self._at)
            if self._at == len(self._text):
                if self._last:
                    if not self._cut:
                        message = "the file ends before its list of records does"
                        yield self._rest("cut-short", message)
                    return False
                continue
            if self._text.startswith(b"]", self._at):
                self._at += 1
                if _AFTER_LIST.match(self._text, self._at) is not None:
                    return True
                self._damaged = True
                start, message = self._base + self._at - 1, "a bracket that closes no list"
                yield self._broken(start, start + 1, "not-json", f"{message} (byte {start})", b"]")
                continue
            end = self._unit_end(size)
            raws = None if end is None else self._decoded(end)
            if raws is not None and end is not None:
                yield from self._elements(raws)
                self._at = end
                size = min(size * 4, LARGEST_UNIT)
            elif end is not None and size > SMALLEST_UNIT:
                size = max(size // 8, SMALLEST_UNIT)
            else:
                yield self._scanned()
                size = SMALLEST_UNIT if end is not None else min(size * 4, LARGEST_UNIT)

    def _unit_end(self, size: int) -> int | None:
        """Return where a stretch of whole elements may end: decoding proves it."""
        if self._last and len(self._text) - self._at <= size:
            tail = self._list_end.search(self._text, max(self._at, len(self._text) - 64))
            if tail is not None:
                return tail.start()
        limit = self._at + size
        start = max(self._at, self._none_between - self._base - len(self._separator))
        brace = self._text.rfind(self._separator, start, limit)
        if brace < 0:
            self._none_between = max(self._none_between, self._base + min(len(self._text), limit))
            return None
        return brace + 1

    def _decoded(self, end: int) -> list[msgspec.Raw] | None:
        try:
            return _RAWS.decode(b"[" + self._text[self._at : end] + b"]")
        # A lone surrogate and deep nesting fail a whole stretch (measured).
        except (msgspec.DecodeError, RecursionError):
            return None

    def _elements(self, raws: list[msgspec.Raw]) -> Iterator[Element | Broken]:
        text, place = self._text, self._at
        for raw in raws:
            element = bytes(raw)
            place = _end(_SEPARATORS, text, place)
            yield self._item(self._base + place, element)
            place += len(element)

    def _item(self, start: int, text: bytes) -> Element | Broken:
        index = self._index
        self._index += 1
        if text.startswith(b"{"):
            return Element(index, start, start + len(text), text, self._damaged)
        message = "a record must be an object"
        return Broken(index, start, start + len(text), "not-an-object", message, text)

    def _scanned(self, *, in_list: bool = True) -> Element | Broken:
        """Cut out the one element at hand by its braces and check it by itself."""
        scan = ElementScan()
        place, ended = self._scan(scan)
        text = self._text[self._at : place].rstrip(_WHITE)
        fault = json_fault(text) if ended else None
        if ended and fault is None and len(text) <= LARGEST_RECORD_BYTES:
            self._learn_separator(place)
            element = self._item(self._base + self._at, text)
            self._at = place
            return element
        size = place - self._at
        if in_list and not (ended and self._goes_on(size)):
            # Braces do not tell where it ends: a quote is missing, or a brace before it.
            place, ended = self._resynchronised(size, ended=ended)
        else:
            place = self._at + size  # reading on may have moved the text
        text = self._text[self._at : place].rstrip(_WHITE)
        if not ended and not self._last:
            return self._dropped(scan, place)
        start = self._base + self._at
        self._at = place
        self._damaged = True
        if not ended:
            self._cut = True
            reason, message = "cut-short", f"the file ends inside this record (byte {start})"
        elif (fault := json_fault(text)) is not None:
            reason, message = fault[0], f"{fault[1]} (byte {start + fault[2]})"
        else:
            reason, message = _too_large(len(text))
        return self._broken(start, start + len(text), reason, message, text)

    def _scan(self, scan: ElementScan) -> tuple[int, bool]:
        """Scan to the element's end, or until it is too large to be kept."""
        place = self._at
        while True:
            place, ended = scan.feed(self._text, place, last=self._last)
            if ended:
                return place, True
            if self._last:
                return len(self._text), False
            done = place - self._at
            if done > LARGEST_RECORD_BYTES:
                return place, False
            self._fill(len(self._text) - self._at + 1)
            place = self._at + done

    def _learn_separator(self, place: int) -> None:
        """Take this file's own way to go on to the next record, such as its pretty print."""
        between = _BETWEEN.match(self._text, place - 1)
        first = _FIRST_KEY.match(self._text, self._at)
        if between is None or first is None or first[1] != between[1]:
            return
        if self._separator != between[0]:
            self._separator, self._none_between = between[0], 0
        known = self._next_record.fullmatch(between[0]) is not None
        if not known and len(self._first_names) <= _MOST_LEARNT:
            self._first_names.append(re.escape(first[1]))
            self._next_record = _next_record(self._first_names)
            self._none_before = 0

    def _goes_on(self, size: int) -> bool:
        """Whether the next record, or the end of the list and the file, follows so many bytes."""
        self._fill(size + KIB)
        place = self._at + size
        after = b"}" + self._text[place : place + KIB]
        if self._next_record.match(after) is not None:
            return True
        # No sound record has told yet how records begin here: the next one begins as this one does.
        between, first = _BETWEEN.match(after), _FIRST_KEY.match(self._text, self._at)
        if between is not None and first is not None and first[1] == between[1]:
            return True
        end = _end(_SPACE, self._text, place)
        return self._last and self._list_end.fullmatch(self._text, end) is not None

    def _resynchronised(self, size: int, *, ended: bool) -> tuple[int, bool]:
        """Return where the next record begins for certain, whatever the braces say."""
        for ahead in (0, LARGEST_RECORD_BYTES):
            self._fill(ahead)
            limit = self._at + LARGEST_RECORD_BYTES
            start = max(self._at, self._none_before - self._base - LOOK_BACK_BYTES)
            found = self._next_record.search(self._text, start, limit)
            if found is not None:
                return found.start() + 1, True
            self._none_before = self._base + min(len(self._text), limit)
        if self._last:
            tail = self._list_end.search(self._text, max(self._at, len(self._text) - 64))
            return (len(self._text), False) if tail is None else (tail.start(), True)
        return self._at + size, ended

    def _dropped(self, scan: ElementScan, place: int) -> Broken:
        """Pass over an element that is too large to be kept: its head and its hash are."""
        start = self._base + self._at
        head, digest = self._text[self._at : self._at + HEAD_BYTES], hashlib.sha256()
        ended = False
        while True:
            digest.update(self._text[self._at : place])
            self._at = place
            if ended or self._last:
                break
            self._fill(len(self._text) - self._at + 1)
            place, ended = scan.feed(self._text, self._at, last=self._last)
            if not ended and self._last:
                place = len(self._text)
        if not ended:
            self._damaged = self._cut = True
        end = self._base + self._at
        return self._broken(start, end, *_too_large(end - start), head, digest.hexdigest())

    def _rest(self, reason: str, message: str) -> Broken:
        """Take all that is left of the file as one fragment."""
        start = end = self._base + self._at
        head, digest = b"", hashlib.sha256()
        while True:
            text = self._text[self._at :]
            digest.update(text)
            head = head or text[:HEAD_BYTES]
            end += len(text)
            self._at = len(self._text)
            if self._last:
                break
            self._fill(1)
        self._damaged = True
        message = f"{message} (byte {start})"
        return self._broken(start, end, reason, message, head, digest.hexdigest())

    def _broken(  # noqa: PLR0917 - the fields of a Broken
        self,
        start: int,
        end: int,
        reason: str,
        message: str,
        text: bytes,
        sha256: str | None = None,
    ) -> Broken:
        index = self._index
        self._index += 1
        return Broken(index, start, end, reason, message, text, sha256)


def _next_record(first_names: list[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"\}\s*,\s*\{\s*(?:" + b"|".join(first_names) + b")")


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _too_large(size: int) -> tuple[str, str]:
    return "too-large", f"a record of {size} bytes: the largest is {LARGEST_RECORD_BYTES}"


def _may_be_record(item: Element | Broken) -> bool:
    if isinstance(item, Element):
        return _is_record(_keys(item.text))
    return item.text.startswith(b"{")


def _invalid(broken: Broken) -> InvalidRecord:
    return InvalidRecord(broken.message, reason=broken.reason, start=broken.start, end=broken.end)
