"""What makes two records of one identity the same event: time, source and name (PURE)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from opstrail_schemas.messages import RawEvent

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
    if stored is None or content.event_time is None:
        return stored is None or (content.event_time is None and _time_ms(stored) is None)
    time_ms = _time_ms(stored)
    return time_ms is None or time_ms == content.event_time


def _time_ms(text: object) -> int | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
