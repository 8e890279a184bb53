"""Whether a backfill may add files now, by how far the services are behind (PURE)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EVENTS_IN_A_FILE = 100  # what a notice that split has not read yet counts for


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events a service has yet to do, at a time."""

    service: str
    events: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Politeness:
    """The bounds: a service within either of them is not too far behind.

    So a slow installation always has work in hand, and a fast one is not held up by a number.
    """

    most_events: int = 20_000
    most_drain_s: float = 2.0

    def too_far(self, lags: Sequence[Lag], earlier: Mapping[str, Lag]) -> Lag | None:
        """Return the first service that is too far behind; None: go on."""
        return next((lag for lag in lags if self._is_too_far(lag, earlier.get(lag.service))), None)

    def _is_too_far(self, lag: Lag, earlier: Lag | None) -> bool:
        if lag.events <= self.most_events:
            return False
        rate = 0.0 if earlier is None else _events_per_s(earlier, lag)
        return lag.events > rate * self.most_drain_s


def _events_per_s(earlier: Lag, lag: Lag) -> float:
    """Return what the service does at least: meanwhile, events may also have been added."""
    seconds = lag.at_s - earlier.at_s
    return max(0.0, earlier.events - lag.events) / seconds if seconds > 0 else 0.0
