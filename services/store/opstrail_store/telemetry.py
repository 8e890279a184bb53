"""What happens in store: metrics and log lines."""

from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter, histogram

_DOCUMENTS = counter("store_documents", "Documents by kind and final verdict.", ("kind", "verdict"))
_BULK_REQUESTS = counter("store_bulk_requests", "Bulk requests that were answered.")
_BULK_BYTES = counter("store_bulk_bytes", "Bytes in bulk requests that were answered.")
_BISECTED = counter("store_bulk_bisected", "Bulk requests refused whole and sent in halves.")
_REDUCED = counter("store_forms_reduced", "Documents refused whole and written reduced.")
_BATCH_SECONDS = histogram("store_batch_seconds", "Time from documents to final verdicts.")


@dataclass(frozen=True, slots=True)
class BatchWritten(Happening):
    """A batch has its final verdicts. `verdicts` counts them by (kind, verdict)."""

    verdicts: dict[tuple[str, str], int]
    seconds: float

    def count(self) -> None:
        """Count verdicts, time the batch."""
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
