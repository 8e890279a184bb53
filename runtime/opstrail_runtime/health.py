"""/metrics, /livez and /readyz on one port.

/livez: the loop has polled lately; it says nothing about Kafka, so that no restart comes from an
outage. /readyz: the group has told the process its share, which may be nothing, and the state of
that share is restored.
"""

import platform
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app

from opstrail_runtime.telemetry import Started, emit

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LIVE_WITHIN_S = 120.0


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: probes come every few seconds."""


def serve_while_at_work(host: str, port: int) -> None:
    """Serve the metrics of a job; none where no port is told, or a service beside it has it."""
    if port:
        with suppress(OSError):
            serve_health(host, port, seconds_since_beat=lambda: 0.0, ready=lambda: True)


def serve_health(
    host: str, port: int, *, seconds_since_beat: Callable[[], float], ready: Callable[[], bool]
) -> int:
    """Serve in a thread of its own; return the port. Raises OSError where it is taken."""
    metrics = make_wsgi_app()
    emit(Started(version("opstrail"), platform.python_version()))

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        checks = {
            "/livez": lambda: seconds_since_beat() < LIVE_WITHIN_S,
            "/readyz": ready,
        }
        check = checks.get(str(environ.get("PATH_INFO")))
        if check is None:
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        good = check()
        start_response(
            "200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")]
        )
        return [b"ok\n" if good else b"not yet\n"]

    server = make_server(host, port, app, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return int(server.server_port)
