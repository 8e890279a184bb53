"""The whole of it as one ASGI application: API, page, AWS endpoint, and how errors are answered."""

import time
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
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
    app.exception_handler(RequestValidationError)(_answered_form)
    app.exception_handler(HTTPException)(_answered_status)
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


def _answered_form(_request: Request, error: RequestValidationError) -> Response:
    """Answer a parameter that is not of its form as all other errors are answered."""
    first = error.errors()[0]
    field = str(first["loc"][-1])[:100]
    return JSONResponse({"message": f"{field}: {first['msg']}", "field": field}, 422)


def _answered_status(_request: Request, error: HTTPException) -> Response:
    """Answer what no route is there for."""
    return JSONResponse(
        {"message": str(error.detail), "field": None}, error.status_code, headers=error.headers
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
        answer = _Answer(scope, send)
        try:
            await self._app(scope, receive, answer)
        finally:
            # What we did not foresee is answered outside of us, with 500.
            answer.count(500)


class _Answer:
    """One answer on its way: it gets our headers, and is counted once."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self._is_counted = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", _NO_STORE)
            self.count(message["status"])
        await self._send(message)

    def count(self, status: int) -> None:
        """Count it, where it is not yet."""
        if self._is_counted:
            return
        self._is_counted = True
        path = getattr(self._scope.get("route"), "path", "none")
        emit(RequestAnswered(path, status, time.perf_counter() - self._began))
