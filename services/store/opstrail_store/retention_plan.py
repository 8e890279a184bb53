"""What retention does: whole periods are closed first, and deleted some time later (PURE).

open ── the horizon passes the end of the period ──> closed: what comes for it is expired
closed ── it has been closed for long enough ──> deleted: no store can still be writing into it
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from opstrail_store.index_name import IndexNames, Period, period_start
from opstrail_store.templates import Layout

Action = Literal["keep", "close", "closed", "delete"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class EventsIndex:
    """One index. `documents` and `size_bytes` (with replicas) are None for a closed one."""

    name: str
    documents: int | None = None
    size_bytes: int | None = None


class RetentionRefused(Exception):
    """What is asked for would take more away than anybody can have meant."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an index; `deleted_from_ms` tells since when a closed one may go."""

    index: EventsIndex
    action: Action
    deleted_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. Times are event times in ms.

    `horizon_ms`: older events are expired. `moves`: it is to be recorded.
    `due_ms`: what is older is deleted; None: nothing is.
    """

    horizon_ms: int
    moves: bool
    due_ms: int | None
    fates: tuple[Fate, ...]

    def of(self, action: Action) -> list[EventsIndex]:
        """Return the indices to which this happens."""
        return [fate.index for fate in self.fates if fate.action == action]


@dataclass(frozen=True, slots=True)
class Rows:
    """Documents of an index that is not cut by time, and how many are too old."""

    alias: str
    time_field: str
    documents: int


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to do."""

    plan: Plan
    rows: tuple[Rows, ...]


def horizon_of(now_ms: int, keep_days: int, period: Period) -> int:
    """Return the begin of the period that holds the oldest event to keep."""
    return period_start(now_ms - keep_days * _DAY_MS, period)


def plan_of(
    indices: Sequence[EventsIndex],
    names: IndexNames,
    layout: Layout,
    *,
    horizon_ms: int,
    now_ms: int,
    closed_ms: int,
    reopen: bool = False,
) -> Plan:
    """Return what it takes to keep events from `horizon_ms` on.

    The horizon goes back only with `reopen`: what was closed was counted as expired.
    """
    was_ms = layout.horizon_ms
    now_closed = horizon_ms if reopen or was_ms is None else max(horizon_ms, was_ms)
    # Each horizon with the time from which nobody can be writing before it any more.
    quiet = [(now_closed, now_ms + closed_ms)]
    if was_ms is not None:
        quiet.append((min(was_ms, now_closed), (layout.horizon_at_ms or 0) + closed_ms))
    due_ms = max((horizon for horizon, from_ms in quiet if from_ms <= now_ms), default=None)
    fates = []
    for index in indices:
        times = names.times_of(index.name)
        since = [] if times is None else [at for horizon, at in quiet if times[1] <= horizon]
        if not since:
            fates.append(Fate(index, "keep"))
        elif min(since) <= now_ms:
            fates.append(Fate(index, "delete"))
        else:
            closed = was_ms is not None and times is not None and times[1] <= was_ms
            fates.append(Fate(index, "closed" if closed else "close", min(since)))
    return Plan(now_closed, now_closed != was_ms, due_ms, tuple(fates))


def check_that_some_stay(plan: Plan, names: IndexNames) -> None:
    """Raise RetentionRefused when of several periods none would stay, as with a wrong clock."""
    dated = [fate for fate in plan.fates if names.times_of(fate.index.name) is not None]
    if dated and all(fate.action != "keep" for fate in dated):
        raise RetentionRefused(
            "no dated index would stay: is the clock right? If it is meant, say so with --before"
        )


def day_of(time_ms: int) -> str:
    """Return the day of a time."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


def minute_of(time_ms: int) -> str:
    """Return a time to the minute."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"
