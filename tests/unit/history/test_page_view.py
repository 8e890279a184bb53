"""Chips, links and bars of the page."""

from opstrail_history import page_view
from opstrail_history.facets import FACETS, Bucket, Facets, Histogram
from opstrail_history.filters import Filters, filters_of, parameters

DAY = 86_400_000
JAN_2 = 19_724 * DAY  # 2024-01-02


def asked(pairs):
    times = dict(pairs)
    values = {name: values for name, values in parameters(pairs).items()
              if name not in {"since", "until", "q"}}  # fmt: skip
    return filters_of(values, since=times.get("since"), until=times.get("until"),
                      text=times.get("q"), now_ms=0)  # fmt: skip


def facets(bars=(), step=60_000, **counts):
    found = {name: tuple(counts.get(name, ())) for name in FACETS}
    histogram = Histogram(step, tuple(bars)) if bars is not None else None
    return Facets(9, found, (), histogram, {})


def test_the_page_opens_on_a_day_with_both_chips():
    pairs = page_view.opening_pairs(JAN_2)

    assert ("since", "2024-01-02") == pairs[0]
    assert ["writes only", "not AWS services"] == [
        chip.label for chip in page_view.chips(pairs, asked(pairs), {"readOnly": 3})
    ]
    assert [3, None] == [
        chip.hides for chip in page_view.chips(pairs, asked(pairs), {"readOnly": 3})
    ]
    assert ("readOnly", "no") == page_view.opening_pairs(None)[0]


def test_a_chip_is_taken_away_by_its_link():
    pairs = [*page_view.opening_pairs(None), ("name", "A"), ("name", "B")]

    links = [chip.remove for chip in page_view.chips(pairs, asked(pairs), {})]

    assert [
        "/?awsService=no&awsService=unknown&name=A&name=B",
        "/?readOnly=no&name=A&name=B",
        "/?readOnly=no&awsService=no&awsService=unknown&name=B",
        "/?readOnly=no&awsService=no&awsService=unknown&name=A",
    ] == links
    assert "/?all=1" == page_view.page_link([])


def test_only_what_makes_a_view_is_kept_of_a_link():
    given = [("name", " A "), ("q", ""), ("cursor", "x"), ("event", "1/e"), ("since", "2h")]

    assert [("name", "A"), ("since", "2h")] == page_view.view_pairs(given)


def test_a_facet_asks_for_a_value_or_for_all_others():
    pairs = [("region", "r"), ("name", "A")]
    found = facets(region=[Bucket("r", 5), Bucket("!odd", 1)], account=[Bucket("1", 2, "prod")])

    [account, region] = page_view.facet_views(pairs, found)

    assert ("prod", "1") == (account.choices[0].label, account.choices[0].value)
    [choice] = region.choices
    assert ("/?name=A&region=r", "/?region=r&name=A&region=%21r", True) == (
        choice.only, choice.without, choice.on
    )  # fmt: skip


def test_bars_lie_side_by_side_within_the_picture():
    pairs = [("since", "2024-01-02"), ("until", "2024-01-02"), ("name", "A")]
    bars = [(JAN_2, 10), (JAN_2 + 3_600_000, 1), (JAN_2 + 23 * 3_600_000, 5)]

    picture = page_view.picture(pairs, facets(bars, 3_600_000), asked(pairs))

    assert picture is not None
    assert (JAN_2, JAN_2 + DAY, 10) == (picture.begin_ms, picture.end_ms, picture.most)
    first, second, last = picture.bars
    assert (0, page_view.HEIGHT) == (first.x, first.height)
    assert first.x + first.width <= second.x
    assert last.x + last.width <= page_view.WIDTH
    assert "/?since=2024-01-02T01%3A00%3A00Z&until=2024-01-02T02%3A00%3A00Z&name=A" == second.link


def test_without_times_the_picture_spans_what_there_is():
    picture = page_view.picture([], facets([(60_000, 1), (180_000, 2)]), Filters())

    assert picture is not None
    assert (60_000, 240_000) == (picture.begin_ms, picture.end_ms)
    assert page_view.picture([], facets([]), Filters()) is None
    assert page_view.picture([], facets(None), Filters()) is None


def test_times_far_from_any_event_do_not_squeeze_the_picture():
    wide = Filters(since_ms=0, until_ms=10**15)

    picture = page_view.picture([], facets([(10**9 * 60, 1)]), wide)

    assert picture is not None
    assert (10**9 * 60, 10**9 * 60 + 400 * 60_000) == (picture.begin_ms, picture.end_ms)


def test_the_time_is_said_in_words():
    day = [("since", "2024-01-02"), ("until", "2024-01-02")]

    def words(pairs, last=None):
        return page_view.span(pairs, asked(pairs), last).words

    assert "Tuesday, 2 January 2024 (UTC)" == words(day)
    assert "the last day that holds events" in words(day, JAN_2)
    assert "all time" == words([])
    assert "until 2024-01-03T00:00:00Z" == words(day[1:])
    assert "since 2024-01-02T00:00:00Z" == words(day[:1])
    hour = [("since", "2024-01-02T01:00"), ("until", "2024-01-02T02:00")]
    assert "since 2024-01-02T01:00:00Z, until 2024-01-02T02:00:00Z" == words(hour)
    names = [name for name, _ in page_view.span(day, asked(day), JAN_2).links]
    assert {"earlier", "later", "last day with such events", "all time"} <= set(names)


def test_every_filter_has_a_name_for_people():
    assert all(label and why for _, label, why in page_view.filter_names())
