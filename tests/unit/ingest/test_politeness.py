"""How a backfill makes way for new files."""

from collections.abc import Sequence

import pytest

from opstrail_ingest.lags import LOOK_AGAIN_S, Gate
from opstrail_ingest.politeness import Lag, Politeness
from opstrail_schemas.topics import TopicName
from tests.support.discovering import Stop, a_pulse, patiently

POLITE = Politeness(most_events=1_000, most_drain_s=2)


@pytest.mark.parametrize(
    ("earlier", "now", "too_far"),
    [
        (None, Lag("split", 1_000, 10), False),
        (None, Lag("split", 1_001, 10), True),
        (Lag("split", 9_000, 9), Lag("split", 5_000, 10), False),
        (Lag("split", 9_000, 9), Lag("split", 7_000, 10), True),
        (Lag("split", 5_000, 9), Lag("split", 9_000, 10), True),
        (Lag("split", 9_000, 10), Lag("split", 5_000, 10), True),
    ],
)
def test_a_service_is_too_far_behind_in_events_and_in_time(
    earlier: Lag | None, now: Lag, too_far: bool
) -> None:
    found = POLITE.too_far([now], {} if earlier is None else {"split": earlier})

    assert (now if too_far else None) == found


class Lags:
    def __init__(self, **lags: list[int]) -> None:
        self._lags = lags

    def lag(self, group: str, topics: Sequence[TopicName]) -> int:
        assert topics
        return self._lags[group].pop(0)


def test_a_backfill_waits_until_every_service_is_near() -> None:
    stop = Stop()
    lags = Lags(**{"g.split": [11, 1, 0], "g.store": [0, 5_000, 7]})
    gate = Gate(
        lags, {"split": "g.split", "store": "g.store"}, POLITE, patiently(), monotonic=lambda: 1.0
    )

    gate.wait(a_pulse(stop))

    assert [LOOK_AGAIN_S] * 2 == stop.waits
