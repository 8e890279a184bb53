"""AWS's own LookupEvents over our store (PURE): the request read, the answer and errors written.

As AWS has it, but for what it withholds: any time, all accounts in scope, several attributes.
AWS JSON 1.1, https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from opstrail_history.filters import Filters, filters_of
from opstrail_history.refusals import BadQuery
from opstrail_history.row import row_of
from opstrail_history.stored_document import document, record_in, text

Json = Mapping[str, Any]
TARGET_ENDING = ".LookupEvents"
CONTENT_TYPE = "application/x-amz-json-1.1"
MOST_RESULTS = 50
LONGEST_BODY = 100_000
_FILTERS = {
    "EventId": "eventId",
    "EventName": "name",
    "EventSource": "source",
    "Username": "user",
    "AccessKeyId": "accessKey",
    "ResourceName": "resource",
    "ResourceType": "resourceType",
    "ReadOnly": "readOnly",
}
_READ_ONLY = {"true": "yes", "false": "no"}


class AwsError(Exception):
    """An error as AWS spells it: a name, a message, a status."""

    def __init__(self, name: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.status = status

    def body(self) -> bytes:
        """Return the body of the answer."""
        return msgspec.json.encode({"__type": self.name, "message": self.message})


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is asked. `most` events at once, from where `next_token` left off.

    `asked` is the request as its text but for that token.
    """

    filters: Filters
    most: int
    next_token: str | None
    asked: str


def lookup_of(target: str, body: bytes) -> Lookup:
    """Return what a request asks. Raises AwsError."""
    if not target.endswith(TARGET_ENDING):
        raise AwsError(
            "UnknownOperationException",
            f"only LookupEvents is answered here, not `{target[:100]}`",
        )
    asked = _asked(body)
    unknown = asked.keys() - {
        "LookupAttributes", "StartTime", "EndTime", "EventCategory", "MaxResults", "NextToken",
    }  # fmt: skip
    if unknown:
        raise AwsError("SerializationException", f"not known: {', '.join(sorted(unknown))[:200]}")
    if (category := asked.get("EventCategory")) is not None:
        raise AwsError(
            "InvalidEventCategoryException",
            f"`{str(category)[:50]}` is not kept here: opstrail sets Insight events aside",
        )
    token = _token(asked.pop("NextToken", None))
    told = msgspec.json.encode(asked).decode("utf-8", "replace")
    return Lookup(_filters(asked), _most(asked.get("MaxResults")), token, told)


def answer(found: Sequence[tuple[str, bytes]], next_token: str | None) -> bytes:
    """Return the body of an answer: `found` are document ids with their exact sources."""
    events = [_event(one, source) for one, source in found]
    more = {} if next_token is None else {"NextToken": next_token}
    return msgspec.json.encode({"Events": events, **more})


def _asked(body: bytes) -> dict[str, Any]:
    if len(body) > LONGEST_BODY:
        raise AwsError("SerializationException", f"more than {LONGEST_BODY} bytes")
    try:
        asked = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise AwsError("SerializationException", "the body is no JSON") from error
    if not isinstance(asked, dict):
        raise AwsError("SerializationException", "the body is no JSON object")
    return asked


def _filters(asked: Json) -> Filters:
    values: dict[str, list[str]] = {}
    attributes = asked.get("LookupAttributes") or []
    if not isinstance(attributes, list):
        raise AwsError("InvalidLookupAttributesException", "LookupAttributes is a list")
    for attribute in attributes:
        name, value = _attribute(attribute)
        values.setdefault(name, []).append(value)
    start, end = (_milliseconds(asked.get(name), name) for name in ("StartTime", "EndTime"))
    if start is not None and end is not None and start > end:
        raise AwsError("InvalidTimeRangeException", "StartTime is after EndTime")
    try:
        filters = filters_of(values, since=None, until=None, text=None, now_ms=0)
    except BadQuery as bad:
        raise AwsError("InvalidLookupAttributesException", bad.message) from bad
    # AWS's end is inclusive, and in whole seconds.
    return Filters(start, None if end is None else end + 1_000, filters.values)


def _attribute(attribute: object) -> tuple[str, str]:
    if not isinstance(attribute, dict):
        raise AwsError("InvalidLookupAttributesException", "an attribute is a key and a value")
    key, value = attribute.get("AttributeKey"), attribute.get("AttributeValue")
    if not isinstance(key, str) or key not in _FILTERS or not isinstance(value, str) or not value:
        raise AwsError(
            "InvalidLookupAttributesException",
            f"AttributeKey is one of {', '.join(_FILTERS)}; AttributeValue is a text",
        )
    if key == "ReadOnly":
        if value.lower() not in _READ_ONLY:
            raise AwsError("InvalidLookupAttributesException", "ReadOnly is `true` or `false`")
        value = _READ_ONLY[value.lower()]
    # Nothing means more than itself here: `!` and `*` are ours.
    if value.startswith("!") or value.endswith("*"):
        raise AwsError(
            "InvalidLookupAttributesException", "a value neither begins with ! nor ends with *"
        )
    return _FILTERS[key], value


def _milliseconds(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:  # noqa: PLR2004 - the year 33658
        raise AwsError("SerializationException", f"{name} is a number of seconds since 1970")
    return int(value * 1000)


def _most(value: object) -> int:
    if value is None:
        return MOST_RESULTS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_RESULTS:
        raise AwsError("InvalidMaxResultsException", f"MaxResults is 1 to {MOST_RESULTS}")
    return value


def _token(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise AwsError("InvalidNextTokenException", "NextToken is not one of ours")


def _event(document_id: str, source: bytes) -> dict[str, Any]:
    parsed = document(source)
    row = row_of(document_id, parsed)
    resources = parsed.get("resources")
    event: dict[str, Any] = {
        "EventId": row.event_id,
        "EventName": row.action,
        "EventSource": row.source,
        "Username": row.who.session or row.who.name,
        "Resources": [
            {"ResourceType": text(one.get("type")), "ResourceName": text(one.get("ARN"))}
            for one in (resources if isinstance(resources, list) else [])
            if isinstance(one, dict)
        ],
        "CloudTrailEvent": record_in(source).raw.decode("utf-8", "replace"),
    }
    if row.read_only is not None:
        event["ReadOnly"] = str(row.read_only).lower()
    if row.access_key is not None:
        event["AccessKeyId"] = row.access_key
    seconds = _seconds(row.time)
    if seconds is not None:
        event["EventTime"] = seconds
    for resource in event["Resources"]:
        for name in [name for name, value in resource.items() if value is None]:
            del resource[name]
    return event


def _seconds(time: str | None) -> float | None:
    try:
        return None if time is None else datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
