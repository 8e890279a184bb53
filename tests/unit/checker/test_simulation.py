"""The services' own loops and stages under random faults, in memory: nothing lost or doubled."""

from collections import Counter

import pytest

from tests.support.checker.chaos import Chaos, Outcome
from tests.support.figures import Figure

SEEDS = 40
KINDS = {
    *("killed", "rebalance", "commit lost", "reply to a commit lost", "broker away"),
    *("opensearch refuses", "opensearch reply lost", "item refused", "damaged copy came first"),
}


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [Chaos(seed).run() for seed in range(1, SEEDS + 1)]


def test_whatever_happens_nothing_is_lost_and_nothing_doubled(
    outcomes: list[Outcome], figure: Figure
) -> None:
    faults: Counter[str] = sum((each.faults for each in outcomes), Counter())
    events = sum(each.events for each in outcomes)
    figure(f"simulated faults over {events:,} events", f"{faults.total():,}", "at least 1,000")
    figure("of which", dict(faults.most_common()), "each kind")
    wrong = {each.seed: each.found for each in outcomes if each.found}
    figure("seeds with findings", len(wrong), "0")

    assert {} == wrong
    assert faults.total() >= 1_000
    assert faults.keys() == KINDS


def test_a_seed_says_all(outcomes: list[Outcome]) -> None:
    again = Chaos(7).run()

    assert outcomes[6].faults == again.faults
