"""The page: rendered here, with a little script that makes it quicker to use."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from opstrail_history import page_view, request_query
from opstrail_history.access import is_loopback
from opstrail_history.desk import Desk
from opstrail_history.facets import Facets
from opstrail_history.filters import Filters
from opstrail_history.gate import COOKIE
from opstrail_history.history import Found, NotFound
from opstrail_history.refusals import BadQuery, NotAllowed
from opstrail_history.related import GROUPS
from opstrail_history.row import plain, shortened
from opstrail_history.stored_document import document

_PAGE = 50
_LONGEST_FORM = 2_000
_ONLY_HERE = ("cursor", "event", "add", "value", "all")
PAGES = frozenset({"/", "/details", "/sign-in", "/sign-out"})
_STATIC = Path(__file__).parent / "static"

_environment = Environment(
    loader=PackageLoader("opstrail_history"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["plain"] = plain
_environment.filters["plain_lines"] = lambda text: "\n".join(map(plain, text.split("\n")))
_environment.filters["short"] = shortened
_environment.filters["number"] = lambda number: f"{number:,}"
_environment.filters["clock"] = lambda time: plain(time or "no time").replace("T", " ")


def is_page(request: Request) -> bool:
    """Return whether people look at the answer, not programs."""
    return request.url.path in PAGES and request.method in {"GET", "HEAD"}


def error_page(request: Request, status: int, message: str) -> Response:
    """Return a page that says what went wrong, and what to do."""
    if status == 401:  # noqa: PLR2004
        if request.url.path == "/details":
            return HTMLResponse(_rendered("refusal.html", message=message, status=status), status)
        # Whoever follows a link to a view is led there when they have signed in.
        return RedirectResponse(f"/sign-in?{request_query.link([('to', request.url.query)])}", 303)
    name = "refusal.html" if request.url.path == "/details" else "error.html"
    return HTMLResponse(_rendered(name, message=message, status=status), status)


def add_pages(app: FastAPI, desk: Desk) -> None:
    """Add the routes of the page."""
    # Two questions at once: the rows, and the counts beside them.
    pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="facets")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def history(request: Request) -> Response:
        """Show events."""
        given = request.query_params.multi_items()
        with desk.visit(request, "page", "read") as visit:
            if (moved := _moved(desk, visit.who, given)) is not None:
                return RedirectResponse(moved, 303)
            pairs = page_view.view_pairs(given)
            cursor = request.query_params.get("cursor")
            asked_ms = desk.history.asked_ms(cursor)
            request_query.question(given, now_ms=asked_ms, besides=_ONLY_HERE)
            filters = request_query.question(pairs, now_ms=asked_ms)
            facets = pool.submit(desk.history.facets, visit.who, filters)
            last_day = desk.history.last_day(visit.who, filters)
            found = desk.history.search(visit.who, filters, size=_PAGE, cursor=cursor)
            visit.events = len(found.hits)
            shown = _shown(desk, visit.who, request.query_params.get("event"))
            context = _context(desk, pairs, filters, found, facets.result(), last_day)
            return HTMLResponse(
                _rendered(
                    "history.html",
                    **context,
                    who=visit.who,
                    asks=desk.gate.asks,
                    may_export=visit.who.may("export"),
                    details=shown,
                    groups=GROUPS,
                    first_page=cursor is None,
                )
            )

    @app.get("/details", include_in_schema=False)
    def details(request: Request) -> Response:
        """Show one event: what stands beside the list."""
        with desk.visit(request, "details", "read") as visit:
            given = request.query_params
            shown = _shown(desk, visit.who, given.get("event"))
            if shown is None:
                raise NotFound("no event is named")
            pairs = page_view.view_pairs(given.multi_items())
            visit.events = 1
            return HTMLResponse(
                _rendered(
                    "details.html", details=shown, groups=GROUPS, open_link=_opener(pairs),
                    close_link=page_view.page_link(pairs),
                )
            )  # fmt: skip

    _add_sign_in(app, desk)


def _add_sign_in(app: FastAPI, desk: Desk) -> None:
    @app.get("/sign-in", include_in_schema=False)
    def sign_in_form(request: Request) -> Response:
        return HTMLResponse(_sign_in_page(request, None))

    @app.post("/sign-in", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        _check_same_site(request)
        form = parse_qs((await _form(request)).decode("utf-8", "replace"))
        token = form.get("token", [""])[0].strip()
        try:
            await run_in_threadpool(desk.signed_in, request, token)
        except NotAllowed as refused:
            return HTMLResponse(_sign_in_page(request, refused.message), refused.status)
        # Whatever it says, it is a view of our own page.
        view = request.query_params.get("to")
        answer = RedirectResponse(f"/?{view}" if view else "/", 303)
        host = request.url.hostname or ""
        answer.set_cookie(
            COOKIE, token, httponly=True, samesite="lax", path="/", max_age=12 * 3600,
            secure=request.url.scheme == "https" or not is_loopback(host),
        )  # fmt: skip
        return answer

    @app.post("/sign-out", include_in_schema=False)
    def sign_out(request: Request) -> Response:
        _check_same_site(request)
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


def _sign_in_page(request: Request, message: str | None) -> str:
    to = request_query.link([("to", request.query_params.get("to", ""))])
    return _rendered("sign_in.html", message=message, to=to)


async def _form(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            raise BadQuery("the form is too long")
    return body


def _check_same_site(request: Request) -> None:
    """Raise NotAllowed where another site's page sends the form. Old browsers do not say."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise NotAllowed("another site's page sent this form", status=403)


def _moved(desk: Desk, who: Any, given: list[tuple[str, str]]) -> str | None:
    """Return where a request is sent on to: the opening view, or one with a filter added."""
    if not given:
        chips = page_view.opening_pairs(None)
        like = request_query.question(chips, now_ms=0)
        # Where the chips hide all there is, better a day with events that they hide.
        last_day = desk.history.last_day(who, like) or desk.history.last_day(who, Filters())
        return page_view.page_link(page_view.opening_pairs(last_day))
    named = dict(given)
    added, value = named.get("add", ""), named.get("value", "").strip()
    pairs = page_view.view_pairs(given)
    if "add" in named:
        return page_view.page_link(pairs, *([(added, value)] if added and value else []))
    return None


def _shown(desk: Desk, who: Any, document_id: str | None) -> Mapping[str, Any] | None:
    """Return what is shown of one event."""
    if not document_id:
        return None
    event = desk.history.event(who, document_id)
    return {
        "row": event.row,
        "raw": _pretty(event.record.raw),
        "exact": event.record.raw.decode("utf-8", "replace"),
        "ours": document(event.record.ours),
        "document": event.document,
        "file": event.file,
        "related": desk.history.related(who, document_id),
        "lineage": desk.history.lineage(who, document_id),
    }


def _pretty(raw: bytes) -> str:
    """Return the record indented, its words and numbers as they are written."""
    try:
        return msgspec.json.format(raw, indent=2).decode("utf-8", "replace")
    except (msgspec.MsgspecError, RecursionError):
        return raw.decode("utf-8", "replace")


def _context(  # noqa: PLR0917 - all that one page shows
    desk: Desk,
    pairs: list[tuple[str, str]],
    filters: Filters,
    found: Found,
    facets: Facets,
    last_day: int | None,
) -> dict[str, Any]:
    cursor = found.cursor
    return {
        "pairs": pairs,
        "rows": desk.history.rows(found),
        "total": facets.total,
        "next_link": None if cursor is None else page_view.page_link(pairs, ("cursor", cursor)),
        "first_link": page_view.page_link(pairs),
        "chips": page_view.chips(pairs, filters, facets.hidden),
        "facets": page_view.facet_views(pairs, facets),
        "picture": page_view.picture(pairs, facets, filters),
        "span": page_view.span(pairs, filters, last_day),
        "filter_names": page_view.filter_names(),
        "labels": page_view.LABELS,
        "query": request_query.link(pairs),
        "live_query": request_query.link(page_view.without(pairs, "since", "until")),
        "value_of": dict(pairs),
        "hidden_pairs": page_view.without(pairs, "q", "since", "until"),
        "open_link": _opener(pairs),
        "close_link": page_view.page_link(pairs),
        "narrowed": bool(pairs),
        "size": (page_view.WIDTH, page_view.HEIGHT),
    }


def _opener(pairs: list[tuple[str, str]]) -> Any:
    return lambda document_id: page_view.page_link(pairs, ("event", document_id))


def _rendered(name: str, **context: Any) -> str:
    # What cannot be encoded must not fail the page: half a surrogate pair.
    return (
        _environment.get_template(name).render(**context).encode("utf-8", "replace").decode("utf-8")
    )
