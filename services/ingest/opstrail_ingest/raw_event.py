"""Turn the text of one record into a RawEvent (PURE).

No field of an unusual type, no odd text makes it fail: what cannot be read is absent in the typed
fields and stays in `raw`. Of a key that comes twice the last value counts, as JSON readers do.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import msgspec

from opstrail_ingest.masking import Masking
from opstrail_ingest.trail_file import Broken, Deferred, Element
from opstrail_schemas.identity import derived_event_id
from opstrail_schemas.messages import Origin, RawEvent
from opstrail_schemas.topics import LARGEST_RECORD_BYTES

_EVENT_CATEGORIES = frozenset({None, "", "Management", "Data", "NetworkActivity"})
_DEFERRED = {"Insight": "insight", "Aggregated": "aggregated"}
_DEFERRED_TYPES = {"AwsCloudTrailInsight": "insight", "AwsAggregatedEvent": "aggregated"}
# A second one of these could smuggle in another identity; looking for them all costs too much.
_WATCHED_KEYS = (b'"eventID"', b'"eventName"', b'"eventSource"', b'"eventTime"', b'"userIdentity"')
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class _Identity(msgspec.Struct, gc=False):
    type: str | None = None
    arn: str | None = None
    accountId: str | None = None  # noqa: N815 - CloudTrail's names, here and below
    accessKeyId: str | None = None  # noqa: N815


class _Fields(msgspec.Struct, gc=False):
    eventVersion: str | None = None  # noqa: N815
    eventID: str | None = None  # noqa: N815
    eventTime: str | None = None  # noqa: N815
    eventSource: str | None = None  # noqa: N815
    eventName: str | None = None  # noqa: N815
    awsRegion: str | None = None  # noqa: N815
    eventCategory: str | None = None  # noqa: N815
    eventType: str | None = None  # noqa: N815
    readOnly: bool | None = None  # noqa: N815
    errorCode: str | None = None  # noqa: N815
    sourceIPAddress: str | None = None  # noqa: N815
    sharedEventID: str | None = None  # noqa: N815
    recipientAccountId: str | None = None  # noqa: N815
    userIdentity: _Identity | None = None  # noqa: N815


_FIELDS = msgspec.json.Decoder(_Fields)
_STRINGS = tuple(
    field for field in _Fields.__struct_fields__ if field not in {"readOnly", "userIdentity"}
)


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """The file that records stand in. `account_id` is the one in its key, where it has layout."""

    bucket: str
    key: str
    sha256: str
    version_id: str | None = None
    e_tag: str | None = None
    delivered_at: int | None = None
    account_id: str | None = None


class RecordReader:
    """Reads the records of one file, in order from its first: it counts equal ones."""

    def __init__(self, origin: FileOrigin, masking: Masking, *, salvaged: bool = False) -> None:
        self._origin = origin
        self._masking = masking
        self._salvaged = salvaged
        # Only what came more than once is counted, by eight bytes of its hash: a large file may
        # hold a million records without an id.
        self._seen: set[int] = set()
        self._repeats: Counter[int] = Counter()

    def read(self, element: Element) -> RawEvent | Deferred | Broken:
        """Return the record's event, or its category where that is kept for later."""
        text = element.text
        if len(text) > LARGEST_RECORD_BYTES:
            message = f"a record of {len(text)} bytes: the largest is {LARGEST_RECORD_BYTES}"
            return _refused(element, "too-large", message)
        flags: list[str] = []
        try:
            fields = _fields(text, flags)
        except RecursionError:
            return _refused(element, "too-deep", "JSON is nested too deeply")
        category = _deferred_category(fields, text)
        if category is not None:
            return Deferred(category)
        name, source = fields.eventName, fields.eventSource
        if not name or not source:
            return _refused(element, "not-an-event", "a record needs eventName and eventSource")
        if source == "aws:s3":
            return _refused(element, "not-an-event", "an S3 notification, not a CloudTrail record")
        return self._event(element, fields, name, source, flags)

    def _event(
        self, element: Element, fields: _Fields, name: str, source: str, flags: list[str]
    ) -> RawEvent:
        event_id = fields.eventID
        if not event_id:
            event_id = self._derived_id(element.text)
            flags.append("derivedEventID")
        event_time = _event_time(fields.eventTime, flags)
        identity = fields.userIdentity or _Identity()
        if self._salvaged or element.salvaged:
            flags.append("salvaged")
        if fields.eventVersion is not None and not fields.eventVersion.startswith("1."):
            flags.append("unknownVersion")
        raw, masked_paths = self._masking.mask(element.text)
        origin = self._origin
        return RawEvent(
            account_id=self._account(fields, element.text, flags),
            event_id=event_id,
            event_time=event_time,
            event_source=source,
            event_name=name,
            aws_region=fields.awsRegion,
            event_category=fields.eventCategory,
            event_type=fields.eventType,
            read_only=fields.readOnly,
            error_code=fields.errorCode,
            source_ip_address=fields.sourceIPAddress,
            user_identity_type=identity.type,
            user_identity_arn=identity.arn,
            access_key_id=identity.accessKeyId,
            shared_event_id=fields.sharedEventID,
            origin=Origin(
                bucket=origin.bucket,
                key=origin.key,
                version_id=origin.version_id,
                e_tag=origin.e_tag,
                sha256=origin.sha256,
                record_index=element.record_index,
                delivered_at=origin.delivered_at,
            ),
            flags=flags,
            masked_paths=masked_paths,
            raw=raw,
        )

    def _derived_id(self, text: bytes) -> str:
        short = hash(text)
        if short not in self._seen:
            self._seen.add(short)
            return derived_event_id(text, 0)
        self._repeats[short] += 1
        return derived_event_id(text, self._repeats[short])

    def _account(self, fields: _Fields, text: bytes, flags: list[str]) -> str:
        named = fields.recipientAccountId
        account = self._origin.account_id
        if account is not None:
            if named and named != account:
                flags.append("accountMismatch")
            return account
        identity = fields.userIdentity
        account = named or (identity and identity.accountId) or _issuer_account(text)
        # The slash is what parts account and id in a key.
        return account if account and "/" not in account else "-"


def _refused(element: Element, reason: str, message: str) -> Broken:
    message = f"{message} (byte {element.start})"
    return Broken(element.record_index, element.start, element.end, reason, message, element.text)


def _fields(text: bytes, flags: list[str]) -> _Fields:
    """Read the typed fields, adding flags for odd text. Raises RecursionError."""
    if any(text.count(key) > 1 for key in _WATCHED_KEYS) or not _is_utf8(text):
        return _fields_of_odd_text(text, flags)
    try:
        return _FIELDS.decode(text)
    except (msgspec.DecodeError, RecursionError):  # a lone surrogate, or a field of another type
        return _fields_of_odd_text(text, flags)


def _is_utf8(text: bytes) -> bool:
    """Whether it is UTF-8: msgspec does not check what it does not decode."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields_of_odd_text(text: bytes, flags: list[str]) -> _Fields:
    record, repeated = _loaded(text)
    if repeated:
        flags.append("duplicateKeys")
    if _has_lone_surrogate(text) or not _is_utf8(text):
        flags.append("invalidText")
    identity = record.get("userIdentity")
    read_only = record.get("readOnly")
    return _Fields(
        **{name: _text(record.get(name)) for name in _STRINGS},
        readOnly=read_only if isinstance(read_only, bool) else None,
        userIdentity=_Identity(
            **{name: _text(identity.get(name)) for name in _Identity.__struct_fields__}
        )
        if isinstance(identity, dict)
        else None,
    )


def _loaded(text: bytes) -> tuple[dict[str, object], bool]:
    """Read any JSON object; also tell whether a key comes twice in an object, at any depth."""
    repeated = False

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        found = dict(pairs)
        repeated = repeated or len(found) < len(pairs)
        return found

    record: dict[str, object] = json.loads(
        text.decode("utf-8", "replace"),
        object_pairs_hook=members,
        parse_int=_no_number,
        parse_float=_no_number,
    )
    return record, repeated


def _no_number(_: str) -> None:
    """Numbers are not looked at, and one of 5,000 digits would be refused."""


def _has_lone_surrogate(text: bytes) -> bool:
    if b"\\u" not in text:
        return False
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return True
    return False


def _text(value: object) -> str | None:
    """Return a string that can be written as UTF-8; None for whatever is no string."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _issuer_account(text: bytes) -> str | None:
    """Return the account of the session's issuer: only records that name no other one need it."""
    value: object = _loaded(text)[0]
    for key in ("userIdentity", "sessionContext", "sessionIssuer", "accountId"):
        value = value.get(key) if isinstance(value, dict) else None
    return _text(value)


def _deferred_category(fields: _Fields, text: bytes) -> str | None:
    """Return the category of a record that is no event; unknown categories are `other`."""
    if fields.eventType in _DEFERRED_TYPES:
        return _DEFERRED_TYPES[fields.eventType]
    if fields.eventCategory not in _EVENT_CATEGORIES:
        return _DEFERRED.get(fields.eventCategory or "", "other")
    if fields.eventName is None and b'"insightDetails"' in text:
        return "insight"
    return None


def _event_time(text: str | None, flags: list[str]) -> int | None:
    """Read `YYYY-MM-DDTHH:MM:SSZ`, and nothing else; a leap second is the second before it."""
    if text is not None and _TIME.fullmatch(text):
        leap = text[17:19] == "60"
        try:
            time = datetime.fromisoformat(f"{text[:17]}59Z" if leap else text)
        except ValueError:  # the 31st of February
            time = None
        if time is not None:
            if leap:
                flags.append("leapSecond")
            return int(time.timestamp()) * 1000
    flags.append("noEventTime")
    return None
