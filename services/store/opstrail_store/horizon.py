"""The horizon of retention as a running store sees it."""

from collections.abc import Callable

from opensearchpy import OpenSearch

from opstrail_runtime.telemetry import emit
from opstrail_store.events_indices import oldest_period
from opstrail_store.index_name import IndexNames
from opstrail_store.store_setup import horizon_now
from opstrail_store.telemetry import HorizonKnown, OldestPeriodSeen
from opstrail_store.templates import Layout

_LOOK_EVERY_S = 600.0


class Horizon:
    """Asks the events template, each time; `layout` is what the process began with.

    Now and then it looks how far the indices go back, and shows both as metrics.
    Raises NotSetUp, Unavailable, OpenSearchRefuses.
    """

    def __init__(
        self, client: OpenSearch, prefix: str, layout: Layout, *, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._names = IndexNames(prefix, layout.period)
        self._layout = layout
        self._clock = clock
        self._look_at = 0.0

    def __call__(self) -> int | None:
        """Return the oldest event time that is open, in ms; None: all are."""
        horizon_ms = horizon_now(self._client, self._names.prefix, self._layout)
        emit(HorizonKnown(horizon_ms))
        if self._clock() >= self._look_at:
            emit(OldestPeriodSeen(oldest_period(self._client, self._names)))
            self._look_at = self._clock() + _LOOK_EVERY_S
        return horizon_ms
