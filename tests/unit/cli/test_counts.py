"""Counters of a run, from the metrics pages of its processes."""

from opstrail_cli.counts import Counts, balance

SPLIT = """
# TYPE opstrail_records_in_total counter
opstrail_records_in_total{stage="split"} 10
# TYPE opstrail_records_out_total counter
opstrail_records_out_total{stage="split"} 7
# TYPE opstrail_records_dead_total counter
opstrail_records_dead_total{stage="split",reason="not-json"} 2
# TYPE opstrail_records_already_there_total counter
opstrail_records_already_there_total{stage="split"} 1
# TYPE opstrail_loop_beat_timestamp_seconds gauge
opstrail_loop_beat_timestamp_seconds{stage="split"} 9
"""


def test_counters_are_summed_over_processes_and_lives() -> None:
    counts = Counts()
    counts.update("split.0", SPLIT)
    counts.update("split.0", SPLIT)
    counts.update("split.1", SPLIT)

    assert counts.total("records_in", stage="split") == 20
    assert counts.total("records_in", stage="store") == 0
    assert counts.by_label("records_dead", "reason") == {"not-json": 4}


def test_a_balance_that_does_not_add_up_is_named() -> None:
    counts = Counts()
    counts.update("split.0", SPLIT)
    assert balance(counts, ["split", "store"]) is None

    counts.update(
        "split.0", SPLIT.replace('out_total{stage="split"} 7', 'out_total{stage="split"} 6')
    )
    assert balance(counts, ["split"]) == "split: 10 records came in, 9 are accounted for"
