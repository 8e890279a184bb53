"""Ingest's two roles as processes: split, driven by the loop, and discover, which has none."""

import os
from collections.abc import Callable

import structlog

from opstrail_ingest.notices import STAGE as DISCOVER
from opstrail_ingest.patience import Stopped
from opstrail_ingest.places import BadSource
from opstrail_ingest.settings import Settings
from opstrail_ingest.split_stage import STAGE as SPLIT
from opstrail_ingest.wiring import build_split
from opstrail_runtime import failpoints
from opstrail_runtime.health import serve_health
from opstrail_runtime.kafka_errors import KafkaRefuses
from opstrail_runtime.serve import StopSignal, configure_logs, serve_stage, shown
from opstrail_runtime.telemetry import LoopBeat, emit, seconds_since_beat
from opstrail_schemas.registry import NotRegistered
from opstrail_schemas.topics import TopicName

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
log = structlog.get_logger("opstrail")


def serve_split(settings: Settings) -> int:
    """Run split until a signal or an error ends it; return the exit code."""
    return serve_stage(SPLIT, [TopicName.FILES_NOTICED], settings, lambda: build_split(settings))


def serve_discover(
    settings: Settings, act: Callable[[StopSignal], int], *, stopped: int = DONE
) -> int:
    """Run discover until it is done, or a signal or an error ends it; return the exit code.

    `stopped` is the code after a stop signal: 0 for what goes on forever, 130 for what had an end.
    """
    configure_logs(settings.telemetry)
    structlog.contextvars.bind_contextvars(service=DISCOVER)
    stop = StopSignal()
    stop.listen()
    failpoints.arm(DISCOVER, os.environ)
    log.info("starting", settings=shown(settings))
    emit(LoopBeat(DISCOVER))
    if settings.telemetry.port:
        serve_health(
            settings.telemetry.host,
            settings.telemetry.port,
            seconds_since_beat=lambda: seconds_since_beat(DISCOVER),
            ready=lambda: True,
        )
    try:
        return act(stop)
    except Stopped:
        log.info("stopped")
        return stopped
    except BadSource as error:
        log.error("stopped", why=str(error), kind="BadSource")  # noqa: TRY400
        return USAGE
    except (KafkaRefuses, NotRegistered) as error:
        log.error("stopped", why=str(error), kind=type(error).__name__)  # noqa: TRY400
        return FAILED
    except Exception:
        log.exception("crashed: this is a bug, or an input that nobody thought of")
        return FAILED
