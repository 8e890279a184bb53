"""The API: /api/v1. Everything the page and the commands do goes through it."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import StreamingResponse

from opstrail_history import collections_query, request_query
from opstrail_history.answers import (
    AccessAnswer,
    AuditAnswer,
    CollectionAnswer,
    ErrorAnswer,
    EventAnswer,
    FacetsAnswer,
    LineageAnswer,
    RelatedAnswer,
    RowAnswer,
    SearchAnswer,
)
from opstrail_history.collections_query import Collection, CollectionName
from opstrail_history.cursor import LONGEST_CURSOR
from opstrail_history.desk import Desk
from opstrail_history.export_formats import FILE_ENDINGS, MEDIA_TYPES, Format, writer
from opstrail_history.filters import Filters
from opstrail_history.history import NotFound, Order
from opstrail_history.stored_document import document, is_deeper
from opstrail_history.streams import Export, Held, Live

PAGE = 50
_COLLECTION_PARAMETERS: Mapping[CollectionName, tuple[str, ...]] = {
    "deadLetters": ("stage", "reason", "bucket", "key", "account", "waiting"),
    "files": ("state", "bucket", "key", "account", "region"),
}
_LONGEST_ID = 600
# What is deeper cannot be written as an answer.
_DEEPEST = 200
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The question is wrong; the message says what."},
    401: {"model": ErrorAnswer, "description": "Nobody known."},
    403: {"model": ErrorAnswer, "description": "A right is missing."},
    421: {"model": ErrorAnswer, "description": "The server is not called so."},
    422: {"model": ErrorAnswer, "description": "A parameter is not of its form."},
    429: {"model": ErrorAnswer, "description": "Too much at once."},
    503: {"model": ErrorAnswer, "description": "The store is away; the message says what to do."},
}
_NO_SUCH: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "It is not there, or not to be seen by you."},
    **_REFUSALS,
}
_SIZE = {
    "name": "size", "in": "query", "description": "Most events on the page.",
    "schema": {"type": "integer", "minimum": 1, "default": PAGE},
}  # fmt: skip
_CURSOR = {
    "name": "cursor", "in": "query", "description": "From the page before; the rest unchanged.",
    "schema": {"type": "string", "maxLength": LONGEST_CURSOR},
}  # fmt: skip
_ORDER = {
    "name": "order", "in": "query", "description": "By event time.",
    "schema": {"type": "string", "enum": ["newest", "oldest"], "default": "newest"},
}  # fmt: skip
_FORMAT = {
    "name": "format", "in": "query", "description": "Form of the download.",
    "schema": {"type": "string", "enum": ["ndjson", "records", "csv"], "default": "ndjson"},
}  # fmt: skip
EventId = Annotated[
    str,
    Query(alias="id", min_length=1, max_length=_LONGEST_ID, description="`account/eventID`."),
]
Word = Annotated[str | None, Query(min_length=1, max_length=1_024)]
Size = Annotated[int, Query(ge=1, le=1_000)]
CursorText = Annotated[str | None, Query(max_length=LONGEST_CURSOR)]


def question_of(request: Request, desk: Desk, *besides: str) -> Filters:
    """Return the question of a request. Raises BadQuery."""
    asked_ms = desk.history.asked_ms(
        request.query_params.get("cursor") if "cursor" in besides else None
    )
    pairs = request.query_params.multi_items()
    return request_query.question(pairs, now_ms=asked_ms, besides=besides)


def router(desk: Desk) -> APIRouter:
    """Return the routes of the API."""
    routes = APIRouter(prefix="/api/v1")
    _searching(routes, desk)
    _one_event(routes, desk)
    _collections(routes, desk)
    _streams(routes, desk)
    return routes


def _parameters(*more: Mapping[str, Any]) -> dict[str, Any]:
    return {"parameters": request_query.openapi_parameters(*more)}


def _searching(routes: APIRouter, desk: Desk) -> None:
    @routes.get(
        "/events",
        responses=_REFUSALS,
        openapi_extra=_parameters(_SIZE, _CURSOR, _ORDER),
    )
    def search(request: Request) -> SearchAnswer:
        """Search events, a page at a time; the cursor never skips or repeats one."""
        with desk.visit(request, "search", "read") as visit:
            asked = request.query_params
            found = desk.history.search(
                visit.who,
                question_of(request, desk, "size", "cursor", "order"),
                size=request_query.whole_number(
                    asked.get("size"), "size", default=PAGE, most=desk.page_max
                ),
                cursor=asked.get("cursor"),
                order=_order(asked.get("order")),
            )
            visit.events = len(found.hits)
            rows = [RowAnswer.of(row) for row in desk.history.rows(found)]
            return SearchAnswer(events=rows, total=found.total, cursor=found.cursor)

    @routes.get("/facets", responses=_REFUSALS, openapi_extra=_parameters())
    def facets(request: Request) -> FacetsAnswer:
        """Count events by field and over time."""
        with desk.visit(request, "facets", "read") as visit:
            filters = question_of(request, desk)
            return FacetsAnswer.of(desk.history.facets(visit.who, filters))

    @routes.get("/access", responses=_REFUSALS)
    def access(request: Request) -> AccessAnswer:
        """Tell who asks, and what they may do."""
        with desk.visit(request, "access", "read") as visit:
            who = visit.who
            return AccessAnswer(
                name=who.name, way=who.way, accounts=who.scope.listed, rights=sorted(who.rights)
            )

    @routes.get("/audit", responses=_NO_SUCH)
    def audit(request: Request, size: Size = PAGE) -> AuditAnswer:
        """Tell what was asked lately, the latest first. Needs the right `admin`.

        Of callers who may see no more accounts than who asks; the refused, of all of them.
        """
        with desk.visit(request, "audit", "admin") as visit:
            if not desk.audit.is_kept:
                raise NotFound("the audit log is among the service's logs: set an audit_file")
            lines = desk.audit.latest(visit.who.scope, most=size)
            return AuditAnswer(lines=[dict(line) for line in lines])


def _one_event(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/event", responses=_NO_SUCH)
    def event(request: Request, document_id: EventId) -> EventAnswer:
        """Show one event with its raw record, its file and the ledger's row of that."""
        with desk.visit(request, "event", "read") as visit:
            found = desk.history.event(visit.who, document_id)
            visit.events = 1
            return EventAnswer(
                event=RowAnswer.of(found.row),
                record=_parsed(found.record.raw),
                raw=found.record.raw.decode("utf-8", "replace"),
                opstrail=document(found.record.ours),
                file=None if found.file is None else dict(found.file),
            )

    @routes.get("/event/related", responses=_NO_SUCH)
    def related(request: Request, document_id: EventId) -> RelatedAnswer:
        """Show what belongs to an event: its session, request, resource, corrections and more."""
        with desk.visit(request, "related", "read") as visit:
            found = desk.history.related(visit.who, document_id)
            visit.events = sum(map(len, found.values()))
            return RelatedAnswer(
                groups={name: [RowAnswer.of(row) for row in rows] for name, rows in found.items()}
            )

    @routes.get("/event/lineage", responses=_NO_SUCH)
    def lineage(request: Request, document_id: EventId) -> LineageAnswer:
        """Show who stands behind an event's session."""
        with desk.visit(request, "lineage", "read") as visit:
            found = desk.history.lineage(visit.who, document_id)
            visit.events = len(found.steps)
            return LineageAnswer.of(found)

    @routes.get("/event-ids/{event_id}", responses=_NO_SUCH)
    def ids(
        request: Request,
        event_id: Annotated[str, Path(min_length=1, max_length=_LONGEST_ID)],
    ) -> list[str]:
        """List the document ids of an event id, of all accounts."""
        with desk.visit(request, "event-ids", "read") as visit:
            found = desk.history.by_event_id(visit.who, event_id)
            if not found:
                raise NotFound(f"there is no event {event_id}, or none that you may see")
            visit.events = len(found)
            return found


def _collections(routes: APIRouter, desk: Desk) -> None:
    def page(
        request: Request, what: str, collection: Collection, size: int, cursor: str | None
    ) -> CollectionAnswer:
        with desk.visit(request, what, "read") as visit:
            known = (*_COLLECTION_PARAMETERS[collection.name], "size", "cursor")
            request_query.check_known(request.query_params.multi_items(), known)
            found = desk.history.collection(visit.who, collection, size=size, cursor=cursor)
            visit.events = len(found.hits)
            return CollectionAnswer(
                items=[document(hit.source) for hit in found.hits],
                total=found.total,
                cursor=found.cursor,
            )

    @routes.get("/dead-letters", responses=_REFUSALS)
    def dead_letters(  # noqa: PLR0917 - query parameters
        request: Request,
        stage: Word = None,
        reason: Word = None,
        bucket: Word = None,
        key: Word = None,
        account: Word = None,
        waiting: bool | None = None,  # noqa: FBT001 - a query parameter
        size: Size = PAGE,
        cursor: CursorText = None,
    ) -> CollectionAnswer:
        """List what did not get through; `waiting=true`: will be tried again by itself."""
        collection = collections_query.dead_letters(
            stage=stage, reason=reason, bucket=bucket, key=key, account=account, waiting=waiting
        )
        return page(request, "dead-letters", collection, size, cursor)

    @routes.get("/files", responses=_REFUSALS)
    def files(  # noqa: PLR0917 - query parameters
        request: Request,
        state: Word = None,
        bucket: Word = None,
        key: Word = None,
        account: Word = None,
        region: Word = None,
        size: Size = PAGE,
        cursor: CursorText = None,
    ) -> CollectionAnswer:
        """List files, as the ledger has them."""
        collection = collections_query.files(
            state=state, bucket=bucket, key=key, account=account, region=region
        )
        return page(request, "files", collection, size, cursor)


def _streams(routes: APIRouter, desk: Desk) -> None:
    @routes.get(
        "/export",
        response_class=StreamingResponse,
        responses={
            200: {"content": {media: {} for media in MEDIA_TYPES.values()}},
            **_REFUSALS,
        },
        openapi_extra=_parameters(_FORMAT, _ORDER),
    )
    def export(request: Request) -> StreamingResponse:
        """Download all that a search finds, without a cap. It ends with a count.

        A download that was cut off lacks that end, or says `complete: false`.
        """
        asked = request.query_params
        with ExitStack() as held:
            with desk.visit(request, "export", "export") as visit:
                filters = question_of(request, desk, "format", "order")
                form = cast(
                    "Format", request_query.choice(asked.get("format"), "format", list(MEDIA_TYPES))
                )
                desk.limits.begin_stream(visit.who.key)
                held.callback(desk.limits.end_stream, visit.who.key)
                started = Export(
                    desk, visit.who, filters, order=_order(asked.get("order")), writer=writer(form)
                )
                held.callback(started.close)
                started.begin()
            ending = held.pop_all()
        ending.callback(
            lambda: desk.note(
                visit.who, request, "export-ended", status=started.status, events=started.events
            )
        )
        name = f"opstrail-events.{FILE_ENDINGS[form]}"
        return Held(
            started.sent(),
            let_go=ending.close,
            media_type=MEDIA_TYPES[form],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @routes.get(
        "/live",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, **_REFUSALS},
        openapi_extra=_parameters(),
    )
    def live(request: Request) -> StreamingResponse:
        """Follow events as they are stored: server-sent events, `row` each."""
        with ExitStack() as held:
            with desk.visit(request, "live", "read") as visit:
                filters = question_of(request, desk)
                last = request.headers.get("last-event-id", "")
                since = int(last) if last.isascii() and last.isdigit() and len(last) < 15 else None  # noqa: PLR2004
                desk.limits.begin_stream(visit.who.key)
                held.callback(desk.limits.end_stream, visit.who.key)
                stream = Live(
                    desk,
                    request,
                    visit.who,
                    filters,
                    since_ms=desk.history.now_ms if since is None else since,
                )
            ending = held.pop_all()
        ending.callback(lambda: desk.note(visit.who, request, "live-ended", events=stream.shown))
        return Held(
            stream.messages(),
            let_go=ending.close,
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )


def _order(text: str | None) -> Order:
    return cast("Literal['newest', 'oldest']", request_query.choice(text, "order", _ORDERS))


_ORDERS = ("newest", "oldest")


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        record = document(raw)
    except ValueError:
        return None
    return None if is_deeper(record, _DEEPEST) else record
