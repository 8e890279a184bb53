"""A node is lost for good, inside transactions: how long its partitions and transactions wait."""

from pathlib import Path

import pytest

from opstrail_runtime.wiring import TRANSACTION_TIMEOUT_MS
from tests.support.faulting.fleet import fleet_of
from tests.support.faulting.node_loss import ROLES, NodeLoss
from tests.support.faulting.scenarios import Scenario, carry_out
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, installed
from tests.support.servers import Servers

TAKEN_S = 45
FREED_S = TRANSACTION_TIMEOUT_MS // 1000 + 10


@pytest.mark.servers
@pytest.mark.timeout(400)
def test_what_a_lost_node_had_in_work_goes_on_elsewhere(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    loss = NodeLoss()
    with (
        installed(servers, tmp_path, **FEW_PARTITIONS) as own,
        fleet_of(own, tmp_path / "fleet") as fleet,
    ):
        result = carry_out("node lost", Scenario(loss, files=150, events=9_000), fleet, 1)

    for role in ROLES:
        taken, freed = loss.taken_s[role], loss.freed_s[role]
        figure(f"{role} lost for good: its partitions go on after s", f"{taken:.1f}", f"{TAKEN_S}")
        figure(f"{role} lost for good: last stable offset free, s", f"{freed:.1f}", f"{FREED_S}")
    figure("a node lost: lost and doubled", (result.lost, result.doubled), "(0, 0)")
    assert not result.found, "\n".join(result.found)
