"""When an event happened, and which times no trail can hold (PURE)."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from opstrail_schemas.messages import RawEvent

# CloudTrail began in November 2013. What claims to be older, or of after 2049, has a broken time.
_OLDEST_MS: Final = int(datetime(2013, 11, 1, tzinfo=UTC).timestamp()) * 1000
_NEWEST_MS: Final = int(datetime(2050, 1, 1, tzinfo=UTC).timestamp()) * 1000 - 1


def is_absurd(event_time: int) -> bool:
    """Return whether no trail can hold an event of that time, in milliseconds."""
    return not _OLDEST_MS <= event_time <= _NEWEST_MS


def at_its_time(event: RawEvent) -> RawEvent:
    """Return the event itself; where its time is absurd, the same without a time.

    A skewed clock says nothing: neither since when something was so, nor what was so then.
    """
    if event.event_time is None or not is_absurd(event.event_time):
        return event
    return msgspec.structs.replace(event, event_time=None)
