"""How a plan of retention is told to people and programs."""

from opstrail_store.index_name import IndexNames
from opstrail_store.retention_plan import EventsIndex, Found, Rows, plan_of
from opstrail_store.retention_view import rows_of, told_of
from opstrail_store.templates import Layout

FEB_1, MAR_1, APR_1 = 1_706_745_600_000, 1_709_251_200_000, 1_711_929_600_000
INDICES = [
    EventsIndex("x-events-v1-2024.01", 1_000, 5_000),
    EventsIndex("x-events-v1-2024.02"),
    EventsIndex("x-events-v1-2024.03", 7, 70),
]
ROWS = (Rows("x-files", "updatedAt", 3), Rows("x-dead-letters", "failedAt", 0))


def found(horizon_ms: int, was_ms: int | None, rows: tuple[Rows, ...] = ()) -> Found:
    plan = plan_of(
        INDICES,
        IndexNames("x"),
        Layout(horizon_ms=was_ms, horizon_at_ms=0),
        horizon_ms=horizon_ms,
        now_ms=APR_1,
        closed_ms=60_000,
    )
    return Found(plan, rows)


def test_a_row_tells_size_and_count_and_when_it_goes():
    first, second, third, files = rows_of(found(MAR_1, FEB_1, ROWS))

    assert {
        "index": "x-events-v1-2024.01", "action": "delete", "documents": 1_000, "bytes": 5_000,
        "deletedFrom": None,
    } == first  # fmt: skip
    assert ("close", None, "2024-04-01T00:01Z") == (
        second["action"],
        second["documents"],
        second["deletedFrom"],
    )
    assert ("keep", None) == (third["action"], third["deletedFrom"])
    assert ("x-files", "delete", 3) == (files["index"], files["action"], files["documents"])


def test_one_line_tells_what_is_to_do_and_what_was_done():
    some = found(MAR_1, FEB_1, ROWS)

    told = (
        "closed before 2024-03-01 from now on; indices deleted: 1, with 1,000 events, 5,000 bytes; "
        "rows of files and dead letters deleted: 3; "
        "indices closed, to be deleted by a later run: 1"
    )
    assert f"to do: {told}: run again with --execute" == told_of(some, do_it=False)
    assert told == told_of(some, do_it=True)


def test_nothing_to_do_is_said():
    assert "nothing to do: closed before 2024-01-01" == told_of(
        found(1_704_067_200_000, 1_704_067_200_000), do_it=True
    )
