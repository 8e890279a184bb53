"""What it takes to try a dead letter again (PURE).

A letter about a file is mended by reading the whole file again: split writes the tombstone in the
transaction in which the file's records move. A letter about a message is mended by sending that
message once more, in one transaction with the letter's tombstone; store's letters are answered on
events.repaired, since subscribers of events.enriched have had the message already.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from opstrail_runtime.stage import Partition
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName, topic

LOCAL_BUCKET = "local"
MOST_KEYS_IN_A_NOTICE = 2_000  # of at most 1,100 bytes each: a message stays within its limit
_TOPICS: Mapping[str, TopicName] = {topic(name).name: name for name in TopicName}
# By stage and topic: where its message is sent again.
_AGAIN_ON: Mapping[tuple[str, TopicName], TopicName] = {
    ("split", TopicName.FILES_NOTICED): TopicName.FILES_NOTICED,
    ("enrich", TopicName.EVENTS_RAW): TopicName.EVENTS_RAW,
    ("enrich", TopicName.EVENTS_REREAD): TopicName.EVENTS_REREAD,
    ("store", TopicName.EVENTS_ENRICHED): TopicName.EVENTS_REPAIRED,
    ("store", TopicName.EVENTS_REPAIRED): TopicName.EVENTS_REPAIRED,
}


@dataclass(frozen=True, slots=True)
class Filed:
    """A dead letter that no tombstone has answered yet, and its key."""

    key: str
    letter: DeadLetter

    @property
    def place(self) -> tuple[Partition, int] | None:
        """Where the message is that it is about; None for a letter about a file."""
        name = _TOPICS.get(self.letter.topic or "")
        partition, offset = self.letter.partition, self.letter.offset
        if name is None or partition is None or offset is None:
            return None
        return Partition(name, partition), offset


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; what is None or empty leaves all in. Times in ms since the epoch.

    `since` is the first, `until` the first too late. `waiting`: those with a time to try again, or
    those without.
    """

    keys: frozenset[str] = frozenset()
    stage: str | None = None
    reason: str | None = None
    bucket: str | None = None
    key_prefix: str | None = None
    account_id: str | None = None
    topic: str | None = None
    since: int | None = None
    until: int | None = None
    waiting: bool | None = None

    def takes(self, filed: Filed) -> bool:
        """Whether a letter is meant."""
        letter = filed.letter
        wanted = (
            (self.stage, letter.stage),
            (self.reason, letter.reason),
            (self.bucket, letter.bucket),
            (self.account_id, letter.account_id),
            (self.topic, letter.topic),
            (self.waiting, letter.retry_at is not None),
        )
        return (
            (not self.keys or filed.key in self.keys)
            and all(want is None or want == has for want, has in wanted)
            and (self.key_prefix is None or (letter.key or "").startswith(self.key_prefix))
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class FileAgain:
    """Read the file again; its notice names all the letters that are meant."""

    filed: Filed


@dataclass(frozen=True, slots=True)
class MessageAgain:
    """Send the message at `place` to `to`, once it is found to be readable now."""

    filed: Filed
    place: tuple[Partition, int]
    to: TopicName


@dataclass(frozen=True, slots=True)
class NoRetry:
    """Nothing can be tried: what people can do instead."""

    filed: Filed
    why: str


Retry = FileAgain | MessageAgain | NoRetry


def retry_of(filed: Filed, *, allowed_buckets: frozenset[str]) -> Retry:
    """Return how a letter is tried again. `allowed_buckets`: those that may be read, or `*`."""
    letter = filed.letter
    if letter.reason == "id-conflict":
        why = "two different events have this identity, and the first stays: people must decide"
        return NoRetry(filed, why)
    if letter.bucket is not None and letter.key is not None:
        if letter.reason == "bucket-not-allowed" and not allowed_buckets & {letter.bucket, "*"}:
            why = "the bucket is not in OPSTRAIL_DISCOVER__ALLOWED_BUCKETS"
            return NoRetry(filed, why)
        return FileAgain(filed)
    place = filed.place
    if place is None:
        return NoRetry(filed, "it came with a message that is gone from its queue: send it again")
    to = _AGAIN_ON.get((letter.stage, place[0].topic))
    if to is None:
        return NoRetry(filed, f"of {letter.topic} the newest message of a key counts, not this one")
    return MessageAgain(filed, place, to)


def notices(
    again: Iterable[FileAgain], *, now_ms: int, newest_version: bool
) -> Iterator[FileNotice]:
    """Return a notice of each file, which names its letters; more only for thousands of them.

    `newest_version`: what is at the key now is read, not the version that the letter names.
    """
    by_file: dict[tuple[bytes, str | None], list[Filed]] = {}
    for each in again:
        letter = each.filed.letter
        version = None if newest_version else letter.version_id
        of_file = file_key(letter.bucket or "", letter.key or ""), version
        by_file.setdefault(of_file, []).append(each.filed)
    for (_, version), letters in by_file.items():
        for start in range(0, len(letters), MOST_KEYS_IN_A_NOTICE):
            some = letters[start : start + MOST_KEYS_IN_A_NOTICE]
            yield _notice(some, version, now_ms)


def _notice(letters: Sequence[Filed], version: str | None, now_ms: int) -> FileNotice:
    first = letters[0].letter
    return FileNotice(
        bucket=first.bucket or "",
        key=first.key or "",
        version_id=version,
        # No ETag: what is at the address by then counts, and split asks for it.
        local_path=next((f.letter.local_path for f in letters if f.letter.local_path), None),
        source="retry",
        noticed_at=now_ms,
        retry_of=letters[0].key,
        retry_of_also=[filed.key for filed in letters[1:]],
    )


def told(retry: Retry) -> dict[str, object]:
    """Return a row of the plan."""
    letter = retry.filed.letter
    match retry:
        case FileAgain():
            action, what = "read the file again", f"{letter.bucket}/{letter.key}"
        case MessageAgain(_, (at, offset), to):
            action, what = f"send to {to}", f"{at.topic} {at.number} at {offset}"
        case NoRetry(_, why):
            action, what = "none", why
        case _:
            assert_never(retry)
    return {
        "letterKey": retry.filed.key,
        "reason": letter.reason,
        "action": action,
        "what": what,
    }
