"""The event's own time decides on its index."""

from datetime import UTC, datetime

import pytest

from opstrail_store.index_name import IndexNames, is_expired

MS_2023 = 1_672_531_199_999  # the last ms of 2022


@pytest.mark.parametrize(
    ("time", "month", "day"),
    [
        (MS_2023, "2022.12", "2022.12.31"),
        (MS_2023 + 1, "2023.01", "2023.01.01"),
        (1_383_263_999_999, "undated", "undated"),  # 2013-10-31T23:59:59.999Z
        (1_383_264_000_000, "2013.11", "2013.11.01"),
        (2_524_607_999_999, "2049.12", "2049.12.31"),
        (2_524_608_000_000, "undated", "undated"),
        (-(10**17), "undated", "undated"),
        (10**17, "undated", "undated"),
        (None, "undated", "undated"),
    ],
)
def test_index_of_an_event(time, month, day):
    assert f"opstrail-events-v1-{month}" == IndexNames().of_event(time)
    assert f"x-events-v1-{day}" == IndexNames("x", "day").of_event(time)


@pytest.mark.parametrize(
    ("time", "horizon", "expired"),
    [
        (MS_2023, None, False),
        (MS_2023, MS_2023, False),
        (MS_2023, MS_2023 + 1, True),
        (None, MS_2023, False),
        (0, MS_2023, False),
    ],
)
def test_only_what_is_older_than_the_horizon_is_expired(time, horizon, expired):
    assert expired == is_expired(time, horizon)


@pytest.mark.parametrize(
    ("index", "times"),
    [
        ("x-events-v1-2024.02", ("2024-02-01", "2024-03-01")),
        ("x-events-v1-2024.12", ("2024-12-01", "2025-01-01")),
        ("x-events-v1-2024.12.31", ("2024-12-31", "2025-01-01")),
        ("x-events-v1-undated", None),
        ("x-events-v1-2024.13", None),
        ("y-events-v1-2024.02", None),
    ],
)
def test_an_index_tells_its_time_by_its_name(index, times):
    found = IndexNames("x", "day").times_of(index)

    days = found and tuple(
        datetime.fromtimestamp(ms / 1000, UTC).date().isoformat() for ms in found
    )
    assert times == days
