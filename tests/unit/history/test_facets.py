"""Counts by field and over time, and what the page's chips hide."""

import pytest

from opstrail_history import facets
from opstrail_history.facets import Bucket, Histogram
from opstrail_history.filters import Filters, Value, filters_of

DAY = 86_400_000
CHIPS = filters_of(
    {"readOnly": ["no"], "awsService": ["no", "unknown"], "region": ["r"]},
    since=None, until=None, text=None, now_ms=0,
)  # fmt: skip


@pytest.mark.parametrize("span", [0, 1, 60_000, DAY, 30 * DAY, 400 * DAY, 200_000 * DAY])
def test_there_are_few_enough_bars_of_any_time(span):
    step = facets.step_of(0, span)

    assert span / step <= facets.MOST_BARS


def test_terms_never_ask_for_values_that_no_event_has():
    shown = facets.request(CHIPS, (0, DAY))["shown"]
    assert 2 == len(shown["filter"]["bool"]["filter"])
    for asked in shown["aggs"].values():
        assert "min_doc_count" not in asked.get("terms", {})
    bare = facets.request(Filters(), None)
    assert {"shown"} == bare.keys()
    assert [{"match_all": {}}] == bare["shown"]["filter"]["bool"]["filter"]
    assert "histogram" not in bare["shown"]["aggs"]


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
        "histogram": {"bars": {"buckets": [{"key": 60_000, "doc_count": 7}]}},
    }

    shown = {"shown": {**answer, "doc_count": 7}, "hidden.readOnly": {"doc_count": 3}}

    found = facets.facets_of(shown, (0, 3_600_000), ["readOnly"])

    assert (Bucket("1", 5, "prod"), Bucket("2", 2)) == found.counts["account"]
    assert (Bucket("allowed", 5), Bucket("denied", 2)) == found.outcomes
    assert Histogram(60_000, ((60_000, 7),)) == found.histogram
    assert {"readOnly": 3} == found.hidden
    assert facets.facets_of(shown, None, []).histogram is None


def test_bounds_are_times_that_can_be():
    inner = {"first": {"value": 1.0}, "last": {"value": 2.0}}
    assert (1, 2) == facets.bounds_of({"believable": inner})
    assert (
        facets.bounds_of({"believable": {"first": {"value": None}, "last": {"value": None}}})
        is None
    )
    assert "believable" in facets.bounds_request()
