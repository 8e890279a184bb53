"""A service as a process: logs, signals, health, the loop, and an exit code that tells."""

import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from opstrail_runtime import failpoints
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Fenced, Refused, Unavailable
from opstrail_runtime.health import serve_health
from opstrail_runtime.kafka_errors import KafkaRefuses
from opstrail_runtime.kafka_topics import UnequalPartitions
from opstrail_runtime.log_text import printable_trace, printable_values
from opstrail_runtime.loop import Loop, OffsetsMissing, OurBug, TooManyRefused
from opstrail_runtime.settings import ServiceSettings, TelemetrySettings
from opstrail_runtime.stage import Stage
from opstrail_runtime.telemetry import LoopBeat, emit, seconds_since_beat
from opstrail_runtime.wiring import new_loop
from opstrail_schemas.registry import NotRegistered
from opstrail_schemas.topics import TopicName

log = structlog.get_logger("opstrail")
T = TypeVar("T")
# What an operator can mend: said in one line, without a traceback.
_SAID_PLAINLY = (
    Fenced,
    KafkaRefuses,
    NotRegistered,
    OffsetsMissing,
    OurBug,
    Refused,
    TooManyRefused,
    UnequalPartitions,
)


class LibraryLogs(logging.Handler):
    """Passes on what libraries log (librdkafka, botocore, urllib3), as lines like our own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it; `_safe` escapes control characters of foreign texts."""
        log.log(record.levelno, "library", library=record.name, text=record.getMessage())


def configure_logs(settings: TelemetrySettings) -> None:
    """Log to stderr: JSON lines, or readable ones on a terminal."""
    logging.basicConfig(handlers=[LibraryLogs()], level=logging.WARNING, force=True)
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _safe,
            structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            getattr(logging, settings.log_level.upper())
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _safe(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Escape what could forge a line or drive a terminal."""
    return {
        name: printable_trace(str(value)) if name == "exception" else printable_values(value)
        for name, value in line.items()
    }


class StopSignal:
    """Set by SIGTERM or SIGINT; a second one ends the process at once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def listen(self) -> None:
        """Take the signals. Only the main thread may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._event.is_set():
            sys.exit(128 + number)
        self._event.set()

    def is_set(self) -> bool:
        """Return whether a stop was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, or return True at once when a stop is asked for."""
        return self._event.wait(seconds)


def shown(settings: ServiceSettings) -> dict[str, object]:
    """Return the settings for the log; secrets are SecretStr and show as stars."""
    return settings.model_dump(mode="json")


def until_available(
    build: Callable[[], T], stop: StopSignal, beat: Callable[[], None] = lambda: None
) -> T | None:
    """Build what needs other servers, waiting while they are away; None when told to stop.

    It beats before each try: no restart comes from an outage.
    """
    backoff = Backoff(first_s=0.5, longest_s=30, rng=random.Random(os.getpid()))  # noqa: S311
    attempt = 0
    while not stop.is_set():
        beat()
        try:
            return build()
        except Unavailable as away:
            attempt += 1
            wait_s = backoff.wait_s(attempt)
            log.warning("waiting", why=str(away), wait_s=wait_s)
            stop.wait(wait_s)
    return None


def serve_stage(
    role: str,
    topics: Sequence[TopicName],
    settings: ServiceSettings,
    build: Callable[[], Stage],
) -> int:
    """Run one service until a signal or an error ends it; return the exit code."""
    configure_logs(settings.telemetry)
    structlog.contextvars.bind_contextvars(service=role)
    stop = StopSignal()
    stop.listen()
    failpoints.arm(role, os.environ)
    log.info("starting", slot=settings.slot.name_of(role), settings=shown(settings))
    beat = partial(emit, LoopBeat(role))
    beat()
    loops: list[Loop] = []
    try:
        if settings.telemetry.port:
            serve_health(
                settings.telemetry.host,
                settings.telemetry.port,
                seconds_since_beat=lambda: seconds_since_beat(role),
                ready=lambda: any(loop.ready for loop in loops),
            )
        stage = until_available(build, stop, beat)
        if stage is None:
            return 0
        loops.append(new_loop(settings, role, topics, stage, stop.is_set))
        loops[0].run()
    except _SAID_PLAINLY as error:
        log.error("stopped", why=str(error), kind=type(error).__name__)  # noqa: TRY400
        return 1
    except Exception:
        log.exception("crashed: this is a bug, or an input that nobody thought of")
        return 1
    log.info("stopped")
    return 0
