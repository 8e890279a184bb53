"""What happens in store: metrics and log lines."""

from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter, gauge, histogram

_DOCUMENTS = counter("store_documents", "Documents by kind and final verdict.", ("kind", "verdict"))
_BULK_REQUESTS = counter("store_bulk_requests", "Bulk requests that were answered.")
_BULK_BYTES = counter("store_bulk_bytes", "Bytes in bulk requests that were answered.")
_BISECTED = counter("store_bulk_bisected", "Bulk requests refused whole and sent in halves.")
_REDUCED = counter("store_forms_reduced", "Documents refused whole and written reduced.")
_NEWEST_EVENT = gauge(
    "store_newest_event_timestamp_seconds",
    "Event time of the newest event that the process stored: freshness. Not one of the future.",
)
_HORIZON = gauge(
    "store_retention_horizon_timestamp_seconds",
    "Events older than this are expired; 0 where retention has closed nothing.",
)
_OLDEST_PERIOD = gauge(
    "store_oldest_period_timestamp_seconds",
    "Begin of the oldest month or day that has an index; its age is how long events are kept.",
)
_REREAD_SENT = counter("reread_events_sent", "Events that a repair sent back through enrich.")
_REREAD_EXAMINED = gauge("reread_documents_examined", "Documents that the repair has looked at.")
_BATCH_SECONDS = histogram("store_batch_seconds", "Time from documents to final verdicts.")


class _Newest:
    """The newest event time so far: a backfill does not make the store look older."""

    def __init__(self) -> None:
        self.ms = 0

    def take(self, event_ms: int) -> None:
        self.ms = max(self.ms, event_ms)


_newest = _Newest()


@dataclass(frozen=True, slots=True)
class HorizonKnown(Happening):
    """Before which event time retention has closed the store; None: nowhere."""

    horizon_ms: int | None

    def count(self) -> None:
        """Show it."""
        _HORIZON.set((self.horizon_ms or 0) / 1000)


@dataclass(frozen=True, slots=True)
class OldestPeriodSeen(Happening):
    """How far the indices of events go back; None: there is none with a date."""

    begins_ms: int | None

    def count(self) -> None:
        """Show it."""
        _OLDEST_PERIOD.set((self.begins_ms or 0) / 1000)


@dataclass(frozen=True, slots=True)
class HorizonMoved(Happening):
    """Retention has recorded another horizon: from now on, older events are expired."""

    level = "info"
    text = "retention: periods closed"
    alias: str
    before: str
    was: str | None


@dataclass(frozen=True, slots=True)
class IndexDeleted(Happening):
    """Retention has deleted an index of events."""

    level = "info"
    text = "retention: index deleted"
    index: str
    documents: int | None
    size_bytes: int | None
    before: str


@dataclass(frozen=True, slots=True)
class RowsDeleted(Happening):
    """Retention has deleted old rows of files, or old dead letters."""

    level = "info"
    text = "retention: documents deleted"
    index: str
    documents: int
    before: str


@dataclass(frozen=True, slots=True)
class EventsReread(Happening):
    """A repair sent events back."""

    sent: int
    examined: int

    def count(self) -> None:
        """Show how far it is."""
        _REREAD_SENT.inc(self.sent)
        _REREAD_EXAMINED.set(self.examined)


@dataclass(frozen=True, slots=True)
class BatchWritten(Happening):
    """A batch has its final verdicts. `verdicts` counts them by (kind, verdict)."""

    verdicts: dict[tuple[str, str], int]
    seconds: float
    newest_event_ms: int | None = None

    def count(self) -> None:
        """Count verdicts, time the batch, show how fresh the store is."""
        if self.newest_event_ms is not None:
            _newest.take(self.newest_event_ms)
            _NEWEST_EVENT.set(_newest.ms / 1000)
        for (kind, verdict), number in self.verdicts.items():
            _DOCUMENTS.labels(kind, verdict).inc(number)
        _BATCH_SECONDS.observe(self.seconds)


@dataclass(frozen=True, slots=True)
class BulkAnswered(Happening):
    """A bulk request was answered."""

    documents: int
    size_bytes: int

    def count(self) -> None:
        """Count requests and bytes."""
        _BULK_REQUESTS.inc()
        _BULK_BYTES.inc(self.size_bytes)


@dataclass(frozen=True, slots=True)
class RequestBisected(Happening):
    """A whole request was refused: one of its documents spoils it, or it is too large."""

    level = "warning"
    text = "bulk request refused whole: sent in halves"
    documents: int
    why: str

    def count(self) -> None:
        """Count it."""
        _BISECTED.inc()


@dataclass(frozen=True, slots=True)
class FormReduced(Happening):
    """OpenSearch refused a record as it is; its reduced form follows."""

    def count(self) -> None:
        """Count it."""
        _REDUCED.inc()


@dataclass(frozen=True, slots=True)
class DeadLetterNotIndexed(Happening):
    """OpenSearch refuses a dead letter: it stays on its topic alone."""

    level = "error"
    text = "a dead letter cannot be indexed: it is on its topic alone"
    partition: int
    offset: int
    why: str
