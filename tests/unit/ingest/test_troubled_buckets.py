"""A bucket that is slow or forbidden rests; the others hardly notice."""

import io
from dataclasses import dataclass, field

import pytest

from opstrail_ingest.fetched import Fetched, ObjectUnavailable
from opstrail_ingest.troubled_buckets import CalmReader
from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice
from tests.support.figures import Figure
from tests.support.memory_kafka import StillPulse
from tests.support.splitting import a_notice

SOUND_S = 0.05  # what an object costs that can be read


@dataclass(slots=True)
class Store:
    """Objects that cost time; those of buckets in `bad` fail after so long for that reason."""

    bad: dict[str, tuple[float, str]] = field(default_factory=dict)
    now_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        self._ask(notice)
        return Fetched(io.BytesIO(), 0, "e")

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        self._ask(notice)
        return "e"

    def _ask(self, notice: FileNotice) -> None:
        self.asked.append(notice.bucket)
        if notice.bucket in self.bad:
            cost_s, reason = self.bad[notice.bucket]
            self.now_s += cost_s
            raise ObjectUnavailable(reason, "no")
        self.now_s += SOUND_S


def a_reader(store: Store) -> CalmReader:
    return CalmReader(store, lambda: store.now_s)


def reason_of(reader: CalmReader, bucket: str) -> str | None:
    try:
        reader.fetch(a_notice(bucket=bucket), StillPulse())
    except ObjectUnavailable as error:
        return error.reason
    return None


def test_after_three_failures_objects_wait_unasked() -> None:
    store = Store({"bad": (0.1, "access-denied")})
    reader = a_reader(store)

    reasons = [reason_of(reader, "bad") for _ in range(5)]

    assert ["access-denied"] * 3 + ["bucket-rests"] * 2 == reasons
    assert ["bad"] * 3 == store.asked
    assert reason_of(reader, "other") is None


def test_one_failure_that_took_long_is_enough() -> None:
    store = Store({"bad": (120, "slow")})
    reader = a_reader(store)

    assert ["slow", "bucket-rests"] == [reason_of(reader, "bad") for _ in range(2)]


def test_it_is_asked_again_after_its_rest_and_is_sound_once_it_answers() -> None:
    store = Store({"bad": (1, "access-denied")})
    reader = a_reader(store)
    for _ in range(3):
        reason_of(reader, "bad")
    store.now_s += 21
    assert "access-denied" == reason_of(reader, "bad")
    assert "bucket-rests" == reason_of(reader, "bad")

    store.now_s += 21
    store.bad.clear()

    assert [None] * 3 == [reason_of(reader, "bad") for _ in range(3)]
    store.bad["bad"] = (1, "access-denied")
    assert ["access-denied"] * 3 == [reason_of(reader, "bad") for _ in range(3)]


@pytest.mark.parametrize("reason", ["not-found", "refused"])
def test_what_one_object_lacks_says_nothing_of_its_bucket(reason: str) -> None:
    store = Store({"bad": (30, reason)})
    reader = a_reader(store)

    assert [reason] * 6 == [reason_of(reader, "bad") for _ in range(6)]


def test_asking_for_an_etag_counts_too() -> None:
    store = Store({"bad": (120, "slow")})
    reader = a_reader(store)
    with pytest.raises(ObjectUnavailable):
        reader.e_tag(a_notice(bucket="bad"), StillPulse())

    assert "bucket-rests" == reason_of(reader, "bad")
    assert "e" == reader.e_tag(a_notice(bucket="other"), StillPulse())


@pytest.mark.parametrize(
    ("what", "cost_s", "reason"), [("forbidden", 0.2, "access-denied"), ("slow", 120, "slow")]
)
def test_one_bad_bucket_of_twenty_costs_the_others_little(
    what: str, cost_s: float, reason: str, figure: Figure
) -> None:
    files = 100_000

    def time_of(bad: dict[str, tuple[float, str]]) -> float:
        store = Store(bad)
        reader = a_reader(store)
        for number in range(files):
            reason_of(reader, f"b{number % 20}")
        return store.now_s

    sound_s = files / 20 * 19 * SOUND_S
    more = time_of({"b0": (cost_s, reason)}) / sound_s - 1

    figure(f"what a bucket of 20 that is {what} costs the others", f"{more:.1%}", "at most 10 %")
    assert more <= 0.10
