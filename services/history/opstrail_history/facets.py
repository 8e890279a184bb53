"""Counts by field and over time (PURE): what is asked of OpenSearch, and what it answered.

`min_doc_count: 0` is never asked of terms: it would name values of accounts out of scope.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opstrail_history.filters import BY_NAME, Filters, Value
from opstrail_history.query import denied, failed, value_query

Json = Mapping[str, Any]
FACETS: Mapping[str, str] = {
    "account": "opstrail.accountId",
    "region": "awsRegion",
    "source": "eventSource",
    "name": "eventName",
    "callerKind": "opstrail.caller.kind",
    "user": "opstrail.caller.name",
    "role": "opstrail.caller.roleName",
    "stack": "opstrail.stack.name",
    "errorCode": "errorCode",
    "sourceIP": "sourceIPAddress",
}
FACET_SIZE = 10
_S, _M, _H, _D = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS = (
    _S, 5 * _S, 15 * _S, _M, 5 * _M, 15 * _M, _H, 3 * _H, 6 * _H, _D, 7 * _D, 30 * _D, 90 * _D,
    365 * _D, 3650 * _D,
)  # fmt: skip
MOST_BARS = 80
# CloudTrail began in November 2013; what claims 2050 has a broken time.
OLDEST_MS, NEWEST_MS = 1_383_264_000_000, 2_524_608_000_000

# The page's two chips: which values each stands for.
CHIPS: Mapping[str, tuple[str, ...]] = {"readOnly": ("no",), "awsService": ("no", "unknown")}


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many events have a value. `label` is what people call it, where that is something."""

    value: str
    count: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Events over time: bars that begin at a multiple of `step_ms` and are as wide."""

    step_ms: int
    bars: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of one question. `hidden` says how many each chip keeps from being seen."""

    total: int
    counts: Mapping[str, tuple[Bucket, ...]]
    outcomes: tuple[Bucket, ...]
    histogram: Histogram | None
    hidden: Mapping[str, int]


def step_of(begin_ms: int, end_ms: int) -> int:
    """Return how wide bars are in ms, so that there are at most MOST_BARS."""
    span = max(1, end_ms - begin_ms)
    return next((step for step in _STEPS if span <= step * (MOST_BARS - 1)), _STEPS[-1])


def first_step(filters: Filters, now_ms: int) -> int | None:
    """Return how wide bars are asked for at first; None where the question has no time at all.

    Where it has both ends, that is how they are shown. Where not, `fitting_step` judges by what
    came: days tell every wider bar, so that a year or a thousand needs no second question.
    """
    begin, end = filters.since_ms, filters.until_ms
    if begin is not None and end is not None:
        begin, end = max(begin, OLDEST_MS), min(end, NEWEST_MS)
        return step_of(begin, end) if begin < end else None
    if begin is None or begin >= now_ms:
        return _D
    return min(_D, step_of(begin, now_ms))


def fitting_step(filters: Filters, histogram: Histogram) -> int:
    """Return how wide bars are to be shown: as asked for, or as the time needs that has events.

    Where it is less than the histogram's, that one does not tell: it is to be asked anew.
    """
    step = histogram.step_ms
    both = filters.since_ms is not None and filters.until_ms is not None
    if both or not histogram.bars:
        return step
    return step_of(histogram.bars[0][0], histogram.bars[-1][0] + step - 1)


def widened(histogram: Histogram, step_ms: int) -> Histogram:
    """Return the histogram in wider bars; `step_ms` is a multiple of its own."""
    counts: Counter[int] = Counter()
    for begin, count in histogram.bars:
        counts[begin - begin % step_ms] += count
    return Histogram(step_ms, tuple(counts.items()))


def request(filters: Filters, step_ms: int | None) -> dict[str, Any]:
    """Return the aggregations of a question that is asked without its chips.

    `shown` is what the chips leave, counted in all ways; `hidden.<chip>` what each hides. Without
    chips all is shown, and counts that stand outside are quicker.
    """
    counts = _counts_request(step_ms)
    chips = [_chip_query(name) for name in CHIPS if is_on(filters, name)]
    if not chips:
        return counts
    return {
        "shown": {"filter": {"bool": {"filter": chips}}, "aggs": counts},
        **{f"hidden.{name}": each for name, each in hidden_request(filters).items()},
    }


def _counts_request(step_ms: int | None) -> dict[str, Any]:
    asked: dict[str, Any] = {
        name: {"terms": {"field": field, "size": FACET_SIZE}} for name, field in FACETS.items()
    }
    asked["account"]["aggs"] = {
        "name": {"terms": {"field": "opstrail.account.name", "size": 1}},
    }
    asked["outcomes"] = {
        "filters": {
            "filters": {
                "denied": denied(),
                "failed": failed(),
            }
        }
    }
    if step_ms is not None:
        asked |= histogram_request(step_ms)
    return asked


def histogram_request(step_ms: int) -> dict[str, Any]:
    """Return what counts over time, in bars of that width."""
    return {
        "histogram": {
            "date_histogram": {
                "field": "eventTime",
                "fixed_interval": f"{step_ms // _S}s",
                "min_doc_count": 1,
                "hard_bounds": {"min": OLDEST_MS, "max": NEWEST_MS - 1},
            }
        }
    }


def hidden_request(filters: Filters) -> dict[str, Any]:
    """Return what counts the events that each chip hides: all else of the question holds.

    It is asked of the question without its chips.
    """
    chips = {name: _chip_query(name) for name in CHIPS if is_on(filters, name)}
    return {
        name: {
            "filter": {
                "bool": {
                    "must_not": [query],
                    "filter": [other for its, other in chips.items() if its != name],
                }
            }
        }
        for name, query in chips.items()
    }


def is_on(filters: Filters, chip: str) -> bool:
    """Return whether a question has a chip set as the page sets it."""
    return {(value.text, value.excluded) for value in filters.values.get(chip, ())} == {
        (text, False) for text in CHIPS[chip]
    }


def _chip_query(name: str) -> dict[str, Any]:
    queries = value_query(BY_NAME[name], [Value(text) for text in CHIPS[name]])
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def facets_of(total: int, answer: Json, step_ms: int | None, chips: Sequence[str]) -> Facets:
    """Return the counts of an answer to `request`; `chips` are those that are on.

    `total` counts what matches without the chips.
    """
    hidden = {name: answer[f"hidden.{name}"]["doc_count"] for name in chips}
    if chips:
        answer = answer["shown"]
        total = answer["doc_count"]
    outcomes = {
        name: answer["outcomes"]["buckets"][name]["doc_count"] for name in ("denied", "failed")
    }
    outcomes = {"allowed": total - sum(outcomes.values()), **outcomes}
    return Facets(
        total=total,
        counts={name: tuple(map(_bucket, answer[name]["buckets"])) for name in FACETS},
        outcomes=tuple(Bucket(name, count) for name, count in outcomes.items() if count),
        histogram=None if step_ms is None else histogram_of(answer, step_ms),
        hidden=hidden,
    )


def histogram_of(answer: Json, step_ms: int) -> Histogram:
    """Return the counts over time of an answer to `histogram_request`."""
    buckets = answer["histogram"]["buckets"]
    return Histogram(step_ms, tuple((int(one["key"]), one["doc_count"]) for one in buckets))


def _bucket(bucket: Json) -> Bucket:
    names: Sequence[Json] = bucket.get("name", {}).get("buckets", ())
    label = names[0]["key"] if names else None
    return Bucket(str(bucket["key"]), bucket["doc_count"], label)
