"""Finds files and writes notices: lists a source to its end, or follows a queue and what is due.

    source -> findings -> [gate] -> notices and dead letters -> Kafka acknowledges all of them
    queue  -> messages -> told apart -> the same                -> only then deleted

Nothing is remembered between two runs: a file that is noticed twice is known to split's ledger.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.folder_source import LeftOut
from opstrail_ingest.notices import Notices, NoticeWriter
from opstrail_ingest.notification import Found, Ignored, read_notification
from opstrail_ingest.patience import Patiently, Stopped, StopPulse
from opstrail_ingest.retries import Retries
from opstrail_ingest.sqs_source import Received, SqsSource
from opstrail_ingest.telemetry import (
    FileLeftOut,
    FilesNoticed,
    NotificationRefused,
    NotificationsRead,
    SourceListed,
)
from opstrail_runtime.errors import InvalidRecord, Unavailable
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.stage import Output, Pulse
from opstrail_runtime.telemetry import emit
from opstrail_schemas.messages import FileNotice

Finding = FileNotice | LeftOut
EMPTY_ANSWERS_AT_THE_END = 2  # SQS may answer "nothing" although there is something: ask twice


def open_gate(_pulse: StopPulse) -> None:
    """Let everything through."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What came of a source: files noticed, left out, and among the dead letters."""

    files: int = 0
    left_out: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Written:
    """Messages to write together, and what they are."""

    outputs: list[Output] = field(default_factory=list)
    notices: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def notice(self, output: Output, source: str) -> None:
        self.outputs.append(output)
        self.notices[source] += 1

    def letter(self, output: Output, reason: str) -> None:
        self.outputs.append(output)
        self.dead[reason] += 1


@dataclass(frozen=True, slots=True)
class Notifications:
    """A queue, the buckets that its messages may name, and how many are taken together."""

    queue: SqsSource
    allowed: AllowedBuckets
    most: int = 100


@dataclass(frozen=True, slots=True)
class Discover:
    """Writes what is found, and waits while Kafka or the source is away. `pulse` ends it."""

    notices: Notices
    writer: NoticeWriter
    pulse: StopPulse
    patiently: Patiently
    now_ms: Callable[[], int]

    def once(
        self,
        findings: Iterable[Finding],
        *,
        gate: Callable[[StopPulse], None] = open_gate,
        most: int = 200,
    ) -> Listed:
        """Notice all that is found, `most` at a time, each time when the gate is open."""
        files = left_out = dead = 0
        for some in _chunks(findings, most):
            gate(self.pulse)
            written = _Written()
            for finding in some:
                self._add_finding(finding, written)
            self._write(written, self.pulse)
            pass_by("after-notices")
            noticed = written.notices.total()
            files += noticed
            dead += written.dead.total()
            left_out += len(some) - noticed
        emit(SourceListed(files, left_out, dead))
        return Listed(files, left_out, dead)

    def drain(self, notifications: Notifications) -> Listed:
        """Take messages until the queue is empty."""
        files = dead = empty = 0
        while empty < EMPTY_ANSWERS_AT_THE_END:
            written = self.take(notifications)
            files += written.files
            dead += written.dead
            empty = 0 if written.messages else empty + 1
        emit(SourceListed(files, 0, dead))
        return Listed(files, 0, dead)

    def forever(
        self,
        notifications: Notifications | None,
        retries: Retries,
        *,
        retry_poll_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Follow the queue, if there is one, and notice files again when they are due."""
        retry_at_s = monotonic()
        while True:
            self.pulse.beat()
            if notifications is None:
                self.pulse.pause(max(0.0, retry_at_s - monotonic()))
            else:
                self.take(notifications)
            if monotonic() >= retry_at_s:
                self.retry(retries)
                retry_at_s = monotonic() + retry_poll_s

    def take(self, notifications: Notifications) -> "Taken":
        """Take messages, write what they say, and delete them once all of it is acknowledged."""
        queue = notifications.queue
        received = self.patiently(lambda: queue.receive(most=notifications.most), self.pulse)
        if not received:
            return Taken()
        pass_by("after-receive")
        written = _Written()
        kinds: Counter[str] = Counter()
        for message in received:
            self._add_message(message, notifications, written, kinds)
        emit(NotificationsRead(kinds))
        holding = queue.holding(received, self.pulse)
        try:
            self._write(written, holding)
            pass_by("before-delete")
            self.patiently(lambda: queue.delete(received), holding)
        except Stopped:
            _give_back(queue, received)
            raise
        pass_by("after-delete")
        return Taken(len(received), written.notices.total(), written.dead.total())

    def retry(self, retries: Retries) -> int:
        """Notice again the files that are due; return how many."""
        now_ms = self.now_ms()
        due = self.patiently(lambda: retries.due(now_ms, self.pulse), self.pulse)
        if due:
            written = _Written()
            for notice in due:
                written.notice(self.notices.notice(notice), notice.source)
            self._write(written, self.pulse)
            pass_by("after-retries")
            retries.noticed(due)
        return len(due)

    def _write(self, written: _Written, pulse: Pulse) -> None:
        if written.outputs:
            self.patiently(lambda: self.writer.write(written.outputs), pulse)
        emit(FilesNoticed(written.notices, written.dead))

    def _add_finding(self, finding: Finding, written: _Written) -> None:
        match finding:
            case FileNotice():
                written.notice(self.notices.notice(finding), finding.source)
            case LeftOut():
                emit(FileLeftOut(finding.path, finding.why))
                if finding.why == "unreadable":
                    letter = self.notices.refused_file(
                        key=finding.key,
                        path=finding.path,
                        why=finding.detail,
                        now_ms=self.now_ms(),
                    )
                    written.letter(letter, "file-unreadable")
            case _:
                assert_never(finding)

    def _add_message(
        self,
        message: Received,
        notifications: Notifications,
        written: _Written,
        kinds: Counter[str],
    ) -> None:
        queue = notifications.queue.name
        try:
            said = read_notification(message.body)
        except InvalidRecord as error:
            kinds["refused"] += 1
            self._add_refused(message, error, queue, written)
            return
        match said:
            case Ignored(kind):
                kinds[kind] += 1
            case Found(objects, refused):
                kinds[objects[0].source] += 1
                if refused:
                    self._add_refused(message, refused[0], queue, written)
                for seen in objects:
                    if seen.bucket in notifications.allowed:
                        output = self.notices.of_seen(seen, now_ms=self.now_ms())
                        written.notice(output, seen.source)
                    else:
                        letter = self.notices.refused_bucket(
                            seen, queue=queue, now_ms=self.now_ms()
                        )
                        written.letter(letter, "bucket-not-allowed")
                        emit(NotificationRefused(queue, message.message_id, "bucket-not-allowed"))
            case _:
                assert_never(said)

    def _add_refused(
        self, message: Received, error: InvalidRecord, queue: str, written: _Written
    ) -> None:
        letter = self.notices.refused_message(
            error, message.body, queue=queue, message_id=message.message_id, now_ms=self.now_ms()
        )
        written.letter(letter, error.reason)
        emit(NotificationRefused(queue, message.message_id, error.reason))


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one look into the queue."""

    messages: int = 0
    files: int = 0
    dead: int = 0


def _give_back(queue: SqsSource, received: list[Received]) -> None:
    try:
        queue.give_back(received)
    except Unavailable:
        return  # they come again by themselves when their time is over


def _chunks(findings: Iterable[Finding], most: int) -> Iterator[list[Finding]]:
    some: list[Finding] = []
    for finding in findings:
        some.append(finding)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some
