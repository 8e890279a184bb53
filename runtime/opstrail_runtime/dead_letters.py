"""Dead letters: one key a place, so that a repeat replaces and "once" is per key (PURE)."""

from dataclasses import dataclass

from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.stage import Output, Record
from opstrail_schemas.codec import Codec
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import DeadLetter
from opstrail_schemas.topics import TopicName, topic

LONGEST_TEXT_BYTES = 64 * 1024


def key_of(letter: DeadLetter) -> bytes:
    """Return the message key: the stage and the place in the input.

    A fragment of a file: `split:bucket/key#start-end`; a file: `split:bucket/key`; a message:
    `enrich:topic/partition/offset`.
    """
    if letter.bucket is not None and letter.key is not None:
        of_file = key_of_file(letter.stage, letter.bucket, letter.key)
        if letter.start_byte is None or letter.end_byte is None:
            return of_file.encode()
        return key_of_fragment(of_file, letter.start_byte, letter.end_byte).encode()
    return f"{letter.stage}:{letter.topic}/{letter.partition}/{letter.offset}".encode()


def key_of_file(stage: str, bucket: str, key: str) -> str:
    """Return the key of the dead letter of a whole file."""
    return f"{stage}:{file_key(bucket, key).decode()}"


def key_of_fragment(of_file: str, start: int, end: int) -> str:
    """Return the key of the dead letter of a fragment, by that of its file."""
    return f"{of_file}#{start}-{end}"


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Writes the dead letters of one stage."""

    stage: str
    codec: Codec[DeadLetter]

    def output(self, letter: DeadLetter) -> Output:
        """Return the message that files the dead letter."""
        value = self.codec.encode(letter)
        return Output(TopicName.DEAD_LETTERS, key_of(letter), value, letter.reason)

    def tombstone(self, key: str) -> Output:
        """Return the message that says: the dead letter of that key is mended."""
        return Output(TopicName.DEAD_LETTERS, key.encode(), None)

    def of_record(self, record: Record, error: InvalidRecord, *, now_ms: int) -> Output:
        """Return the dead letter of a Kafka message that cannot be read: its address, no text."""
        return self.output(
            DeadLetter(
                stage=self.stage,
                reason=error.reason,
                message=f"{error.message} "
                f"({record.partition.topic} {record.partition.number} at {record.offset})",
                field=error.field,
                topic=topic(record.partition.topic).name,
                partition=record.partition.number,
                offset=record.offset,
                first_failed_at=now_ms,
                failed_at=now_ms,
            )
        )


def clipped(masked: bytes) -> tuple[str, bool]:
    """Return masked text for a dead letter, at most 64 KiB, and whether it was longer."""
    text = masked[:LONGEST_TEXT_BYTES].decode("utf-8", errors="replace")
    return text, len(masked) > LONGEST_TEXT_BYTES
