"""Enrich as a process."""

from opstrail_enrich.enrich_stage import INPUTS, STAGE
from opstrail_enrich.settings import Settings
from opstrail_enrich.wiring import build
from opstrail_runtime.serve import serve_stage


def serve(settings: Settings) -> int:
    """Run until a signal or an error ends it; return the exit code."""
    return serve_stage(STAGE, INPUTS, settings, lambda: build(settings))
