"""The whole of it as one ASGI application: API, page, AWS endpoint, and how errors are answered."""

import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opstrail_history import api, aws_endpoint, pages
from opstrail_history.desk import Desk, status_of
from opstrail_history.history import NotFound
from opstrail_history.refusals import BadQuery, NotAllowed
from opstrail_history.telemetry import RequestAnswered
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.telemetry import emit

# Scripts, styles and everything else from here alone; no inline script, no frame, no plug-in.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_STORE = "no-store"


def create_app(desk: Desk) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="opstrail history",
        version=version("opstrail"),
        description="Search, view, follow and download CloudTrail events.",
        openapi_url="/api/v1/openapi.json",
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(api.router(desk))
    app.include_router(aws_endpoint.router(desk))
    pages.add_pages(app, desk)
    for kind in (BadQuery, NotAllowed, NotFound, Unavailable, Refused):
        app.add_exception_handler(kind, _answered_error)
    app.add_middleware(Headers)
    return app


def _answered_error(request: Request, error: Exception) -> Response:
    status = status_of(error)
    message = getattr(error, "message", None) or str(error)
    if isinstance(error, Unavailable):
        message = str(error)
    if pages.is_page(request):
        return pages.error_page(request, status, message)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None  # noqa: PLR2004
    return JSONResponse(
        {"message": message, "field": getattr(error, "field", None)}, status, headers=headers
    )


class Headers:
    """Puts our headers on every answer, and counts it. It holds nothing back: streams flow."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _with_headers(scope, send))


def _with_headers(scope: Scope, send: Send) -> Callable[[Message], Awaitable[None]]:
    began = time.perf_counter()

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", _NO_STORE)
            route: Any = scope.get("route")
            path = getattr(route, "path", "none")
            emit(RequestAnswered(path, message["status"], time.perf_counter() - began))
        await send(message)

    return sent
