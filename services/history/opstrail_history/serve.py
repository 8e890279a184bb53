"""Runs history as a process."""

import socket
import sys
import threading
import time
from pathlib import Path

import structlog
import uvicorn

from opstrail_history.access import BadAccessFile
from opstrail_history.access_file import AccessFile
from opstrail_history.app import create_app
from opstrail_history.binding import NotSafe, checked
from opstrail_history.settings import HistorySettings, Settings
from opstrail_history.wiring import new_desk
from opstrail_runtime.health import serve_health
from opstrail_runtime.serve import configure_logs

log = structlog.get_logger("opstrail")
EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
# A request line with a cursor in it: the point in time names every index of the store.
_LONGEST_HEAD = 64_000
_DRAIN_S = 5
_LOOK_AGAIN_S = 0.5


def serve(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit code."""
    configure_logs(settings.telemetry)
    structlog.contextvars.bind_contextvars(service="history")
    told = settings.history
    try:
        _check(told)
        listener = _listener(told)
    except (NotSafe, BadAccessFile) as error:
        log.error("not served", why=str(error))  # noqa: TRY400 - said plainly
        return EXIT_USAGE
    except OSError as error:
        log.error("not served", why=f"{told.host}:{told.port}: {error}")  # noqa: TRY400
        return EXIT_FAILED
    address = _address(told, listener)
    log.info("starting", address=address, settings=settings.model_dump(mode="json"))
    if settings.telemetry.port:
        serve_health(
            settings.telemetry.host,
            settings.telemetry.port,
            seconds_since_beat=lambda: 0.0,
            ready=lambda: True,
        )
    server = uvicorn.Server(_config(settings))
    if told.while_file is not None:
        _end_with(told.while_file, server)
    server.run(sockets=[listener])
    log.info("stopped")
    return EXIT_DONE if server.started else EXIT_FAILED


def _end_with(file: Path, server: uvicorn.Server) -> None:
    """Ask the server to end once the file is gone or says something else than it does now."""

    def said() -> str | None:
        try:
            return file.read_text("utf-8")
        except OSError:
            return None

    def watch() -> None:
        while said() == before:
            time.sleep(_LOOK_AGAIN_S)
        server.should_exit = True

    before = said()
    threading.Thread(target=watch, name="while-file", daemon=True).start()


def _check(told: HistorySettings) -> None:
    checked(
        told.host,
        asks=told.access_file is not None,
        tls=told.tls_certificate is not None and told.tls_key is not None,
        tls_elsewhere=told.tls_elsewhere,
        trusts_proxies=bool(told.trusted_proxies),
    )
    if told.access_file is not None:
        AccessFile(told.access_file).current()


def _listener(told: HistorySettings) -> socket.socket:
    """Return a bound socket: the port is known before the first request, also where it was 0."""
    family = socket.AF_INET6 if ":" in told.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((told.host, told.port))
    return listener


def _address(told: HistorySettings, listener: socket.socket) -> str:
    scheme = "https" if told.tls_certificate else "http"
    host = f"[{told.host}]" if ":" in told.host else told.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


def _config(settings: Settings) -> uvicorn.Config:
    told = settings.history
    return uvicorn.Config(
        create_app(new_desk(settings)),
        # The other one knows no longest head.
        http="h11",
        # Who asks is whoever is connected: a header must not say otherwise before the gate.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        ssl_certfile=told.tls_certificate,
        ssl_keyfile=told.tls_key,
        timeout_graceful_shutdown=_DRAIN_S,
        lifespan="off",
    )


if __name__ == "__main__":
    sys.exit(serve(Settings()))
