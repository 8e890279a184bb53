"""What happens in ingest, as metrics and log lines."""

from collections.abc import Mapping
from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter, gauge

FILES = counter("files", "Files that split was done with, by what became of them.", ("state",))
FILES_SKIPPED = counter("files_skipped", "Notices of files that were done already.")
FILE_BYTES = counter("file_bytes", "Bytes of the files that were split, uncompressed.")
RECORDS_DEFERRED = counter("records_deferred", "Records kept for later: Insights and the like.")
BUCKET_RESTS = counter("bucket_rests", "Times that a bucket was left alone for a while.")
RECORDS_MASKED = counter("records_masked", "Records in which secrets were replaced.")
OBJECTS_UNAVAILABLE = counter(
    "objects_unavailable", "Tries at objects that could not be read.", ("reason",)
)
NOTICES_UNREADABLE = counter("notices_unreadable", "Messages that are no notice of a file.")
NOTIFICATIONS = counter(
    "notifications", "Messages from the queue, by what they are; refused: dead letters.", ("kind",)
)
NOTICES = counter("notices", "Notices of files that Kafka has acknowledged.", ("source",))
MESSAGES_DELETED = counter("messages_deleted", "Messages deleted from the queue.", ("outcome",))
VISIBILITY = counter("visibility_changes", "Messages kept longer, or given back.", ("outcome",))
FILES_LEFT_OUT = counter("files_left_out", "Files of a folder that are not noticed.", ("why",))
DISCOVER_DEAD = counter("discover_dead", "Dead letters of discover.", ("reason",))
RETRIES_WAITING = gauge("retries_waiting", "Files that wait to be tried again.")
BACKFILL_PAUSED = gauge("backfill_paused", "1 while a backfill waits for the services.")
OLDEST_NOTICE = gauge(
    "split_oldest_notice_timestamp_seconds",
    "When the oldest notice of the batch at hand was written; half of its retention is an alarm.",
)
LEDGER_UNREADABLE = counter("ledger_rows_unreadable", "Messages that are no row of the ledger.")


@dataclass(frozen=True, slots=True)
class NoticesTaken(Happening):
    """A batch of notices was taken; `oldest_ms` is when the oldest of them was written."""

    oldest_ms: int

    def count(self) -> None:
        """Show it."""
        OLDEST_NOTICE.set(self.oldest_ms / 1000)


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
    """A file is a dead letter, or a part of it; what could be read is passed on."""

    level = "error"
    text = "file is a dead letter"
    bucket: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExtraData(Happening):
    """Bytes follow the first gzip member of a file. They were read like the rest."""

    level = "warning"
    text = "file goes on after its first gzip member; AWS's own validation would refuse it"
    bucket: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class BucketTroubled(Happening):
    """A bucket cannot be read from: its objects wait, and it is asked again after a rest."""

    level = "warning"
    text = "bucket cannot be read from; its objects wait while it rests"
    bucket: str
    rest_s: float

    def count(self) -> None:
        """Count its rests."""
        BUCKET_RESTS.inc()


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


@dataclass(frozen=True, slots=True)
class NotificationsRead(Happening):
    """Messages were told apart."""

    kinds: Mapping[str, int]

    def count(self) -> None:
        """Count them."""
        for kind, number in self.kinds.items():
            NOTIFICATIONS.labels(kind).inc(number)


@dataclass(frozen=True, slots=True)
class FilesNoticed(Happening):
    """Kafka acknowledged what discover wrote."""

    notices: Mapping[str, int]
    dead: Mapping[str, int]

    def count(self) -> None:
        """Count notices by source, dead letters by reason."""
        for source, number in self.notices.items():
            NOTICES.labels(source).inc(number)
        for reason, number in self.dead.items():
            DISCOVER_DEAD.labels(reason).inc(number)


@dataclass(frozen=True, slots=True)
class NotificationRefused(Happening):
    """A message is a dead letter, whole or in part."""

    level = "error"
    text = "notification is a dead letter"
    queue: str
    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class MessagesDeleted(Happening):
    """Messages are done. One that was not deleted comes again, and costs a look at the ledger."""

    deleted: int
    failed: int

    def count(self) -> None:
        """Count them."""
        MESSAGES_DELETED.labels("deleted").inc(self.deleted)
        MESSAGES_DELETED.labels("failed").inc(self.failed)


@dataclass(frozen=True, slots=True)
class VisibilityChanged(Happening):
    """Messages stay ours for longer, or were given back. Those that failed come again."""

    changed: int
    failed: int

    def count(self) -> None:
        """Count them."""
        VISIBILITY.labels("changed").inc(self.changed)
        VISIBILITY.labels("failed").inc(self.failed)


@dataclass(frozen=True, slots=True)
class FileLeftOut(Happening):
    """A file, or what stands in a folder like one, is not noticed."""

    level = "warning"
    text = "left out"
    path: str
    why: str

    def count(self) -> None:
        """Count it."""
        FILES_LEFT_OUT.labels(self.why).inc()


@dataclass(frozen=True, slots=True)
class SourceListed(Happening):
    """A source was listed to its end."""

    level = "info"
    text = "listed to its end"
    files: int
    left_out: int
    dead: int


@dataclass(frozen=True, slots=True)
class RetriesWait(Happening):
    """Files wait among the dead letters for their time."""

    waiting: int

    def count(self) -> None:
        """Show it."""
        RETRIES_WAITING.set(self.waiting)


@dataclass(frozen=True, slots=True)
class BackfillPaused(Happening):
    """A backfill waits, so that new files do not."""

    level = "info"
    text = "backfill waits for a service"
    service: str
    behind: int

    def count(self) -> None:
        """Show it."""
        BACKFILL_PAUSED.set(1)


@dataclass(frozen=True, slots=True)
class BackfillGoesOn(Happening):
    """A backfill goes on."""

    level = "info"
    text = "backfill goes on"

    def count(self) -> None:
        """Show it."""
        BACKFILL_PAUSED.set(0)


@dataclass(frozen=True, slots=True)
class DeadLetterUnreadable(Happening):
    """A message on dead-letters is no dead letter; discover passes over it."""

    level = "error"
    text = "message is no dead letter"
    partition: int
    offset: int
    why: str
