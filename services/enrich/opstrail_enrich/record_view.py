"""What enrichment looks at in a record's JSON text, and nothing else of it (PURE).

Members are read one by one and untrusted: whatever has another type than CloudTrail gives it
counts as absent. A text that msgspec refuses (a lone surrogate, bad UTF-8, NaN) is read by the
tolerant parser; one that this refuses too (nested too deep) shows nothing. Never an exception.
"""

import json
from typing import Any

import msgspec

LONGEST_TEXT = 2_048  # an ARN's limit; what is longer is no name, id or host
_ABSENT = msgspec.Raw(b"null")


class RecordView(msgspec.Struct, frozen=True, rename="camel"):
    """The members of one record that callers and keys are read from.

    Requests and responses stay text until somebody asks: most events need neither.
    """

    user_identity: Any = None
    user_agent: Any = None
    session_credential_from_console: Any = None
    addendum: Any = None
    additional_event_data: msgspec.Raw = _ABSENT
    request_parameters: msgspec.Raw = _ABSENT
    response_elements: msgspec.Raw = _ABSENT
    resources: msgspec.Raw = _ABSENT
    service_event_details: msgspec.Raw = _ABSENT


_fast = msgspec.json.Decoder(RecordView)
_REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)


def view_of(raw: bytes) -> RecordView:
    """Return what a record's text shows; an empty view where it can't be read."""
    try:
        return _fast.decode(raw)
    except _REFUSED:
        record = members(_tolerantly(raw))
    return RecordView(
        user_identity=record.get("userIdentity"),
        user_agent=record.get("userAgent"),
        session_credential_from_console=record.get("sessionCredentialFromConsole"),
        addendum=record.get("addendum"),
        additional_event_data=_as_raw(record.get("additionalEventData")),
        request_parameters=_as_raw(record.get("requestParameters")),
        response_elements=_as_raw(record.get("responseElements")),
        resources=_as_raw(record.get("resources")),
        service_event_details=_as_raw(record.get("serviceEventDetails")),
    )


def parsed(text: msgspec.Raw) -> Any:
    """Return the value of a member that was kept as text; None where it can't be read."""
    try:
        return msgspec.json.decode(text)
    except _REFUSED:
        return _tolerantly(bytes(text))


def members(value: Any) -> dict[str, Any]:
    """Return an object's members; none where it is not an object."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str | None:
    """Return a text that says something: not empty, not longer than any name, id or host."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT else None


def _tolerantly(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode("utf-8", errors="replace"))
        # Lone surrogates can't be written as UTF-8: they become question marks.
        clean = json.dumps(value, ensure_ascii=False).encode("utf-8", errors="replace")
        return json.loads(clean)
    except (ValueError, RecursionError):
        return None


def _as_raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())
