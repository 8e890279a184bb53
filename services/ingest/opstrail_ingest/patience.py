"""Waiting for what is away, outside of the loop: discover has no partitions to hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Pulse
from opstrail_runtime.telemetry import LoopBeat, Waiting, emit

T = TypeVar("T")


class Stopped(Exception):
    """A stop was asked for."""


class Stop(Protocol):
    """Says whether a stop was asked for."""

    def is_set(self) -> bool:
        """Return whether one was."""

    def wait(self, seconds: float) -> bool:
        """Sleep; return True at once when one is asked for."""


@dataclass(frozen=True, slots=True)
class StopPulse:
    """A pulse that raises Stopped as soon as a stop is asked for."""

    stage: str
    stop: Stop

    def beat(self) -> None:
        """Tell that the process lives."""
        emit(LoopBeat(self.stage))
        if self.stop.is_set():
            raise Stopped

    def wait(self, seconds: float, *, why: str) -> None:
        """Sleep, and say what is waited for."""
        emit(Waiting(self.stage, why, seconds))
        self.pause(seconds)

    def pause(self, seconds: float) -> None:
        """Sleep without a word."""
        if self.stop.wait(seconds):
            raise Stopped
        self.beat()


@dataclass(frozen=True, slots=True)
class Patiently:
    """Repeats a call while what it needs is away."""

    backoff: Backoff

    def __call__(self, call: Callable[[], T], pulse: Pulse) -> T:
        """Return what the call returns, in the end. Only the pulse ends the waiting."""
        attempt = 0
        while True:
            try:
                return call()
            except Unavailable as away:
                attempt += 1
                pulse.wait(self.backoff.wait_s(attempt), why=str(away))
