"""How much one caller may ask: requests a minute, and streams at the same time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstrail_history.refusals import NotAllowed

_TOO_MANY = 429


class Limits:
    """Counts by caller. A minute's requests may come at once; then they come back evenly."""

    def __init__(
        self, *, requests_per_minute: int, streams_at_once: int, now_s: Callable[[], float]
    ) -> None:
        self._most = float(requests_per_minute)
        self._streams_at_once = streams_at_once
        self._now_s = now_s
        self._left: dict[str, tuple[float, float]] = {}
        self._streams: Counter[str] = Counter()
        self._lock = threading.Lock()

    def request(self, caller: str) -> None:
        """Count a request. Raises NotAllowed where there were too many."""
        with self._lock:
            now = self._now_s()
            left, at = self._left.get(caller, (self._most, now))
            left = min(self._most, left + (now - at) * self._most / 60)
            if left < 1:
                raise NotAllowed(
                    f"more than {self._most:.0f} requests a minute: wait a little",
                    status=_TOO_MANY,
                )
            self._left[caller] = (left - 1, now)

    def begin_stream(self, caller: str) -> None:
        """Count a download or live view as open. Raises NotAllowed where there are too many."""
        with self._lock:
            if self._streams[caller] >= self._streams_at_once:
                raise NotAllowed(
                    f"{self._streams_at_once} downloads or live views are open already: "
                    "end one first",
                    status=_TOO_MANY,
                )
            self._streams[caller] += 1

    def end_stream(self, caller: str) -> None:
        """Count it as ended."""
        with self._lock:
            self._streams[caller] -= 1

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Count a stream while it lasts."""
        self.begin_stream(caller)
        try:
            yield
        finally:
            self.end_stream(caller)
