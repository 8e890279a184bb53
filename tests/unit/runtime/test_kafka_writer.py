"""The writer on producers that do not answer: it goes on with a new one."""

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from opstrail_runtime.errors import OutcomeUnknown, Unavailable
from opstrail_runtime.kafka_writer import KafkaWriter
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Partition
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName

OFFSETS = {Partition(TopicName.EVENTS_RAW, 0): Committed(7)}


class FakeProducer:
    """A producer that remembers what it was asked; the call named `hangs` never returns."""

    def __init__(self, hangs: str | None, never: threading.Event) -> None:
        self.calls: list[str] = []
        self._hangs = hangs
        self._never = never

    def __getattr__(self, name: str) -> Any:
        def call(*_: object, **__: object) -> None:
            self.calls.append(name)
            if name == self._hangs:
                self._never.wait()

        return call


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TIMEOUT_S", "OFFSETS_TIMEOUT_S"):
        monkeypatch.setattr(f"opstrail_runtime.kafka_writer.{name}", 0)
    for name in ("GRACE_S", "OFFSETS_GRACE_S"):
        monkeypatch.setattr(f"opstrail_runtime.kafka_writer.{name}", 0.2)


def a_writer(*producers: FakeProducer) -> KafkaWriter:
    left = iter(producers)
    return KafkaWriter(lambda: cast("Producer", next(left)), TopicNames(), slot="s")


@pytest.mark.parametrize("hangs", ["send_offsets_to_transaction", "commit_transaction"])
def test_a_call_that_never_returns_leaves_the_outcome_unknown_and_a_new_producer_goes_on(
    hangs: str, never: threading.Event
) -> None:
    stuck, sound = FakeProducer(hangs, never), FakeProducer(None, never)
    writer = a_writer(stuck, sound)

    with pytest.raises(OutcomeUnknown, match="no answer"):
        writer.commit((), OFFSETS, Lease(0))
    writer.commit((), OFFSETS, Lease(0))

    assert hangs == [call for call in stuck.calls if "transaction" in call][-1]
    assert [
        "init_transactions",
        "begin_transaction",
        "flush",
        "send_offsets_to_transaction",
        "commit_transaction",
    ] == sound.calls


def test_a_slot_that_cannot_be_taken_is_waited_for(never: threading.Event) -> None:
    writer = a_writer(FakeProducer("init_transactions", never), FakeProducer(None, never))

    with pytest.raises(Unavailable, match="no answer"):
        writer.commit((), OFFSETS, Lease(0))
    writer.commit((), OFFSETS, Lease(0))
