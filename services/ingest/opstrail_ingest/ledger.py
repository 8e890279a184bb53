"""What became of the files of the partitions at hand, in memory.

A process may hold a million files: those that are done take about 120 bytes each (two integers),
only the others are kept as they are. Of their rows no more is read than these need: that is what a
process waits for when partitions come to it.
"""

from collections.abc import Callable, Sequence

from opstrail_ingest.decisions import DONE, KEY_BITS, Row, number_of, packed, unpacked
from opstrail_ingest.telemetry import LedgerRowUnreadable
from opstrail_runtime.codecs import decoded
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_runtime.telemetry import StateRestored, emit
from opstrail_schemas.codec import HEADER_BYTES, Codec, frame, schema_name, schema_text
from opstrail_schemas.first_fields import FirstFields
from opstrail_schemas.identity import file_key
from opstrail_schemas.messages import TrailFile
from opstrail_schemas.topics import TopicName

_NEEDED = ("bucket", "key", "versionId", "eTag", "lastModified", "state", "records")


class Ledger:
    """The rows of `files.ledger` of the partitions at hand."""

    def __init__(
        self, log: Log, codec: Codec[TrailFile], *, monotonic: Callable[[], float]
    ) -> None:
        self._log = log
        self._codec = codec
        self._header = frame(codec.schema_id, b"")
        self._first = FirstFields(schema_text(schema_name(TrailFile)), _NEEDED)
        self._monotonic = monotonic
        self._done: dict[int, dict[int, int]] = {}
        self._others: dict[int, dict[bytes, TrailFile]] = {}

    def restore(self, partition: int, pulse: Pulse) -> None:
        """Read a partition from its log start. Raises Unavailable."""
        began = self._monotonic()
        self._done[partition], self._others[partition] = {}, {}
        try:
            for record in self._log.read(Partition(TopicName.FILES_LEDGER, partition), pulse):
                self._take(partition, record)
        except BaseException:
            self.forget([partition])
            raise
        files = len(self._done[partition]) + len(self._others[partition])
        emit(StateRestored("split", "ledger", files, self._monotonic() - began))

    def _take(self, partition: int, record: Record) -> None:
        key, value = record.key or b"", record.value
        if value is None:
            self._drop(partition, key)
            return
        finished = self._finished(key, value)
        if finished is not None:
            self._others[partition].pop(key, None)
            self._done[partition][number_of(key, KEY_BITS)] = finished
            return
        try:
            row = decoded(self._codec, record)
        except InvalidRecord as error:
            emit(LedgerRowUnreadable(partition, record.offset, error.message))
        else:
            self.keep(partition, row)

    def _finished(self, of_file: bytes, value: bytes) -> int | None:
        """Return what is kept of a file that is done; None: its row must be read whole."""
        fields = self._first.read(value, HEADER_BYTES) if value.startswith(self._header) else None
        if fields is None:
            return None
        bucket, key, version_id, e_tag, last_modified, state, records = fields
        if state not in DONE or b"%b/%b" % (bucket, key) != of_file:
            return None
        return packed(e_tag, version_id, records, last_modified)

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
        number = self._done[partition].get(number_of(key, KEY_BITS))
        return None if number is None else unpacked(number)

    def keep(self, partition: int, row: TrailFile) -> None:
        """Take a row that is durable."""
        key = file_key(row.bucket, row.key)
        self._drop(partition, key)
        if row.state in DONE:
            finished = packed(row.e_tag, row.version_id, row.records, row.last_modified)
            self._done[partition][number_of(key, KEY_BITS)] = finished
        else:
            self._others[partition][key] = row

    def _drop(self, partition: int, key: bytes) -> None:
        self._others[partition].pop(key, None)
        self._done[partition].pop(number_of(key, KEY_BITS), None)
