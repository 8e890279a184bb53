"""What happens is counted once, after it is durable."""

import time

import pytest
from prometheus_client import REGISTRY

from opstrail_runtime.telemetry import (
    DeadLettersWritten,
    LoopBeat,
    RecordsCounted,
    emit,
    seconds_since_beat,
)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"opstrail_{name}_total", labels) or 0


def test_the_balance_of_a_batch_goes_to_counters_that_reconcile() -> None:
    emit(RecordsCounted("t1", came=9, out=4, already_there=2, dead={"not-json": 1}, expired=2))

    went = ("records_out", "records_already_there", "records_filtered", "records_expired")
    dead = value("records_dead", stage="t1", reason="not-json")
    assert value("records_in", stage="t1") == sum(value(w, stage="t1") for w in went) + dead == 9


def test_dead_letters_are_counted_by_reason() -> None:
    emit(DeadLettersWritten("t2", {"not-json": 2, "crashed": 1}))

    assert value("dead_letters", stage="t2", reason="not-json") == 2
    assert value("dead_letters", stage="t2", reason="crashed") == 1


def test_a_clock_that_is_set_makes_no_loop_look_dead_or_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = {"wall": 1_000_000.0, "steady": 500.0}
    monkeypatch.setattr(time, "time", lambda: clocks["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: clocks["steady"])
    emit(LoopBeat("clock"))
    for day in (-86_400, 86_400):
        clocks["wall"] = 1_000_000.0 + day
        assert seconds_since_beat("clock") == 0.0
    clocks["steady"] += 7
    assert seconds_since_beat("clock") == 7.0
