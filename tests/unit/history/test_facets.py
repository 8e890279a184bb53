"""Counts by field and over time, and what the page's chips hide."""

import pytest

from opstrail_history import facets
from opstrail_history.facets import Bucket, Histogram
from opstrail_history.filters import Filters, Value, filters_of

DAY = 86_400_000
NOW = 20_000 * DAY
CHIPS = filters_of(
    {"readOnly": ["no"], "awsService": ["no", "unknown"], "region": ["r"]},
    since=None, until=None, text=None, now_ms=0,
)  # fmt: skip


@pytest.mark.parametrize("span", [0, 1, 60_000, DAY, 30 * DAY, 400 * DAY, 200_000 * DAY])
def test_there_are_few_enough_bars_of_any_time(span):
    step = facets.step_of(0, span)

    assert span / step <= facets.MOST_BARS


def test_terms_never_ask_for_values_that_no_event_has():
    shown = facets.request(CHIPS, DAY)["shown"]
    assert 2 == len(shown["filter"]["bool"]["filter"])
    for asked in shown["aggs"].values():
        assert "min_doc_count" not in asked.get("terms", {})
    bare = facets.request(Filters(), None)
    assert {*facets.FACETS, "outcomes"} == bare.keys()


def test_a_chip_hides_what_the_other_one_shows():
    hidden = facets.hidden_request(CHIPS)

    assert {"readOnly", "awsService"} == hidden.keys()
    inner = hidden["readOnly"]["filter"]["bool"]
    assert 1 == len(inner["filter"]) == len(inner["must_not"])
    assert {} == facets.hidden_request(Filters())


def test_a_chip_is_on_only_as_the_page_sets_it():
    assert facets.is_on(CHIPS, "readOnly")
    assert not facets.is_on(Filters(values={"readOnly": (Value("yes"),)}), "readOnly")
    assert not facets.is_on(Filters(values={"awsService": (Value("no"),)}), "awsService")


def test_an_answer_becomes_counts():
    answer = {
        **{name: {"buckets": []} for name in facets.FACETS},
        "account": {
            "buckets": [
                {"key": "1", "doc_count": 5, "name": {"buckets": [{"key": "prod"}]}},
                {"key": "2", "doc_count": 2, "name": {"buckets": []}},
            ]
        },
        "outcomes": {"buckets": {"denied": {"doc_count": 2}, "failed": {"doc_count": 0}}},
        "histogram": {"buckets": [{"key": 60_000, "doc_count": 7}]},
    }

    shown = {"shown": {**answer, "doc_count": 7}, "hidden.readOnly": {"doc_count": 3}}

    found = facets.facets_of(10, shown, 60_000, ["readOnly"])

    assert (Bucket("1", 5, "prod"), Bucket("2", 2)) == found.counts["account"]
    assert (Bucket("allowed", 5), Bucket("denied", 2)) == found.outcomes
    assert Histogram(60_000, ((60_000, 7),)) == found.histogram
    assert {"readOnly": 3} == found.hidden
    assert facets.facets_of(7, answer, None, []).histogram is None
    assert 7 == facets.facets_of(7, answer, None, []).total


@pytest.mark.parametrize(
    ("since", "until", "step"),
    [
        (None, None, DAY),
        (None, 2 * DAY, DAY),
        (NOW - 7_200_000, None, 300_000),  # two hours: five minutes
        (NOW - 3_000 * DAY, None, DAY),
        (NOW + DAY, None, DAY),
        (NOW - 3_000 * DAY, NOW, 90 * DAY),  # both ends: as it is shown
        (0, 1, None),
    ],
)
def test_bars_are_asked_for_so_that_most_questions_need_one_request(since, until, step):
    assert step == facets.first_step(Filters(since, until), NOW)


def test_bars_fit_the_time_that_holds_events_where_the_question_has_an_open_end():
    hours = Histogram(DAY, ((NOW, 5),))
    years = Histogram(DAY, ((NOW - 3_000 * DAY, 5), (NOW, 2)))

    assert 3_600_000 == facets.fitting_step(Filters(), hours)
    assert 90 * DAY == facets.fitting_step(Filters(), years)
    assert DAY == facets.fitting_step(Filters(0, NOW), years)
    assert DAY == facets.fitting_step(Filters(), Histogram(DAY, ()))


def test_wider_bars_hold_what_the_narrower_ones_held():
    days = Histogram(DAY, ((0, 1), (6 * DAY, 2), (7 * DAY, 4)))

    assert Histogram(7 * DAY, ((0, 3), (7 * DAY, 4))) == facets.widened(days, 7 * DAY)
    assert days == facets.widened(days, DAY)


def test_a_question_within_a_time_keeps_its_own():
    assert (3, 5) == _times(Filters(3, None).within(1, 5))
    assert (1, 4) == _times(Filters(None, 4).within(1, 5))


def _times(filters):
    return filters.since_ms, filters.until_ms
