"""What became of the files of the partitions at hand, in memory.

A process may hold a million files: those that are done take about 120 bytes each (two integers),
only the others are kept as they are.
"""

from collections.abc import Callable, Sequence

from opstrail_ingest.decisions import DONE, KEY_BITS, Row, digest, packed, unpacked
from opstrail_ingest.telemetry import LedgerRowUnreadable
from opstrail_runtime.codecs import decoded
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Partition, Pulse
from opstrail_runtime.telemetry import StateRestored, emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import TrailFile
from opstrail_schemas.topics import TopicName


class Ledger:
    """The rows of `files.ledger` of the partitions at hand."""

    def __init__(
        self, log: Log, codec: Codec[TrailFile], *, monotonic: Callable[[], float]
    ) -> None:
        self._log = log
        self._codec = codec
        self._monotonic = monotonic
        self._done: dict[int, dict[int, int]] = {}
        self._others: dict[int, dict[bytes, TrailFile]] = {}

    def restore(self, partition: int, pulse: Pulse) -> None:
        """Read a partition from its log start. Raises Unavailable."""
        began = self._monotonic()
        self._done[partition], self._others[partition] = {}, {}
        try:
            for record in self._log.read(Partition(TopicName.FILES_LEDGER, partition), pulse):
                if record.value is None:
                    self._drop(partition, record.key or b"")
                    continue
                try:
                    row = decoded(self._codec, record)
                except InvalidRecord as error:
                    emit(LedgerRowUnreadable(partition, record.offset, error.message))
                    continue
                self.keep(partition, row)
        except BaseException:
            self.forget([partition])
            raise
        files = len(self._done[partition]) + len(self._others[partition])
        emit(StateRestored("split", "ledger", files, self._monotonic() - began))

    def forget(self, partitions: Sequence[int]) -> None:
        """Drop the rows of partitions that went."""
        for partition in partitions:
            self._done.pop(partition, None)
            self._others.pop(partition, None)

    def find(self, partition: int, key: bytes) -> Row | None:
        """Return the newest row of a file, by `bucket/key`."""
        row = self._others[partition].get(key)
        if row is not None:
            return row
        number = self._done[partition].get(_number(key))
        return None if number is None else unpacked(number)

    def keep(self, partition: int, row: TrailFile) -> None:
        """Take a row that is durable."""
        key = file_key(row.bucket, row.key)
        self._drop(partition, key)
        if row.state in DONE:
            self._done[partition][_number(key)] = packed(row)
        else:
            self._others[partition][key] = row

    def _drop(self, partition: int, key: bytes) -> None:
        self._others[partition].pop(key, None)
        self._done[partition].pop(_number(key), None)


def _number(key: bytes) -> int:
    return digest(key.decode("utf-8", "replace"), KEY_BITS)
