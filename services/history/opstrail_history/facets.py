"""Counts by field and over time (PURE): what is asked of OpenSearch, and what it answered.

`min_doc_count: 0` is never asked of terms: it would name values of accounts out of scope.
"""

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


def believable() -> Json:
    """Return what has a time that can be."""
    return {"range": {"eventTime": {"gte": OLDEST_MS, "lt": NEWEST_MS, "format": "epoch_millis"}}}


def bounds_request() -> dict[str, Any]:
    """Return aggregations that tell the first and the last time."""
    return {
        "believable": {
            "filter": believable(),
            "aggs": {
                "first": {"min": {"field": "eventTime"}},
                "last": {"max": {"field": "eventTime"}},
            },
        }
    }


def bounds_of(answer: Json) -> tuple[int, int] | None:
    """Return the first and the last time in ms; None where there is no event."""
    first, last = (answer["believable"][name]["value"] for name in ("first", "last"))
    return None if first is None or last is None else (int(first), int(last))


def step_of(begin_ms: int, end_ms: int) -> int:
    """Return how wide bars are in ms, so that there are at most MOST_BARS."""
    span = max(1, end_ms - begin_ms)
    return next((step for step in _STEPS if span <= step * (MOST_BARS - 1)), _STEPS[-1])


def request(filters: Filters, bounds: tuple[int, int] | None) -> dict[str, Any]:
    """Return the aggregations of a question that is asked without its chips.

    `shown` is what the chips leave, counted in all ways; `hidden.<chip>` what each hides.
    """
    chips = [_chip_query(name) for name in CHIPS if is_on(filters, name)]
    shown = {"bool": {"filter": chips or [{"match_all": {}}]}}
    return {
        "shown": {"filter": shown, "aggs": _counts_request(bounds)},
        **{f"hidden.{name}": each for name, each in hidden_request(filters).items()},
    }


def _counts_request(bounds: tuple[int, int] | None) -> dict[str, Any]:
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
    if bounds is not None:
        begin, end = bounds
        step = step_of(begin, end)
        asked["histogram"] = {
            "filter": believable(),
            "aggs": {
                "bars": {
                    "date_histogram": {
                        "field": "eventTime",
                        "fixed_interval": f"{step // _S}s",
                        "min_doc_count": 1,
                    }
                }
            },
        }
    return asked


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


def facets_of(answer: Json, bounds: tuple[int, int] | None, chips: Sequence[str]) -> Facets:
    """Return the counts of an answer to `request`; `chips` are those that are on."""
    hidden = {name: answer[f"hidden.{name}"]["doc_count"] for name in chips}
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
        histogram=None if bounds is None else _histogram(answer["histogram"]["bars"], bounds),
        hidden=hidden,
    )


def _bucket(bucket: Json) -> Bucket:
    names: Sequence[Json] = bucket.get("name", {}).get("buckets", ())
    label = names[0]["key"] if names else None
    return Bucket(str(bucket["key"]), bucket["doc_count"], label)


def _histogram(answer: Json, bounds: tuple[int, int]) -> Histogram:
    bars = tuple((int(bar["key"]), bar["doc_count"]) for bar in answer["buckets"])
    return Histogram(step_of(*bounds), bars)
