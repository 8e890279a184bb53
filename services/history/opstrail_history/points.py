"""How many points in time we keep open: OpenSearch keeps a few hundred, for all who use it."""

import threading
from collections.abc import Callable

MOST = 100
KEPT_S = 180.0  # how long OpenSearch keeps one that nobody reads


class OpenPoints:
    """Those that were opened or read lately, and not closed."""

    def __init__(self, now_s: Callable[[], float], *, most: int = MOST) -> None:
        self._now_s = now_s
        self._most = most
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_room(self) -> bool:
        """Return whether another one may be opened."""
        with self._lock:
            since = self._now_s() - KEPT_S
            self._used = {point: at for point, at in self._used.items() if at > since}
            return len(self._used) < self._most

    def used(self, point: str) -> None:
        """Note that a point was opened or read."""
        with self._lock:
            self._used[point] = self._now_s()

    def closed(self, point: str) -> None:
        """Note that it is no more."""
        with self._lock:
            self._used.pop(point, None)
