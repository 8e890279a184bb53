"""What happens, said once: a metric and, where a person should know, a log line.

A `Happening` names what happened; `emit` counts and logs it. Metrics are declared here and in the
`telemetry.py` of each service, nowhere else, with bounded labels: never an account, a key or a
message. Log levels go by consequence: error = data lost or somebody must act; warning = odd, and
recovered; info = start, stop, assignment, progress.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

import structlog
from prometheus_client import Counter, Gauge, Histogram

from opstrail_schemas.topics import TopicName

_log = structlog.get_logger("opstrail")
PREFIX = "opstrail_"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
    """Declare a counter; its name gets the prefix, and `_total` at the end."""
    return Counter(PREFIX + name, text, labels)


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
    """Declare a gauge."""
    return Gauge(PREFIX + name, text, labels)


def histogram(name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
    """Declare a histogram of seconds."""
    return Histogram(PREFIX + name, text, labels, buckets=SECONDS)


class Happening:
    """Something worth counting or logging. Subclasses are frozen dataclasses."""

    level: ClassVar[Literal["info", "warning", "error"] | None] = None
    text: ClassVar[str] = ""

    def count(self) -> None:
        """Update the metrics."""


def emit(happening: Happening) -> None:
    """Count what happened, and log it where it has a level."""
    happening.count()
    if happening.level is not None:
        values = {f.name: getattr(happening, f.name) for f in fields(happening)}  # type: ignore[arg-type]
        getattr(_log, happening.level)(happening.text, **values)


RECORDS_IN = counter("records_in", "Records that came in.", ("stage",))
RECORDS_OUT = counter("records_out", "Records passed on or stored.", ("stage",))
RECORDS_ALREADY_THERE = counter(
    "records_already_there",
    "Records that had come before: skipped files, repeats, 409.",
    ("stage",),
)
RECORDS_DEAD = counter("records_dead", "Records that became dead letters.", ("stage", "reason"))
RECORDS_FILTERED = counter("records_filtered", "Records left out by a rule.", ("stage",))
RECORDS_EXPIRED = counter(
    "records_expired", "Records older than the retention horizon.", ("stage",)
)
DEAD_LETTERS = counter(
    "dead_letters", "Dead letters written: records, files and messages.", ("stage", "reason")
)
TRANSACTIONS = counter("transactions", "Kafka transactions by outcome.", ("stage", "outcome"))
COMMIT_SECONDS = histogram("transaction_seconds", "Time from begin to commit.", ("stage",))
LOOP_BEAT = gauge("loop_beat_timestamp_seconds", "When the loop last polled.", ("stage",))
_beats: dict[str, float] = {}  # the same on the clock that nobody sets
ASSIGNED = counter("partitions_assigned", "Partitions assigned.", ("stage",))
REVOKED = counter("partitions_revoked", "Partitions taken away.", ("stage",))
SET_ASIDE = counter("inputs_set_aside", "Inputs that killed the process three times.", ("stage",))
WAITS = counter("waits", "Times that a dependency was waited for.", ("stage",))
RESTORE_SECONDS = histogram("restore_seconds", "Time to restore state.", ("stage", "state"))
LAG = gauge(
    "consumer_lag_records",
    "Records that a process has yet to take of the partitions that it holds.",
    ("stage", "topic"),
)
BUILD_INFO = gauge("build_info", "1; the labels tell what runs.", ("version", "python"))


@dataclass(frozen=True, slots=True)
class RecordsCounted(Happening):
    """The balance of a batch: came = out + already there + dead + filtered + expired."""

    stage: str
    came: int = 0
    out: int = 0
    already_there: int = 0
    filtered: int = 0
    expired: int = 0
    dead: Mapping[str, int] = field(default_factory=dict)

    def count(self) -> None:
        """Add to the counters that reconcile."""
        RECORDS_IN.labels(self.stage).inc(self.came)
        RECORDS_OUT.labels(self.stage).inc(self.out)
        RECORDS_ALREADY_THERE.labels(self.stage).inc(self.already_there)
        RECORDS_FILTERED.labels(self.stage).inc(self.filtered)
        RECORDS_EXPIRED.labels(self.stage).inc(self.expired)
        for reason, number in self.dead.items():
            RECORDS_DEAD.labels(self.stage, reason).inc(number)


@dataclass(frozen=True, slots=True)
class DeadLettersWritten(Happening):
    """Inputs did not get through; they are among the dead letters, with the reason."""

    level = "warning"
    text = "dead letters written"
    stage: str
    reasons: Mapping[str, int]

    def count(self) -> None:
        """Count them by reason."""
        for reason, number in self.reasons.items():
            DEAD_LETTERS.labels(self.stage, reason).inc(number)


@dataclass(frozen=True, slots=True)
class LoopBeat(Happening):
    """The loop polled: it lives."""

    stage: str

    def count(self) -> None:
        """Set the time of the beat."""
        LOOP_BEAT.labels(self.stage).set(time.time())
        _beats[self.stage] = time.monotonic()


def seconds_since_beat(stage: str) -> float:
    """Return how long ago the loop last polled, whatever was done to the clock of the machine."""
    return time.monotonic() - _beats[stage]


@dataclass(frozen=True, slots=True)
class TransactionCommitted(Happening):
    """Outputs and offsets are durable."""

    stage: str
    outputs: int
    seconds: float

    def count(self) -> None:
        """Count and time it."""
        TRANSACTIONS.labels(self.stage, "committed").inc()
        COMMIT_SECONDS.labels(self.stage).observe(self.seconds)


@dataclass(frozen=True, slots=True)
class TransactionAborted(Happening):
    """A batch is read again: partitions moved, or a transaction did not end for certain."""

    level = "warning"
    text = "batch is read again"
    stage: str
    why: str

    def count(self) -> None:
        """Count it."""
        TRANSACTIONS.labels(self.stage, "aborted").inc()


@dataclass(frozen=True, slots=True)
class PartitionsAssigned(Happening):
    """Partitions came; their state is restored next."""

    level = "info"
    text = "partitions assigned"
    stage: str
    partitions: int

    def count(self) -> None:
        """Count them."""
        ASSIGNED.labels(self.stage).inc(self.partitions)


@dataclass(frozen=True, slots=True)
class PartitionsRevoked(Happening):
    """Partitions went."""

    level = "info"
    text = "partitions revoked"
    stage: str
    partitions: int

    def count(self) -> None:
        """Count them."""
        REVOKED.labels(self.stage).inc(self.partitions)


@dataclass(frozen=True, slots=True)
class StateRestored(Happening):
    """State was read back before the first record."""

    level = "info"
    text = "state restored"
    stage: str
    state: str
    entries: int
    seconds: float

    def count(self) -> None:
        """Time it."""
        RESTORE_SECONDS.labels(self.stage, self.state).observe(self.seconds)


@dataclass(frozen=True, slots=True)
class LagSeen(Happening):
    """How far a process is behind, by topic."""

    stage: str
    records: Mapping[TopicName, int]

    def count(self) -> None:
        """Show it."""
        for topic, number in self.records.items():
            LAG.labels(self.stage, topic).set(number)


@dataclass(frozen=True, slots=True)
class Started(Happening):
    """The process serves its metrics."""

    version: str
    python: str

    def count(self) -> None:
        """Show what runs."""
        BUILD_INFO.labels(self.version, self.python).set(1)


@dataclass(frozen=True, slots=True)
class RecordSetAside(Happening):
    """An input killed the process three times and is a dead letter now."""

    level = "error"
    text = "input set aside: it killed the process three times"
    stage: str
    topic: str
    offset: int

    def count(self) -> None:
        """Count it."""
        SET_ASIDE.labels(self.stage).inc()


@dataclass(frozen=True, slots=True)
class Waiting(Happening):
    """A dependency is away."""

    level = "warning"
    text = "waiting"
    stage: str
    why: str
    wait_s: float

    def count(self) -> None:
        """Count it."""
        WAITS.labels(self.stage).inc()
