"""One bucket that is slow or forbidden does not cost the others their time.

An object that cannot be read costs seconds, or minutes where bytes trickle. After a few of them in
a row, or one that took long, objects of that bucket wait at once: among the dead letters, with a
time to try again, as if each had been asked for. The bucket is asked again after fifteen times the
seconds that its last failure took, so it costs the others a fifteenth of their time at most.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from opstrail_ingest.fetched import Fetched, ObjectReader, ObjectUnavailable
from opstrail_ingest.telemetry import BucketTroubled
from opstrail_runtime.stage import Pulse
from opstrail_runtime.telemetry import emit
from opstrail_schemas.messages import FileNotice

MOST_IN_A_ROW = 3
LONG_S = 5.0  # a failure that took so long counts like three
SHORTEST_REST_S = 20.0
REST_FOR_EACH_S = 15.0
# These say something about one object, not about its bucket.
_OF_THE_OBJECT = frozenset({"not-found", "refused"})
T = TypeVar("T")


@dataclass(slots=True)
class _Bucket:
    in_a_row: int = 0
    rests_until_s: float = 0.0


@dataclass(slots=True)
class CalmReader:
    """Reads objects with `reader`, but not of a bucket that rests. `monotonic` gives seconds."""

    reader: ObjectReader
    monotonic: Callable[[], float]
    _troubled: dict[str, _Bucket] = field(default_factory=dict)

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Read the whole object."""
        return self._calmly(notice, lambda: self.reader.fetch(notice, pulse))

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Ask for the object's ETag."""
        return self._calmly(notice, lambda: self.reader.e_tag(notice, pulse))

    def _calmly(self, notice: FileNotice, call: Callable[[], T]) -> T:
        began = self.monotonic()
        bucket = self._troubled.get(notice.bucket)
        if bucket is not None and began < bucket.rests_until_s:
            raise ObjectUnavailable(
                "bucket-rests",
                f"objects of {notice.bucket} could not be read; it is asked again in "
                f"{bucket.rests_until_s - began:.0f} s",
            )
        try:
            found = call()
        except ObjectUnavailable as error:
            if error.reason not in _OF_THE_OBJECT:
                self._note(notice.bucket, self.monotonic() - began)
            raise
        self._troubled.pop(notice.bucket, None)
        return found

    def _note(self, name: str, took_s: float) -> None:
        bucket = self._troubled.setdefault(name, _Bucket())
        bucket.in_a_row += 1
        if bucket.in_a_row >= MOST_IN_A_ROW or took_s >= LONG_S:
            bucket.in_a_row = MOST_IN_A_ROW
            rest_s = max(SHORTEST_REST_S, REST_FOR_EACH_S * took_s)
            bucket.rests_until_s = self.monotonic() + rest_s
            emit(BucketTroubled(name, rest_s))
