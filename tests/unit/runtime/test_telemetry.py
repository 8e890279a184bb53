"""What happens is counted once, after it is durable."""

from prometheus_client import REGISTRY

from opstrail_runtime.telemetry import DeadLettersWritten, RecordsCounted, emit


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
