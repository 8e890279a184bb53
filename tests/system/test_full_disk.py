"""The broker's disk is full while files come in: it ends, and all goes on once it is back."""

from functools import partial
from pathlib import Path

import pytest

from tests.support.faulting.fleet import fleet_of
from tests.support.faulting.scenarios import Scenario, carry_out, without_room
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, installed
from tests.support.servers import servers_of


@pytest.mark.servers
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_where_the_disk_of_kafka_was_full(
    tmp_path: Path, figure: Figure
) -> None:
    with (
        servers_of(tmp_path / "servers") as servers,
        installed(servers, tmp_path, **FEW_PARTITIONS) as own,
        fleet_of(own, tmp_path / "fleet") as fleet,
    ):
        result = carry_out(
            "F13 full disk",
            Scenario(partial(without_room, servers=servers), files=40, events=3_000),
            fleet,
            1,
        )

    figure("brokers that ended as their disk was full", result.faults["full disk kafka"], "2")
    figure("a full disk: lost and doubled", (result.lost, result.doubled), "(0, 0)")
    figure("work goes on after the broker is back, longest s", f"{max(result.resumed_s):.1f}", "60")
    assert not result.found, "\n".join(result.found)
