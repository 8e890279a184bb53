"""Retention: which periods are closed, which deleted, which stay."""

from datetime import UTC, datetime

import pytest

from opstrail_store.index_name import IndexNames
from opstrail_store.retention_plan import (
    EventsIndex,
    RetentionRefused,
    check_that_some_stay,
    horizon_of,
    plan_of,
)
from opstrail_store.templates import Layout

NAMES = IndexNames("x")
HOUR = 3_600_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOW = at("2026-11-26")
INDICES = [
    EventsIndex(f"x-events-v1-{suffix}", 10, 100)
    for suffix in ("2024.01", "2024.02", "2024.03", "2026.11", "undated")
]


def a_plan(layout=None, horizon="2024-03-01", *, closed_ms=HOUR, reopen=False, indices=INDICES):
    return plan_of(
        indices,
        NAMES,
        layout or Layout(),
        horizon_ms=at(horizon),
        now_ms=NOW,
        closed_ms=closed_ms,
        reopen=reopen,
    )


def actions(plan):
    return {fate.index.name.removeprefix("x-events-v1-"): fate.action for fate in plan.fates}


@pytest.mark.parametrize(
    ("now", "days", "period", "horizon"),
    [
        ("2026-11-26T10:00", 365, "month", "2025-11-01"),
        ("2026-03-01T00:00", 28, "month", "2026-02-01"),
        ("2026-03-31T23:59", 30, "month", "2026-03-01"),
        ("2026-11-26T10:00", 10, "day", "2026-11-16"),
    ],
)
def test_a_period_stays_until_all_of_it_is_too_old(now, days, period, horizon):
    assert at(horizon) == horizon_of(at(now), days, period)


def test_a_first_run_closes_and_deletes_nothing():
    plan = a_plan()

    assert {
        "2024.01": "close", "2024.02": "close", "2024.03": "keep", "2026.11": "keep",
        "undated": "keep",
    } == actions(plan)  # fmt: skip
    assert (at("2024-03-01"), True, None) == (plan.horizon_ms, plan.moves, plan.due_ms)
    assert {NOW + HOUR, None} == {fate.deleted_from_ms for fate in plan.fates}


def test_what_has_been_closed_for_long_enough_is_deleted():
    closed = Layout(horizon_ms=at("2024-02-01"), horizon_at_ms=NOW - HOUR)

    plan = a_plan(closed)

    assert ["x-events-v1-2024.01"] == [index.name for index in plan.of("delete")]
    assert ["x-events-v1-2024.02"] == [index.name for index in plan.of("close")]
    assert at("2024-02-01") == plan.due_ms


def test_what_was_closed_a_moment_ago_waits():
    closed = Layout(horizon_ms=at("2024-03-01"), horizon_at_ms=NOW - HOUR + 1)

    plan = a_plan(closed)

    assert {"closed", "keep"} == set(actions(plan).values())
    assert not plan.moves
    assert plan.due_ms is None


def test_a_horizon_without_a_date_was_there_for_long():
    assert {"delete", "keep"} == set(actions(a_plan(Layout(horizon_ms=at("2024-03-01")))).values())


def test_without_a_wait_it_is_closed_and_deleted_at_once():
    plan = a_plan(closed_ms=0)

    assert 2 == len(plan.of("delete"))
    assert plan.moves


def test_an_index_that_came_back_is_deleted():
    closed = Layout(horizon_ms=at("2024-03-01"), horizon_at_ms=NOW - 9 * HOUR)

    plan = a_plan(closed, indices=INDICES[:1])

    assert {"2024.01": "delete"} == actions(plan)


def test_the_horizon_goes_back_only_when_told():
    closed = Layout(horizon_ms=at("2024-03-01"), horizon_at_ms=NOW)

    same = a_plan(closed, "2024-01-01")
    back = a_plan(closed, "2024-01-01", reopen=True)

    assert (at("2024-03-01"), False) == (same.horizon_ms, same.moves)
    assert (at("2024-01-01"), True) == (back.horizon_ms, back.moves)
    assert {"keep"} == set(actions(back).values())


def test_reopened_periods_are_not_deleted_although_they_were_closed_for_long():
    closed = Layout(horizon_ms=at("2024-03-01"), horizon_at_ms=0)

    plan = a_plan(closed, "2024-02-01", reopen=True)

    assert {"2024.01": "delete", "2024.02": "keep"}.items() <= actions(plan).items()
    assert at("2024-02-01") == plan.due_ms


def test_a_plan_that_leaves_nothing_is_refused():
    with pytest.raises(RetentionRefused, match="clock"):
        check_that_some_stay(a_plan(horizon="2049-01-01"), NAMES)

    check_that_some_stay(a_plan(), NAMES)
    check_that_some_stay(a_plan(indices=INDICES[-1:]), NAMES)
