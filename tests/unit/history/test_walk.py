"""Reading all that a search finds: each event once, in pieces of a size that memory bears."""

from typing import Any, cast

import pytest

from opstrail_history.history import EXPORT_PAGE_BYTES, MOST_EXPORT_PAGE, Walk
from opstrail_history.opensearch_errors import PointGone, TooManyPoints
from opstrail_history.opensearch_reader import Ask, Hit, OpenSearchReader, Page
from opstrail_runtime.errors import Unavailable


class KeptReader:
    """A reader of so many events of a size; `faults` are raised before they are read, in turn."""

    def __init__(self, count: int, *, size: int = 100, faults: Any = ()) -> None:
        self.count, self.size = count, size
        self.faults = list(faults)
        self.asked: list[int] = []
        self.points: list[str | None] = []
        self.closed: list[str] = []

    def open_point(self, _alias: str) -> str:
        if self.faults and isinstance(self.faults[0], TooManyPoints):
            raise self.faults.pop(0)
        return f"pit-{len(self.points)}"

    def close_point(self, pit: str) -> None:
        self.closed.append(pit)

    def page(self, _alias: str, ask: Ask, *, pit: str | None) -> Page:
        if self.faults:
            raise self.faults.pop(0)
        self.asked.append(ask.size)
        self.points.append(pit)
        begin = 0 if ask.after is None else int(cast("int", ask.after[0])) + 1
        hits = (
            Hit(f"e-{at}", b"x" * self.size, (at,))
            for at in range(begin, min(self.count, begin + ask.size))
        )
        return Page(tuple(hits), None)


def walked(reader: KeptReader, *, pause: Any = lambda _tries: True) -> list[str]:
    walk = Walk(cast("OpenSearchReader", reader), "events", Ask({}, size=100), pause)
    return [hit.id for page in walk.pages() for hit in page]


@pytest.mark.parametrize("count", [0, 99, 100, 101, 600, 1_234])
@pytest.mark.parametrize("size", [1, 20_000, 300_000, 9_000_000])
def test_every_event_comes_once_whatever_size_events_have(count: int, size: int) -> None:
    count = min(count, 120) if size > 20_000 else count
    reader = KeptReader(count, size=size)

    assert [f"e-{at}" for at in range(count)] == walked(reader)
    assert all(asked <= MOST_EXPORT_PAGE for asked in reader.asked)
    # After the first page, no more at once than memory bears; one event is always read.
    assert all(asked * size <= max(EXPORT_PAGE_BYTES, size) for asked in reader.asked[1:])
    assert ["pit-0"] == reader.closed


@pytest.mark.parametrize(
    "faults",
    [[PointGone()], [TooManyPoints()], [Unavailable("the store", "x")] * 3],
    ids=["gone", "no room", "away"],
)
def test_every_event_comes_once_whatever_goes_wrong(faults: list[Exception]) -> None:
    assert [f"e-{at}" for at in range(250)] == walked(KeptReader(250, faults=faults))


def test_a_store_that_stays_away_ends_it() -> None:
    tries: list[int] = []

    def pause(number: int) -> bool:
        tries.append(number)
        return number < 3

    with pytest.raises(Unavailable):
        walked(KeptReader(250, faults=[Unavailable("the store", "x")] * 9), pause=pause)
    assert [1, 2, 3] == tries
