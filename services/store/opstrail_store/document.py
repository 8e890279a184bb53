"""An enriched event as the bytes of a document (PURE).

The whole form is the record's own text with our object spliced in before its last brace: never
parsed and re-serialised, so digits, spellings and unknown fields survive. Newlines between tokens
become spaces, because a bulk body is cut at them.

What OpenSearch would refuse or misread is written in the reduced form: the typed fields, and the
exact text of the record in `opstrail.rawText` (`rawBytes` in base64 where it is not UTF-8).
`raw_of` gives the text back from either form.
"""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from opstrail_schemas.identity import LONGEST_ID_BYTES, event_key
from opstrail_schemas.messages import Caller, EnrichedEvent, Message, RawEvent, wire_name
from opstrail_store.index_name import is_absurd
from opstrail_store.mapping import CLOUDTRAIL_FIELDS, FLAT_OBJECTS

# A flat_object nested 500 deep overflows the stack of OpenSearch 3.8, and the whole node exits
# (measured; 100 deep is fine). No real record comes near.
DEEPEST_NESTING = 64
# Of flat_object OpenSearch makes the term `requestParameters.<path>=<value>`, at most 32,766 bytes.
_CERTAINLY_TOO_LONG = 32_746

_KNOWN_ROOT_KEYS = frozenset(field.path.partition(".")[0] for field in CLOUDTRAIL_FIELDS)
_LONG_STRING = re.compile(rb'"[^"]{%d}' % _CERTAINLY_TOO_LONG)
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[][{}]")
# CloudTrail withholds some key ids: as a key these would join calls that have nothing in common.
_NO_KEYS = frozenset({"", "Unknown"})
_NEWLINES_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")
_OURS = b',"opstrail":{'
ABSURD_EVENT_TIME = "absurdEventTime"  # a flag that only documents have

_encode = msgspec.json.Encoder().encode
_root_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Delivery(NamedTuple):
    """Which writing of which record a document is."""

    bucket: str
    key: str
    record_index: int
    stored_at: int


def document_id(key: bytes) -> str:
    """Return the document id of a message key: its text, a hash where that is too long."""
    if len(key) <= LONGEST_ID_BYTES:
        return key.decode(errors="replace")
    return f"sha256/{hashlib.sha256(key).hexdigest()}"


def event_document_id(event: RawEvent) -> str:
    """Return the document id of an event."""
    return event_key(event.account_id, event.event_id).decode()


def event_body(enriched: EnrichedEvent, *, stored_at: int) -> bytes:
    """Return the document: whole where it can be, else reduced. `stored_at` is now in ms."""
    raw = enriched.event.raw
    try:
        root = _root_of(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return reduced_body(enriched, stored_at=stored_at, why="notJson")
    why = _why_not_whole(raw, root)
    if why is not None:
        return reduced_body(enriched, stored_at=stored_at, why=why)
    wrapped = [name for name in FLAT_OBJECTS if name in root and not _is_object(root[name])]
    if wrapped:
        ours = _ours(enriched, stored_at, {"wrapped": wrapped, **_exact(raw)})
        return _spliced(_with_wrapped(root, wrapped), ours)
    return _spliced(raw, _ours(enriched, stored_at, {}))


def reduced_body(enriched: EnrichedEvent, *, stored_at: int, why: str) -> bytes:
    """Return the reduced form. `why` is a bounded code."""
    event = enriched.event
    typed = {
        "eventTime": None if event.event_time is None else _iso(event.event_time),
        "eventSource": event.event_source,
        "eventName": event.event_name,
        "awsRegion": event.aws_region,
        "eventID": None if event.event_id.startswith("sha256:") else event.event_id,
        "eventCategory": event.event_category,
        "eventType": event.event_type,
        "readOnly": event.read_only,
        "errorCode": event.error_code,
        "sourceIPAddress": event.source_ip_address,
        "sharedEventID": event.shared_event_id,
        "userIdentity": _present(
            {
                "type": event.user_identity_type,
                "arn": event.user_identity_arn,
                "accessKeyId": event.access_key_id,
            }
        ),
    }
    ours = _ours(enriched, stored_at, {"reduced": why, **_exact(event.raw)})
    return _spliced(_encode(_present(typed)), ours)


def raw_of(source: bytes) -> bytes:
    """Return the record's text from a document's `_source` bytes as OpenSearch gives them back.

    Of the whole form that is the text itself, newlines between tokens excepted.
    """
    return ours_and_raw(source)[1]


def ours_and_raw(source: bytes) -> tuple[bytes, bytes]:
    """Return our own object, as JSON text, and the record's text. Raises ValueError."""
    cut = source.rindex(_OURS)
    text = source[cut + len(_OURS) - 1 : -1]
    ours = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if "rawText" in ours:
        return text, msgspec.json.decode(ours["rawText"], type=str).encode()
    if "rawBytes" in ours:
        return text, base64.b64decode(msgspec.json.decode(ours["rawBytes"], type=str))
    return text, source[:cut] + b"}"


def delivery_of(enriched: EnrichedEvent, stored_at: int) -> Delivery:
    """Return what tells this writing of this record from every other."""
    origin = enriched.event.origin
    return Delivery(origin.bucket, origin.key, origin.record_index, stored_at)


def _why_not_whole(raw: bytes, root: Mapping[str, msgspec.Raw]) -> str | None:
    """Return why OpenSearch must not get the record as it is; duplicate keys it finds itself."""
    if not root:
        return "notJson"
    for key in root.keys() - _KNOWN_ROOT_KEYS:
        # A dot would be read as a path: `opstrail.caller.kind` at the root would forge ours.
        if key == "opstrail":
            return "ownKey"
        if not key or "." in key:
            return "dottedKey"
    if raw.count(b"{") + raw.count(b"[") > DEEPEST_NESTING and nesting(raw) > DEEPEST_NESTING:
        return "nesting"
    for name in FLAT_OBJECTS:
        value = root.get(name)
        if value and len(bytes(value)) > _CERTAINLY_TOO_LONG and _LONG_STRING.search(bytes(value)):
            return "longTerm"
    return None


def nesting(raw: bytes) -> int:
    """Return how deep JSON text is nested."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", raw)):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _is_object(value: msgspec.Raw) -> bool:
    text = bytes(value)
    return text[:1] == b"{" or text == b"null"


def _with_wrapped(root: Mapping[str, msgspec.Raw], wrapped: list[str]) -> bytes:
    members = (
        _encode(key) + (b':{"value":%b}' if key in wrapped else b":%b") % bytes(value)
        for key, value in root.items()
    )
    return b"{" + b",".join(members) + b"}"


def _spliced(record: bytes, ours: bytes) -> bytes:
    before = record.strip()[:-1]
    if b"\n" in before or b"\r" in before:
        # JSON strings hold no raw newline, so each one stands between tokens.
        before = before.translate(_NEWLINES_TO_SPACES)
    return b"".join((before, b',"opstrail":', ours, b"}"))


def _ours(enriched: EnrichedEvent, stored_at: int, more: Mapping[str, object]) -> bytes:
    event, enrichment = enriched.event, enriched.enrichment
    flags = event.flags
    if event.event_time is not None and is_absurd(event.event_time):
        flags = [*flags, ABSURD_EVENT_TIME]
    origin = event.origin
    return _encode(
        _present(
            {
                "accountId": event.account_id,
                "eventID": event.event_id,
                "sourceIP": address(event.source_ip_address),
                "accessKeyId": None if event.access_key_id in _NO_KEYS else event.access_key_id,
                "issuedAccessKeyId": enrichment.issued_access_key_id,
                "corrects": enrichment.corrects,
                "caller": _caller(enrichment.caller),
                "account": enrichment.account and _account(enrichment.account),
                "stack": enrichment.stack and _members(enrichment.stack),
                "stackKeys": enrichment.stack_keys,
                "flags": flags,
                "maskedPaths": event.masked_paths,
                "rulesVersion": enrichment.rules_version,
                "version": enrichment.version,
                **more,
                "delivery": _present(
                    {
                        "bucket": origin.bucket,
                        "key": origin.key,
                        "versionId": origin.version_id,
                        "eTag": origin.e_tag,
                        "sha256": origin.sha256,
                        "recordIndex": origin.record_index,
                        "deliveredAt": origin.delivered_at,
                        "storedAt": stored_at,
                        "stackFactsOffset": enrichment.stack_facts_offset,
                        "accountsOffset": enrichment.accounts_offset,
                    }
                ),
            }
        )
    )


def _exact(raw: bytes) -> dict[str, str]:
    try:
        return {"rawText": raw.decode()}
    except UnicodeDecodeError:
        return {"rawBytes": base64.b64encode(raw).decode()}


def _present(members: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in members.items()
        if value is not None and value not in ([], {})
    }


@lru_cache(maxsize=64)
def _names(message_type: type[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((name, wire_name(name)) for name in message_type.__struct_fields__)


def _members(message: Message) -> dict[str, Any]:
    return _present({wire: getattr(message, name) for name, wire in _names(type(message))})


@lru_cache(maxsize=4096)
def _caller(caller: Caller) -> msgspec.Raw:
    # Few callers make most calls: their bytes are made once.
    return msgspec.Raw(_encode(_members(caller)))


def _account(account: Message) -> dict[str, Any]:
    members = _members(account)
    if "tags" in members:  # names of tags are free: as fields they would be without number
        members["tags"] = [f"{name}={value}" for name, value in sorted(members["tags"].items())]
    return members


@lru_cache(maxsize=16_384)
def address(text: str | None) -> str | None:
    """Return the IP address in canonical form; None for host names and `AWS Internal`."""
    if text is None or "%" in text:  # OpenSearch knows no IPv6 zones
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _iso(time_ms: int) -> str | None:
    try:
        date = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return date.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")[:-6] + "Z"
