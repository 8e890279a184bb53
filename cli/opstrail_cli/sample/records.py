"""One CloudTrail record as a dict, and the events that the story is told in (PURE)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from opstrail_cli.sample.callers import Caller

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """The account and the Region of a call."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the story: its record, where the trail delivers it, and who it is by."""

    place: Place
    record: Json
    caller: Caller

    @property
    def time(self) -> str:
        """The record's eventTime."""
        return str(self.record["eventTime"])


def made_id(*words: str) -> str:
    """Return an id in the form of a UUID that follows from the words."""
    return str(UUID(bytes=hashlib.sha256("/".join(words).encode()).digest()[:16]))


def text_of(record: Json) -> str:
    """Return a record as CloudTrail writes it: on one line, without spaces."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def event(
    call: str,
    at: str,
    place: Place,
    caller: Caller,
    request: Json | None = None,
    *,
    response: Json | None = None,
    version: str = "1.08",
    **more: Any,
) -> Event:
    """Return an event: `call` is `service:Name`, `at` the time without seconds or with them.

    Its eventID follows from everything else, so that no two different records share one. `more`
    are further members of the record; a value of `...` leaves out the member of that name.
    """
    source, name = call.split(":")
    record: Json = {
        "eventVersion": version,
        "userIdentity": caller.identity,
        "eventTime": f"{at}:00Z" if at.count(":") == 1 else f"{at}Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": place.region,
        "sourceIPAddress": caller.ip,
        "userAgent": caller.agent,
        "requestParameters": request,
        "responseElements": response,
        "readOnly": name.startswith(("Describe", "Get", "List", "Lookup")),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": place.account,
        "eventCategory": "Management",
        **more,
    }
    record = {name: value for name, value in record.items() if value is not ...}
    if "eventID" in more:  # given, or left out as in eventVersion 1.0
        return Event(place, record, caller)
    record["requestID"] = made_id("request", text_of(record))
    record["eventID"] = made_id("event", text_of(record))
    return Event(place, record, caller)
