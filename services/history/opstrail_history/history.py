"""The questions that people ask, put to the store: always within the accounts of who asks."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from opstrail_history import facets as facet_counts
from opstrail_history.access import Principal, Scope
from opstrail_history.collections_query import Collection
from opstrail_history.cursor import Cursor, asked_ms_in, binding, opened, sealed
from opstrail_history.facets import Facets
from opstrail_history.filters import Filters
from opstrail_history.lineage import Lineage, lineage_of
from opstrail_history.opensearch_errors import PointGone, TooManyPoints
from opstrail_history.opensearch_reader import Ask, Hit, OpenSearchReader, Page
from opstrail_history.query import Query, event_query, in_account_scope, narrowed, sort_of
from opstrail_history.related import GROUPS, related_queries
from opstrail_history.row import ROW_FIELDS, Row, row_of
from opstrail_history.stored_document import Record, below, document, record_in, text
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.index_aliases import IndexAliases

Order = Literal["newest", "oldest"]
# A download reads so many events at once at first, and then as many as have about so many bytes:
# one may have 4 MiB, and all is in memory a few times while it is read.
FIRST_EXPORT_PAGE, MOST_EXPORT_PAGE, EXPORT_PAGE_BYTES = 100, 500, 8_000_000
_MOST_ISSUING = 10


class NotFound(Exception):
    """There is no such event, or it is not to be seen: which of the two is not said."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page of events. `cursor` leads to the next one, where there may be one."""

    hits: tuple[Hit, ...]
    total: int | None
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its row, the record's exact text, ours, and the ledger's row of its file."""

    row: Row
    document: Mapping[str, Any]
    record: Record
    file: Mapping[str, Any] | None


class History:
    """Answers questions about events, dead letters and files."""

    def __init__(
        self,
        reader: OpenSearchReader,
        names: IndexAliases,
        *,
        cursor_key: bytes,
        now_ms: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._names = names
        self._cursor_key = cursor_key
        self._now_ms = now_ms

    @property
    def now_ms(self) -> int:
        """Now, in milliseconds since the epoch."""
        return self._now_ms()

    def asked_ms(self, cursor: str | None) -> int:
        """Return what relative times count from: now, or when the cursor's question began.

        Raises BadCursor.
        """
        return self._now_ms() if cursor is None else asked_ms_in(cursor, self._cursor_key)

    # Events

    def search(
        self,
        who: Principal,
        filters: Filters,
        *,
        size: int,
        cursor: str | None = None,
        order: Order = "newest",
        whole: bool = False,
    ) -> Found:
        """Return a page of events; whole documents, or what rows need."""
        ask = Ask(
            query=event_query(filters, who.scope),
            sort=sort_of(newest_first=order == "newest"),
            size=size,
            fields=None if whole else ROW_FIELDS,
            total=cursor is None,
        )
        bound_to = _bound(who, "events", filters.canonical(), order)
        return self._paged(self._names.events, ask, cursor, bound_to, asked_ms=filters.asked_ms)

    def rows(self, found: Found) -> list[Row]:
        """Return the rows of a page."""
        return [_row(hit) for hit in found.hits]

    def facets(self, who: Principal, filters: Filters) -> Facets:
        """Return counts by field and over time, and how many events the page's chips hide."""
        bounds = self._bounds(who, filters)
        chips = [name for name in facet_counts.CHIPS if facet_counts.is_on(filters, name)]
        # One question for both: what the chips leave is counted in all ways, and what they hide.
        ask = Ask(
            query=event_query(filters.without(*chips), who.scope),
            aggregations=facet_counts.request(filters, bounds),
        )
        _, answer = self._reader.counted(self._names.events, ask)
        return facet_counts.facets_of(answer, bounds, chips)

    def last_day(self, who: Principal, filters: Filters) -> int | None:
        """Return the beginning, in ms, of the last day (UTC) that holds events like these.

        What time they ask for does not matter.
        """
        bounds = self._times(who.scope, Filters(values=filters.values, text=filters.text))
        return None if bounds is None else bounds[1] - bounds[1] % 86_400_000

    def event(self, who: Principal, document_id: str) -> Event:
        """Return one event by its document id. Raises NotFound."""
        hit = self._one(who.scope, document_id)
        parsed = document(hit.source)
        delivery = below(parsed, "opstrail", "delivery")
        bucket, key = text(delivery.get("bucket")), text(delivery.get("key"))
        file = self._file(who.scope, bucket, key) if bucket and key else None
        return Event(row_of(hit.id, parsed), parsed, record_in(hit.source), file)

    def by_event_id(self, who: Principal, event_id: str) -> list[str]:
        """Return the document ids of the events with that id, of all accounts in scope."""
        query = narrowed({"term": {"opstrail.eventID": event_id}}, who.scope)
        page = self._reader.page(
            self._names.events, Ask(query=query, sort=sort_of(), size=_MOST_ISSUING)
        )
        return [hit.id for hit in page.hits]

    def related(self, who: Principal, document_id: str) -> dict[str, list[Row]]:
        """Return what belongs to an event, by why it does. Raises NotFound."""
        hit = self._one(who.scope, document_id)
        queries = related_queries(hit.id, document(hit.source), hit.position)
        asks = [
            Ask(
                query=narrowed(asked.query, who.scope),
                sort=sort_of(newest_first=asked.newest_first),
                size=asked.most,
                after=asked.after,
                fields=ROW_FIELDS,
            )
            for asked in queries.values()
        ]
        pages = self._reader.pages(self._names.events, asks) if asks else []
        found: dict[str, list[Row]] = {name: [] for name in GROUPS}
        for name, page in zip(queries, pages, strict=True):
            rows = [_row(hit) for hit in page.hits]
            # What came after is asked for from the event on, and shown newest first as all is.
            found[name] = rows if queries[name].newest_first else rows[::-1]
        return found

    def lineage(self, who: Principal, document_id: str) -> Lineage:
        """Return who stands behind an event's session. Raises NotFound."""
        hit = self._one(who.scope, document_id)
        return lineage_of(hit.id, document(hit.source), _Chain(self._reader, self._names, who))

    def newer(
        self, who: Principal, filters: Filters, *, since_ms: int, most: int, pages: int
    ) -> Iterator[list[Row]]:
        """Yield the rows of events that were stored since, the earliest stored first.

        At most `pages` pages of `most` rows; the last is shorter where that was all.
        """
        stored: Query = {
            "range": {"opstrail.delivery.storedAt": {"gte": since_ms, "format": "epoch_millis"}}
        }
        query = {"bool": {"filter": [event_query(filters, who.scope), stored]}}
        sort = [{"opstrail.delivery.storedAt": {"order": "asc"}}, *sort_of()]
        after = None
        for _ in range(pages):
            ask = Ask(query=query, sort=sort, size=most, after=after, fields=ROW_FIELDS)
            hits = self._reader.page(self._names.events, ask).hits
            yield [_row(hit) for hit in hits]
            if len(hits) < most:
                return
            after = hits[-1].position

    def all(
        self, who: Principal, filters: Filters, *, order: Order, pause: Callable[[int], bool]
    ) -> Generator[tuple[Hit, ...], None, None]:
        """Yield all events, page by page, as they are now.

        `pause` is asked to wait when the store is away; it returns False when that was too long.
        """
        ask = Ask(
            query=event_query(filters, who.scope),
            sort=sort_of(newest_first=order == "newest"),
            size=FIRST_EXPORT_PAGE,
            fields=None,
        )
        return Walk(self._reader, self._names.events, ask, pause).pages()

    # Other collections

    def collection(
        self, who: Principal, collection: Collection, *, size: int, cursor: str | None
    ) -> Found:
        """Return a page of dead letters or of files."""
        match collection.name:
            case "deadLetters":
                alias = self._names.dead_letters
            case "files":
                alias = self._names.files
            case never:
                assert_never(never)
        query = {"bool": {"filter": [*in_account_scope(who.scope, "accountId"), collection.query]}}
        ask = Ask(query=query, sort=collection.sort, size=size, fields=None, total=cursor is None)
        bound_to = _bound(who, collection.name, repr(collection.query), "newest")
        # Their order changes as they do: the first page is of the same point in time as the rest.
        return self._paged(alias, ask, cursor, bound_to, moving=True)

    # How

    def _paged(
        self,
        alias: str,
        ask: Ask,
        cursor: str | None,
        bound_to: str,
        *,
        moving: bool = False,
        asked_ms: int = 0,
    ) -> Found:
        """Return a page. From the second on, what is read is a point in time.

        Events are ordered by values that are unique to each and never change; so where a point
        cannot be had, or is gone, reading on at the same position skips and repeats nothing. Most
        people read one page: a point for each would use up the few hundred that OpenSearch keeps.
        """
        if cursor is None:
            page = self._reader.page(alias, ask)
            if not moving or len(page.hits) < ask.size:
                return self._found(page, ask, None, bound_to, asked_ms)
            first = self._point(alias)
            page = self._reader.page(alias, ask, pit=first)
            return self._found(page, ask, first, bound_to, asked_ms)
        at = opened(cursor, bound_to, self._cursor_key)
        ask = Ask(ask.query, ask.sort, ask.size, at.after, ask.fields)
        pit = at.pit or self._point(alias)
        try:
            page = self._reader.page(alias, ask, pit=pit)
        except PointGone:
            pit = self._point(alias)
            page = self._reader.page(alias, ask, pit=pit)
        if len(page.hits) < ask.size and pit is not None:
            with suppress(Exception):  # it ends by itself in minutes
                self._reader.close_point(pit)
        return self._found(page, ask, pit, bound_to, at.asked_ms)

    def _found(self, page: Page, ask: Ask, pit: str | None, bound_to: str, asked_ms: int) -> Found:
        if len(page.hits) < ask.size or not page.hits:
            return Found(page.hits, page.total, None)
        at = Cursor(page.hits[-1].position, pit, asked_ms)
        return Found(page.hits, page.total, sealed(at, bound_to, self._cursor_key))

    def _point(self, alias: str) -> str | None:
        try:
            return self._reader.open_point(alias)
        except TooManyPoints:
            return None

    def _bounds(self, who: Principal, filters: Filters) -> tuple[int, int] | None:
        """Return the time that a histogram shows: what is asked for, else what there is."""
        if filters.since_ms is not None and filters.until_ms is not None:
            begin = max(filters.since_ms, facet_counts.OLDEST_MS)
            end = min(filters.until_ms, facet_counts.NEWEST_MS)
            return (begin, end) if begin < end else None
        return self._times(who.scope, filters)

    def _times(self, scope: Scope, filters: Filters) -> tuple[int, int] | None:
        ask = Ask(query=event_query(filters, scope), aggregations=facet_counts.bounds_request())
        _, answer = self._reader.counted(self._names.events, ask)
        return facet_counts.bounds_of(answer)

    def _one(self, scope: Scope, document_id: str) -> Hit:
        query = narrowed({"ids": {"values": [document_id]}}, scope)
        ask = Ask(query=query, sort=sort_of(), size=1, fields=None)
        page = self._reader.page(self._names.events, ask)
        if not page.hits:
            raise NotFound(f"there is no event {document_id[:300]}, or none that you may see")
        return page.hits[0]

    def _file(self, scope: Scope, bucket: str, key: str) -> Mapping[str, Any] | None:
        terms = [{"term": {"bucket": bucket}}, {"term": {"key": key}}]
        query = {"bool": {"filter": [*in_account_scope(scope, "accountId"), *terms]}}
        page = self._reader.page(self._names.files, Ask(query=query, size=1, fields=None))
        return document(page.hits[0].source) if page.hits else None


class Walk:
    """All documents that a search finds, page by page, at one point in time and flat memory."""

    def __init__(
        self, reader: OpenSearchReader, alias: str, ask: Ask, pause: Callable[[int], bool]
    ) -> None:
        self._reader = reader
        self._alias = alias
        self._ask = ask
        self._pause = pause
        self._pit: str | None = None
        self._steady = True
        self._size = ask.size

    def pages(self) -> Generator[tuple[Hit, ...], None, None]:
        """Yield the pages. Raises Unavailable where the store stays away."""
        after = None
        try:
            while True:
                page = self._page(after)
                if page.hits:
                    yield page.hits
                if len(page.hits) < self._size:
                    return
                after = page.hits[-1].position
                self._size = next_size(page.hits)
        finally:
            if self._pit is not None:
                with suppress(Exception):  # it ends by itself in minutes
                    self._reader.close_point(self._pit)

    def _page(self, after: Any) -> Page:
        ask = self._ask
        at = Ask(ask.query, ask.sort, self._size, after, ask.fields)
        tries = 0
        while True:
            try:
                if self._pit is None and self._steady:
                    self._pit = self._reader.open_point(self._alias)
                return self._reader.page(self._alias, at, pit=self._pit)
            except PointGone:
                self._pit = None
            except TooManyPoints:
                # The order alone skips and repeats nothing; what is stored meanwhile may be in it.
                self._steady = False
            except Unavailable:
                tries += 1
                if not self._pause(tries):
                    raise


def next_size(hits: Sequence[Hit]) -> int:
    """Return how many events to read next, by how large the last ones were."""
    average = max(1, sum(len(hit.source) for hit in hits) // len(hits))
    return min(MOST_EXPORT_PAGE, max(1, EXPORT_PAGE_BYTES // average))


@dataclass(frozen=True, slots=True)
class _Chain:
    """The events that a chain leads over, within the accounts of who asks."""

    reader: OpenSearchReader
    names: IndexAliases
    who: Principal

    def issuing(self, access_key: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return self._with({"term": {"opstrail.issuedAccessKeyId": access_key}})

    def sharing(self, shared_event_id: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return self._with({"term": {"sharedEventID": shared_event_id}})

    def _with(self, query: Query) -> Sequence[tuple[str, Mapping[str, Any]]]:
        ask = Ask(
            query=narrowed(query, self.who.scope),
            sort=sort_of(newest_first=False),
            size=_MOST_ISSUING,
            fields=(*ROW_FIELDS, "sharedEventID", "opstrail.issuedAccessKeyId"),
        )
        page = self.reader.page(self.names.events, ask)
        return [(hit.id, document(hit.source)) for hit in page.hits]


def _bound(who: Principal, *parts: str) -> str:
    accounts = "all" if who.scope.accounts is None else repr(sorted(who.scope.accounts))
    return binding(who.name, who.way, accounts, *parts)


def _row(hit: Hit) -> Row:
    return row_of(hit.id, document(hit.source))
