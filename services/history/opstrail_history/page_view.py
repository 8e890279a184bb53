"""What the page shows besides rows: chips, links, bars (PURE). A link reproduces a view."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opstrail_history import times
from opstrail_history.facets import CHIPS, FACETS, Facets, is_on
from opstrail_history.filters import BY_NAME, FILTERS, Filters
from opstrail_history.request_query import TIME_AND_TEXT, link

Pairs = Sequence[tuple[str, str]]
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CHIP_NAMES: Mapping[str, str] = {"readOnly": "writes only", "awsService": "not AWS services"}
LABELS: Mapping[str, str] = {
    "account": "Account", "region": "Region", "name": "Event name", "source": "Service",
    "user": "Who", "role": "Role", "session": "Session", "accessKey": "Access key",
    "callerKind": "Caller kind", "credentialKind": "Credentials",
    "rootOrIamUser": "Root or IAM user", "temporaryCredentials": "Temporary credentials",
    "awsService": "AWS service", "resource": "Resource", "resourceType": "Resource type",
    "stack": "Stack", "layer": "Layer", "instance": "Instance", "app": "App",
    "readOnly": "Read-only", "outcome": "Outcome", "errorCode": "Error code",
    "sourceIP": "From address", "eventId": "Event id", "sharedEventId": "Shared event id",
    "requestId": "Request id", "category": "Category", "eventType": "Event type", "flag": "Flag",
    "q": "Text", "since": "Since", "until": "Until",
}  # fmt: skip
WIDTH, HEIGHT = 1_000, 80


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is on: what it says, where it is taken away, how many events it hides."""

    label: str
    value: str
    remove: str
    hides: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet, and the links that ask for it, or for all but it."""

    value: str
    label: str
    count: int
    only: str
    without: str
    on: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """One field's values."""

    name: str
    label: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram in the picture's own units, and the link into its time."""

    x: float
    y: float
    width: float
    height: float
    begin: str
    end: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The histogram. `begin_ms` and `end_ms` are its edges."""

    bars: tuple[Bar, ...]
    begin_ms: int
    end_ms: int
    most: int


def view_pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what makes a view of a link's pairs: not where one is in it. Blanks ask nothing."""
    known = {*BY_NAME, *TIME_AND_TEXT}
    return [(name, value.strip()) for name, value in pairs if name in known and value.strip()]


def opening_pairs(last_day_ms: int | None) -> list[tuple[str, str]]:
    """Return the view that the page opens on: the last day that holds events, with both chips."""
    chips = [(name, value) for name, values in CHIPS.items() for value in values]
    if last_day_ms is None:
        return chips
    day = times.iso(last_day_ms)[:10]
    return [("since", day), ("until", day), *chips]


def without(pairs: Pairs, *names: str) -> list[tuple[str, str]]:
    """Return the pairs of other names."""
    return [pair for pair in pairs if pair[0] not in names]


def page_link(pairs: Pairs, *more: tuple[str, str]) -> str:
    """Return the link to a view; never to the bare page, which would be the opening view."""
    query = link([*pairs, *more])
    return f"/?{query}" if query else "/?all=1"


def chips(pairs: Pairs, filters: Filters, hidden: Mapping[str, int]) -> list[Chip]:
    """Return the filters that are on, the page's own two first."""
    found = [
        Chip(name, "", page_link(without(pairs, chip)), hidden.get(chip))
        for chip, name in CHIP_NAMES.items()
        if is_on(filters, chip)
    ]
    own = {chip for chip in CHIP_NAMES if is_on(filters, chip)}
    found.extend(
        Chip(LABELS[name], value, page_link(_but(pairs, at)))
        for at, (name, value) in enumerate(pairs)
        if name not in own and name not in {"since", "until"}
    )
    return found


def _but(pairs: Pairs, at: int) -> list[tuple[str, str]]:
    return [*pairs[:at], *pairs[at + 1 :]]


def facet_views(pairs: Pairs, facets: Facets) -> list[Facet]:
    """Return the facets that have values."""
    counts = {**facets.counts, "outcome": facets.outcomes}
    return [
        Facet(
            name,
            LABELS[name],
            tuple(
                Choice(
                    value=bucket.value,
                    label=bucket.label or bucket.value,
                    count=bucket.count,
                    only=page_link(without(pairs, name), (name, bucket.value)),
                    without=page_link(pairs, (name, f"!{bucket.value}")),
                    on=(name, bucket.value) in pairs,
                )
                for bucket in counts[name]
                # A value like ours for `excluded` or `beginning` would ask something else.
                if not bucket.value.startswith(("!", "*", "?")) and not bucket.value.endswith("*")
            ),
        )
        for name in (*FACETS, "outcome")
        if counts[name]
    ]


def picture(pairs: Pairs, facets: Facets, filters: Filters) -> Picture | None:
    """Return the histogram as a picture; None where there is nothing to show."""
    histogram = facets.histogram
    if histogram is None or not histogram.bars:
        return None
    step = histogram.step_ms
    begin = _edge(filters.since_ms, histogram.bars[0][0], step)
    last = histogram.bars[-1][0] + step
    end = max(last, filters.until_ms) if filters.until_ms is not None else last
    end = min(end, begin + step * 400) if end - begin > step * 400 else end
    most = max(count for _, count in histogram.bars)
    per_ms = WIDTH / (end - begin)
    rest = without(pairs, "since", "until")
    bars = []
    for at, count in histogram.bars:
        high = max(2.0, HEIGHT * count / most)
        since, until = times.iso(at), times.iso(at + step)
        bars.append(
            Bar(
                x=round((at - begin) * per_ms, 2),
                y=round(HEIGHT - high, 2),
                width=round(max(1.0, step * per_ms * 0.92), 2),
                height=round(high, 2),
                begin=since,
                end=until,
                count=count,
                link=page_link([("since", since), ("until", until), *rest]),
            )
        )
    return Picture(tuple(bars), begin, end, most)


def _edge(since_ms: int | None, first: int, step: int) -> int:
    """Return the left edge: what was asked for where it is near, on a step."""
    if since_ms is None:
        return first
    edge = since_ms - since_ms % step
    return edge if first - edge <= step * 100 else first


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown, in words, and links to other times."""

    words: str
    links: tuple[tuple[str, str], ...]


def span(pairs: Pairs, filters: Filters, last_day_ms: int | None) -> Span:
    """Return the time of a view. A day that is the last with events is called so."""
    since, until = filters.since_ms, filters.until_ms
    rest = without(pairs, "since", "until")
    links = [
        (name, page_link([("since", since_text), *rest]))
        for name, since_text in (("24 hours", "24h"), ("7 days", "7d"), ("30 days", "30d"))
    ]
    links.append(("all time", page_link(rest)))
    if since is not None and until is not None:
        width = until - since
        for name, moved in (("earlier", -width), ("later", width)):
            pair = [("since", times.iso(since + moved)), ("until", times.iso(until + moved))]
            links.append((name, page_link([*pair, *rest])))
    if last_day_ms is not None:
        day = times.iso(last_day_ms)[:10]
        links.append(
            ("last day with such events", page_link([("since", day), ("until", day), *rest]))
        )
    return Span(_words(since, until, last_day_ms), tuple(links))


def _words(since: int | None, until: int | None, last_day_ms: int | None) -> str:
    if since is not None and until == since + _DAY_MS and since % _DAY_MS == 0:
        day = (_EPOCH + timedelta(milliseconds=since)).strftime("%A, %-d %B %Y")
        return f"{day} (UTC)" + (", the last day that holds events" if since == last_day_ms else "")
    if since is None and until is None:
        return "all time"
    if since is None:
        return f"until {times.iso(until or 0)}"
    return f"since {times.iso(since)}" + ("" if until is None else f", until {times.iso(until)}")


def filter_names() -> list[tuple[str, str, str]]:
    """Return name, label and explanation of every filter, by label."""
    return sorted(
        ((one.name, LABELS[one.name], one.why) for one in FILTERS), key=lambda entry: entry[1]
    )
