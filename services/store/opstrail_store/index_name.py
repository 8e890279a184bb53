"""Which index an event belongs to: its own time decides, no clock and no key (PURE)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from opstrail_runtime.index_aliases import IndexAliases

Period = Literal["month", "day"]

_DAY_MS = 86_400_000
# CloudTrail began in November 2013. What claims to be older, or of after 2049, has a broken time.
_OLDEST_MS = int(datetime(2013, 11, 1, tzinfo=UTC).timestamp()) * 1000
_NEWEST_MS = int(datetime(2050, 1, 1, tzinfo=UTC).timestamp()) * 1000 - 1


def is_absurd(event_time: int) -> bool:
    """Return whether no trail can hold an event of that time."""
    return not _OLDEST_MS <= event_time <= _NEWEST_MS


@lru_cache(maxsize=8192)
def _suffix(day: int, period: Period) -> str:
    date = datetime.fromtimestamp(day * _DAY_MS / 1000, UTC)
    return date.strftime("%Y.%m" if period == "month" else "%Y.%m.%d")


def period_start(time_ms: int, period: Period) -> int:
    """Return when the month or day of a time begins."""
    date = datetime.fromtimestamp(time_ms // _DAY_MS * _DAY_MS / 1000, UTC)
    return _ms(date.replace(day=1) if period == "month" else date)


def _ms(date: datetime) -> int:
    return int(date.timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class IndexNames(IndexAliases):
    """The names of our indices, aliases and templates under a prefix."""

    period: Period = "month"

    @property
    def events_pattern(self) -> str:
        """Pattern of the event indices."""
        return f"{self.events}-v1-*"

    @property
    def files_index(self) -> str:
        """The files index."""
        return f"{self.files}-v1"

    @property
    def dead_letters_index(self) -> str:
        """The dead-letters index."""
        return f"{self.dead_letters}-v1"

    def of_event(self, event_time: int | None) -> str:
        """Return the index of an event of that time; `…-undated` without a time to believe."""
        if event_time is None or is_absurd(event_time):
            return f"{self.events}-v1-undated"
        return f"{self.events}-v1-{_suffix(event_time // _DAY_MS, self.period)}"

    def times_of(self, index: str) -> tuple[int, int] | None:
        """Return when the month or day of an events index begins and ends; None: it has none.

        The name alone decides, also where another period is in force.
        """
        suffix = index.removeprefix(f"{self.prefix}-events-v1-")
        for form, longest in (("%Y.%m", 31), ("%Y.%m.%d", 1)):
            try:
                begins = datetime.strptime(suffix, form).replace(tzinfo=UTC)
            except ValueError:
                continue
            ends = begins + timedelta(days=longest)
            return _ms(begins), _ms(ends) if longest == 1 else period_start(_ms(ends), "month")
        return None


def is_expired(event_time: int | None, horizon_ms: int | None) -> bool:
    """Return whether retention closed the event's time. Events without one never expire."""
    if event_time is None or horizon_ms is None or is_absurd(event_time):
        return False
    return event_time < horizon_ms
