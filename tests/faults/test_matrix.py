"""The fault matrix: whatever is killed, cut, stalled or away, nothing is lost and nothing doubled.

Column C of docs/reliability.md, and the coordinator of transactions killed among three brokers.
OPSTRAIL_FAULTS_SEED replays a run; each result prints its own seed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.faulting import scenarios
from tests.support.faulting.fleet import Fleet, fleet_of
from tests.support.faulting.result import Result, percentile
from tests.support.faulting.scenarios import Scenario, carry_out
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, installed
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

SEED = int(os.environ.get("OPSTRAIL_FAULTS_SEED", "1"))


@contextmanager
def a_fleet(servers: Servers, folder: Path, **settings: str) -> Iterator[Fleet]:
    with (
        installed(servers, folder, **FEW_PARTITIONS, **settings) as own,
        fleet_of(own, folder / "fleet") as fleet,
    ):
        yield fleet


def kept_its_promise(
    result: Result, results: list[Result], figure: Figure, *, least: int = 1
) -> None:
    results.append(result)
    figure(f"{result.name}, seed {result.seed}: faults", dict(result.faults), "each kind")
    figure(f"{result.name}: lost and doubled", (result.lost, result.doubled), "(0, 0)")
    assert not result.found, "\n".join(result.found)
    assert result.faults.total() >= least, "too little went wrong to show anything"


def test_processes_that_die_at_any_named_place(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    scenario = Scenario(scenarios.at_every_point, files=250)
    settings = {"OPSTRAIL_LOOP__MOST_RECORDS": "25"}
    with a_fleet(own_servers, tmp_path) as fleet:
        fleet.settings.update(settings)
        result = carry_out("F1 failpoints", scenario, fleet, SEED)

    reached = {kind for kind in result.faults if kind.startswith("failpoint")}
    wanted = sum(map(len, scenarios.POINTS.values()))
    figure("named places at which a process died", len(reached), f"at least 16 of {wanted}")
    kept_its_promise(result, results, figure, least=16)
    assert len(reached) >= 16


def test_processes_that_die_or_stall_at_any_time(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    scenario = Scenario(scenarios.killed_and_stalled)
    with a_fleet(own_servers, tmp_path) as fleet:
        fleet.settings.update(scenarios.SESSION)
        result = carry_out("F2 F3 F11 F18 kills and stalls", scenario, fleet, SEED + 1)

    figure("resume after a kill, p95 in s", f"{percentile(result.resumed_s, 95):.1f}", "10")
    kept_its_promise(result, results, figure, least=20)


def test_networks_that_lose_delay_and_cut(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    scenario = Scenario(scenarios.over_bad_networks)
    with a_fleet(own_servers, tmp_path) as fleet:
        result = carry_out("F6 F7 F9 F10 F15 F16 networks", scenario, fleet, SEED + 2)

    kept_its_promise(result, results, figure, least=40)


def test_servers_that_die_and_a_disk_that_is_full(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    act = partial(scenarios.without_servers, servers=own_servers)
    with a_fleet(own_servers, tmp_path) as fleet:
        result = carry_out("F4 F8 servers", Scenario(act), fleet, SEED + 3)

    figure("progress after a broker came back, longest s", max(result.resumed_s), "60")
    kept_its_promise(result, results, figure, least=4)


def test_a_process_that_is_slower_than_it_may(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    with a_fleet(own_servers, tmp_path) as fleet:
        result = carry_out(
            "F12 slow consumer", Scenario(scenarios.too_slow, events=3_000), fleet, SEED + 4
        )

    kept_its_promise(result, results, figure, least=1)


def test_clocks_that_are_wrong_and_are_set_meanwhile(
    own_servers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    with a_fleet(own_servers, tmp_path) as fleet:
        result = carry_out(
            "F14 clocks", Scenario(scenarios.with_wrong_clocks, events=2_500), fleet, SEED + 6
        )

    kept_its_promise(result, results, figure, least=8)


def test_a_coordinator_of_transactions_that_dies_inside_commits(
    three_brokers: Servers, tmp_path: Path, results: list[Result], figure: Figure
) -> None:
    act = partial(scenarios.without_the_coordinator, servers=three_brokers)
    with a_fleet(three_brokers, tmp_path) as fleet:
        result = carry_out("F5 coordinator", Scenario(act), fleet, SEED + 5)

    kept_its_promise(result, results, figure, least=2)
