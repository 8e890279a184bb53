"""Runs store as a process."""

from opstrail_runtime.serve import serve_stage
from opstrail_runtime.wiring import new_registry
from opstrail_store.settings import Settings
from opstrail_store.store_stage import STAGE, TOPICS
from opstrail_store.wiring import build


def serve(settings: Settings) -> int:
    """Run until a signal or an error ends it; return the exit code."""
    registry = new_registry(settings.registry)
    return serve_stage(STAGE, TOPICS, settings, lambda: build(settings, registry))
