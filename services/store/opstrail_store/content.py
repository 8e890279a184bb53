"""What makes two records of one identity the same event: time, source and name (PURE)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from opstrail_schemas.messages import RawEvent
from opstrail_schemas.record_fields import event_time_of

CONTENT_FIELDS = ("eventTime", "eventSource", "eventName")


class Content(NamedTuple):
    """The three values that are compared; the time in ms."""

    event_time: int | None
    event_source: str
    event_name: str


def content_of(event: RawEvent) -> Content:
    """Return the content of an event."""
    return Content(event.event_time, event.event_source, event.event_name)


def is_same(content: Content, source: Mapping[str, Any]) -> bool:
    """Return whether a stored document is of the same event.

    A stored time that we cannot read says nothing: then source and name decide.
    """
    if (source.get("eventSource"), source.get("eventName")) != content[1:]:
        return False
    stored = source.get("eventTime")
    if stored is None:
        return True
    # The one reader of times: a time that it does not take is none in the message either.
    time_ms = event_time_of(stored if isinstance(stored, str) else None, [])
    return time_ms == content.event_time or (time_ms is None and content.event_time is not None)
