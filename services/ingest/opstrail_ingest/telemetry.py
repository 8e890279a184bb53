"""What happens in ingest, as metrics and log lines."""

from collections.abc import Mapping
from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter

FILES = counter("files", "Files that split was done with, by what became of them.", ("state",))
FILES_SKIPPED = counter("files_skipped", "Notices of files that were done already.")
FILE_BYTES = counter("file_bytes", "Bytes of the files that were split, uncompressed.")
RECORDS_DEFERRED = counter("records_deferred", "Records kept for later: Insights and the like.")
RECORDS_MASKED = counter("records_masked", "Records in which secrets were replaced.")
OBJECTS_UNAVAILABLE = counter(
    "objects_unavailable", "Tries at objects that could not be read.", ("reason",)
)
NOTICES_UNREADABLE = counter("notices_unreadable", "Messages that are no notice of a file.")
LEDGER_UNREADABLE = counter("ledger_rows_unreadable", "Messages that are no row of the ledger.")


@dataclass(frozen=True, slots=True)
class FilesSplit(Happening):
    """A transaction of split: whole files, or a chunk of one."""

    files: Mapping[str, int]
    skipped: int = 0
    unpacked_bytes: int = 0
    deferred_records: int = 0
    masked_records: int = 0

    def count(self) -> None:
        """Count them."""
        for state, number in self.files.items():
            FILES.labels(state).inc(number)
        FILES_SKIPPED.inc(self.skipped)
        FILE_BYTES.inc(self.unpacked_bytes)
        RECORDS_DEFERRED.inc(self.deferred_records)
        RECORDS_MASKED.inc(self.masked_records)


@dataclass(frozen=True, slots=True)
class FileRefused(Happening):
    """A file is a dead letter, whole or from some byte on; what could be read of it is passed on."""

    level = "error"
    text = "file is a dead letter"
    bucket: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ObjectWaits(Happening):
    """An object cannot be read now; it waits among the dead letters and is tried again."""

    level = "warning"
    text = "object cannot be read, tried again later"
    bucket: str
    key: str
    reason: str
    tries: int

    def count(self) -> None:
        """Count it."""
        OBJECTS_UNAVAILABLE.labels(self.reason).inc()


@dataclass(frozen=True, slots=True)
class ObjectGivenUp(Happening):
    """An object could not be read for so long that it is not tried again by itself."""

    level = "error"
    text = "object cannot be read, given up"
    bucket: str
    key: str
    reason: str
    tries: int

    def count(self) -> None:
        """Count it."""
        OBJECTS_UNAVAILABLE.labels(self.reason).inc()


@dataclass(frozen=True, slots=True)
class NoticeUnreadable(Happening):
    """A message on files.noticed is no notice; it is a dead letter."""

    level = "error"
    text = "message is no notice of a file"
    partition: int
    offset: int

    def count(self) -> None:
        """Count it."""
        NOTICES_UNREADABLE.inc()


@dataclass(frozen=True, slots=True)
class LedgerRowUnreadable(Happening):
    """A message on files.ledger is no row; it is passed over: at worst a file is split again."""

    level = "error"
    text = "message is no row of the ledger"
    partition: int
    offset: int
    why: str

    def count(self) -> None:
        """Count it."""
        LEDGER_UNREADABLE.inc()
