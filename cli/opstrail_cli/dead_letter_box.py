"""The dead letters as they are now, and the messages that they are about."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from opstrail_cli.dead_letter_retry import (
    FileAgain,
    Filed,
    Filter,
    MessageAgain,
    NoRetry,
    Retry,
    notices,
    retry_of,
)
from opstrail_runtime.codecs import decoded
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.log import Log
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Output, Partition, Pulse, Record
from opstrail_schemas.codec import BadMessage, Codec
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, FileNotice, RawEvent
from opstrail_schemas.topics import TopicName

_MOST_OUTPUTS, _MOST_BYTES = 2_000, 8_000_000  # in one transaction


class Writer(Protocol):
    """Writes messages in transactions."""

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write them, all or none. The first call takes the slot, and fences who had it."""

    def close(self) -> None:
        """Let go of the slot."""


@dataclass(frozen=True, slots=True)
class BoxCodecs:
    """The codecs of the letters and of the messages that are sent again."""

    letters: Codec[DeadLetter]
    notices: Codec[FileNotice]
    raw: Codec[RawEvent]
    reread: Codec[RawEvent]
    enriched: Codec[EnrichedEvent]
    repaired: Codec[EnrichedEvent]

    def again(self, record: Record, to: TopicName) -> bytes:
        """Return a message's value for the topic it is sent to. Raises InvalidRecord.

        What its stage could not read then and cannot read now would only fail once more.
        """
        match record.partition.topic:
            case TopicName.FILES_NOTICED:
                decoded(self.notices, record)
            case TopicName.EVENTS_RAW:
                decoded(self.raw, record)
            case TopicName.EVENTS_REREAD:
                decoded(self.reread, record)
            case TopicName.EVENTS_ENRICHED if to is TopicName.EVENTS_REPAIRED:
                return self.repaired.encode(decoded(self.enriched, record))
            case TopicName.EVENTS_REPAIRED:
                decoded(self.repaired, record)
            case other:
                raise AssertionError(f"messages of {other} are not sent again")
        return record.value or b""


@dataclass(slots=True)
class DeadLetterBox:
    """Reads dead letters, plans retries, and carries them out.

    A letter about a message leaves in the transaction that sends its message again: whatever is
    killed, and when, either both happened or neither. A second retry under way fences the first.
    """

    log: Log
    writer: Writer
    codecs: BoxCodecs
    pulse: Pulse
    now_ms: Callable[[], int]
    allowed_buckets: frozenset[str] = frozenset()
    unreadable: int = field(default=0, init=False)

    def letters(self, wanted: Filter) -> list[Filed]:
        """Return the letters that are meant and not mended, the oldest failure first.

        Raises Unavailable. Counts in `unreadable` messages that are no letters.
        """
        found: dict[str, Filed] = {}
        self.unreadable = 0
        for key, letter in self._messages():
            filed = None if letter is None else Filed(key, letter)
            if filed is None or not wanted.takes(filed):
                found.pop(key, None)
            elif wanted.keys:
                found[key] = filed
            else:  # texts are up to 64 KiB each: only letters that are asked for by key keep them
                found[key] = Filed(key, msgspec.structs.replace(filed.letter, text=None))
        return sorted(found.values(), key=lambda filed: (filed.letter.failed_at, filed.key))

    def plan(self, wanted: Filter) -> list[Retry]:
        """Return how each letter that is meant is tried again; the messages are looked at."""
        return [retry for retry, _ in self._planned(wanted)]

    def retry(self, wanted: Filter, *, newest_version: bool = False) -> list[Retry]:
        """Plan anew and carry it out. Raises Unavailable, Fenced, OutcomeUnknown: run it again."""
        # Taking the slot settles what an earlier retry left open: what is read now is all of it.
        self.writer.commit((), {}, Lease(0))
        planned = self._planned(wanted)
        files = [retry for retry, _ in planned if isinstance(retry, FileAgain)]
        outputs = [
            [self._noticed(notice)]
            for notice in notices(files, now_ms=self.now_ms(), newest_version=newest_version)
        ]
        outputs += [
            [output, Output(TopicName.DEAD_LETTERS, retry.filed.key.encode(), None)]
            for retry, output in planned
            if output is not None
        ]
        for some in _transactions(outputs):
            pass_by("before-transaction")
            self.writer.commit(some, {}, Lease(0))
            pass_by("after-commit")
        return [retry for retry, _ in planned]

    def _noticed(self, notice: FileNotice) -> Output:
        key = file_key(notice.bucket, notice.key)
        return Output(TopicName.FILES_NOTICED, key, self.codecs.notices.encode(notice))

    def _planned(self, wanted: Filter) -> list[tuple[Retry, Output | None]]:
        """Return retries, with the message to send where there is one."""
        retries = [
            retry_of(filed, allowed_buckets=self.allowed_buckets) for filed in self.letters(wanted)
        ]
        records = self._records([r.place for r in retries if isinstance(r, MessageAgain)])
        return [
            self._checked(retry, records.get(retry.place))
            if isinstance(retry, MessageAgain)
            else (retry, None)
            for retry in retries
        ]

    def _checked(self, retry: MessageAgain, record: Record | None) -> tuple[Retry, Output | None]:
        if record is None:
            why = "its message is gone from the topic: read its file again (`ingest replay`)"
            return NoRetry(retry.filed, why), None
        try:
            value = self.codecs.again(record, retry.to)
        except InvalidRecord as error:
            return NoRetry(retry.filed, f"it would fail again: {error.message}"), None
        return retry, Output(retry.to, record.key or b"", value)

    def _records(
        self, places: Sequence[tuple[Partition, int]]
    ) -> dict[tuple[Partition, int], Record]:
        """Read the messages at these places; those that are gone are missing."""
        by_partition: dict[Partition, set[int]] = {}
        for partition, offset in places:
            by_partition.setdefault(partition, set()).add(offset)
        found = {}
        for partition, offsets in by_partition.items():
            last = max(offsets)
            for record in self.log.read(partition, self.pulse, start=min(offsets)):
                if record.offset in offsets:
                    found[partition, record.offset] = record
                if record.offset >= last:
                    break
        return found

    def _messages(self) -> Iterator[tuple[str, DeadLetter | None]]:
        for number in range(self.log.partition_count(TopicName.DEAD_LETTERS)):
            for record in self.log.read(Partition(TopicName.DEAD_LETTERS, number), self.pulse):
                try:
                    key = (record.key or b"").decode()
                    letter = None if record.value is None else self._letter(record.value)
                except (BadMessage, UnicodeDecodeError):
                    self.unreadable += 1
                else:
                    yield key, letter

    def _letter(self, value: bytes) -> DeadLetter:
        return self.codecs.letters.decode(value)


def _transactions(groups: Sequence[Sequence[Output]]) -> Iterator[list[Output]]:
    """Gather outputs into transactions of bounded size; a group is never torn."""
    some: list[Output] = []
    size = 0
    for group in groups:
        of_group = sum(len(output.value or b"") for output in group)
        if some and (len(some) >= _MOST_OUTPUTS or size + of_group > _MOST_BYTES):
            yield some
            some, size = [], 0
        some += group
        size += of_group
    if some:
        yield some
