"""Follows the dead letters, and notices files again when they are due."""

from collections.abc import Collection

from opstrail_ingest.telemetry import DeadLetterUnreadable, RetriesWait
from opstrail_ingest.waiting_files import WaitingFiles
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_runtime.telemetry import emit
from opstrail_schemas.codec import BadMessage, Codec
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName


class Retries:
    """Reads the topic from its start, then what is added; keeps only files that wait."""

    def __init__(self, log: Log, codec: Codec[DeadLetter]) -> None:
        self._log = log
        self._codec = codec
        self._waiting = WaitingFiles()
        self._positions: dict[Partition, int] = {}

    def due(self, now_ms: int, pulse: Pulse) -> list[FileNotice]:
        """Read what is new, and return notices of the files that are due. Raises Unavailable."""
        for number in range(self._log.partition_count(TopicName.DEAD_LETTERS)):
            partition = Partition(TopicName.DEAD_LETTERS, number)
            start = self._positions.get(partition)
            records = (
                self._log.read(partition, pulse)
                if start is None
                else self._log.read_stable(partition, pulse, start=start)
            )
            for record in records:
                self._learn(record)
            self._positions[partition] = self._log.position(partition)
        emit(RetriesWait(len(self._waiting)))
        return self._waiting.due(now_ms)

    def noticed(self, notices: Collection[FileNotice]) -> None:
        """Take out files whose notices are acknowledged."""
        self._waiting.noticed(notices)
        emit(RetriesWait(len(self._waiting)))

    def __len__(self) -> int:
        return len(self._waiting)

    def _learn(self, record: Record) -> None:
        if record.key is None:
            return
        try:
            letter = None if record.value is None else self._codec.decode(record.value)
            self._waiting.learn(record.key.decode(), letter)
        except (BadMessage, UnicodeDecodeError) as error:
            emit(
                DeadLetterUnreadable(
                    record.partition.number, record.offset, f"{type(error).__name__}: {error}"
                )
            )
