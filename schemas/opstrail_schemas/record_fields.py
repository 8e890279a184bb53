"""The typed fields of one CloudTrail record, read from its JSON text (PURE).

No field of an unusual type, no odd text makes it fail: what cannot be read is absent. Of a key that
comes twice the last value counts, as JSON readers do.
"""

import json
import re
from datetime import datetime

import msgspec

from opstrail_schemas.messages import Origin, RawEvent

# A second one of these could smuggle in another identity; looking for them all costs too much.
_WATCHED_KEYS = (b'"eventID"', b'"eventName"', b'"eventSource"', b'"eventTime"', b'"userIdentity"')
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class IdentityFields(msgspec.Struct, gc=False):
    """What is read of userIdentity."""

    type: str | None = None
    arn: str | None = None
    accountId: str | None = None  # noqa: N815 - CloudTrail's names, here and below
    accessKeyId: str | None = None  # noqa: N815


class RecordFields(msgspec.Struct, gc=False):
    """What is read of a record, under CloudTrail's names."""

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
    userIdentity: IdentityFields | None = None  # noqa: N815


_FIELDS = msgspec.json.Decoder(RecordFields)
_STRINGS = tuple(
    field for field in RecordFields.__struct_fields__ if field not in {"readOnly", "userIdentity"}
)


def event_from(
    fields: RecordFields,
    *,
    account_id: str,
    event_id: str,
    event_time: int | None,
    origin: Origin,
    flags: list[str],
    masked_paths: list[str],
    raw: bytes,
) -> RawEvent:
    """Return the event of a record that has eventName and eventSource."""
    identity = fields.userIdentity or IdentityFields()
    return RawEvent(
        account_id=account_id,
        event_id=event_id,
        event_time=event_time,
        event_source=fields.eventSource or "",
        event_name=fields.eventName or "",
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
        origin=origin,
        flags=flags,
        masked_paths=masked_paths,
        raw=raw,
    )


def fields_of(text: bytes, flags: list[str]) -> RecordFields:
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


def _fields_of_odd_text(text: bytes, flags: list[str]) -> RecordFields:
    record, repeated = loaded(text)
    if repeated:
        flags.append("duplicateKeys")
    if _has_lone_surrogate(text) or not _is_utf8(text):
        flags.append("invalidText")
    identity = record.get("userIdentity")
    read_only = record.get("readOnly")
    return RecordFields(
        **{name: text_or_none(record.get(name)) for name in _STRINGS},
        readOnly=read_only if isinstance(read_only, bool) else None,
        userIdentity=IdentityFields(
            **{name: text_or_none(identity.get(name)) for name in IdentityFields.__struct_fields__}
        )
        if isinstance(identity, dict)
        else None,
    )


def loaded(text: bytes) -> tuple[dict[str, object], bool]:
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


def text_or_none(value: object) -> str | None:
    """Return a string that can be written as UTF-8; None for whatever is no string."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def event_time_of(text: str | None, flags: list[str]) -> int | None:
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
