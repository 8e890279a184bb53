"""What discover writes: notices, and the dead letters of what is none. The seam to Kafka."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from opstrail_ingest.notification import SeenObject
from opstrail_ingest.trail_file import HEAD_BYTES
from opstrail_runtime.dead_letters import DeadLetters, clipped
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName

STAGE = "discover"


class NoticeWriter(Protocol):
    """Writes messages outside of any transaction: a notice that is written twice costs nothing."""

    def write(self, outputs: Sequence[Output]) -> None:
        """Write them; return when every single one is acknowledged. Raises Unavailable."""

    def close(self) -> None:
        """Let go of the connection."""


@dataclass(frozen=True, slots=True)
class Notices:
    """Makes the messages. `mask` replaces secrets in text that need not be JSON."""

    codec: Codec[FileNotice]
    dead_letters: Codec[DeadLetter]
    mask: Callable[[bytes], bytes]

    def notice(self, notice: FileNotice) -> Output:
        """Return the message that notices a file."""
        key = file_key(notice.bucket, notice.key)
        return Output(TopicName.FILES_NOTICED, key, self.codec.encode(notice))

    def of_seen(self, seen: SeenObject, *, now_ms: int) -> Output:
        """Return the notice of an object that a notification names."""
        return self.notice(
            FileNotice(
                bucket=seen.bucket,
                key=seen.key,
                version_id=seen.version_id,
                e_tag=seen.e_tag,
                size=seen.size,
                source=seen.source,
                noticed_at=now_ms,
            )
        )

    def refused_bucket(self, seen: SeenObject, *, queue: str, now_ms: int) -> Output:
        """Return the dead letter of an object whose bucket is not allowed."""
        return DeadLetters(STAGE, self.dead_letters).output(
            DeadLetter(
                stage=STAGE,
                reason="bucket-not-allowed",
                message=f"a notification in {queue} names the bucket {seen.bucket}, which is not "
                "allowed: add it to OPSTRAIL_DISCOVER__ALLOWED_BUCKETS if it holds trail files",
                bucket=seen.bucket,
                key=seen.key,
                version_id=seen.version_id,
                e_tag=seen.e_tag,
                first_failed_at=now_ms,
                failed_at=now_ms,
            )
        )

    def refused_file(self, *, key: str, path: str, why: str, now_ms: int) -> Output:
        """Return the dead letter of a local file that cannot be read."""
        return DeadLetters(STAGE, self.dead_letters).output(
            DeadLetter(
                stage=STAGE,
                reason="file-unreadable",
                message=f"{path}: {why}; make it readable, then `opstrail dead-letters retry`",
                bucket="local",
                key=key,
                local_path=path,
                first_failed_at=now_ms,
                failed_at=now_ms,
            )
        )

    def refused_message(
        self, error: InvalidRecord, body: str, *, queue: str, message_id: str, now_ms: int
    ) -> Output:
        """Return the dead letter of a message, or of a record in it: one key a message id.

        A message that is delivered again has the same id, so the dead letter replaces itself.
        """
        raw = body.encode("utf-8", errors="replace")
        text, truncated = clipped(self.mask(raw[:HEAD_BYTES]))
        letter = DeadLetter(
            stage=STAGE,
            reason=error.reason,
            message=f"{error.message} (queue {queue}, message {message_id})",
            field=error.field,
            sha256=hashlib.sha256(raw).hexdigest(),
            text=text,
            text_truncated=truncated or len(raw) > HEAD_BYTES,
            first_failed_at=now_ms,
            failed_at=now_ms,
        )
        key = f"{STAGE}:sqs/{queue}/{message_id}".encode()
        return Output(TopicName.DEAD_LETTERS, key, self.dead_letters.encode(letter))
