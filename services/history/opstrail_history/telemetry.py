"""What happens in history: metrics and log lines."""

from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter, histogram

_REQUESTS = counter("history_requests", "Requests by route and status.", ("route", "status"))
_SECONDS = histogram("history_request_seconds", "Time to the first byte of an answer.", ("route",))
_EXPORTED = counter("history_exported_events", "Events in downloads.")


@dataclass(frozen=True, slots=True)
class RequestAnswered(Happening):
    """A request was answered. `route` is the pattern, never the path."""

    route: str
    status: int
    seconds: float

    def count(self) -> None:
        """Count and time it."""
        _REQUESTS.labels(self.route, str(self.status)).inc()
        _SECONDS.labels(self.route).observe(self.seconds)


@dataclass(frozen=True, slots=True)
class ExportEnded(Happening):
    """A download is through, or was cut off."""

    level = "info"
    text = "download ended"
    events: int
    complete: bool

    def count(self) -> None:
        """Count its events."""
        _EXPORTED.inc(self.events)


@dataclass(frozen=True, slots=True)
class AuditLogBroken(Happening):
    """The audit log cannot be written: nothing is shown until it can."""

    level = "error"
    text = "the audit log cannot be written: nothing is shown"
    why: str


@dataclass(frozen=True, slots=True)
class AccessFileBroken(Happening):
    """The access file cannot be read: nobody is let in until it can."""

    level = "error"
    text = "the access file cannot be read: nobody is let in"
    why: str
