"""Times as people write them."""

import pytest

from opstrail_history import times
from opstrail_history.refusals import BadQuery

NOW = times.since("2024-01-15T10:30:00Z", now_ms=0)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("now", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        ("2h", "2024-01-15T08:30:00Z", "2024-01-15T08:30:00Z"),
        ("90 m ago", "2024-01-15T09:00:00Z", "2024-01-15T09:00:00Z"),
        ("1w", "2024-01-08T10:30:00Z", "2024-01-08T10:30:00Z"),
        ("today", "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z"),
        ("Yesterday", "2024-01-14T00:00:00Z", "2024-01-15T00:00:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("2023-12", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-15T10:30", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30:00.5+02:00", "2024-01-15T08:30:00.500Z", "2024-01-15T08:30:00.500Z"),
        ("1705314600000", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        ("9999999d", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_begins_with_its_first_moment_and_ends_after_its_last(text, begin, end):
    assert begin == times.iso(times.since(text, now_ms=NOW))
    assert end == times.iso(times.until(text, now_ms=NOW))


@pytest.mark.parametrize(
    "text", ["", "soon", "2024-13", "2024-02-30", "12345678d", "9999-12", "٢h", "x" * 60]
)
def test_what_is_no_time_is_refused_in_words(text):
    with pytest.raises(BadQuery, match="since"):
        times.since(text, now_ms=NOW)


def test_a_time_that_no_calendar_has_is_shown_as_a_number():
    assert "9223372036854775807" == times.iso(2**63 - 1)
