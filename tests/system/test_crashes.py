"""Processes and servers that are killed, and files that kill: everything is stored, once."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.corpora import CORPORA, corpora, identities_in
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import ACCOUNT, a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

KILLING = Path(__file__).parents[1] / "support" / "killing"
MOST_RESTARTS = 6  # of one file that kills: it is found among its neighbours, then tried thrice
# Small transactions, so that there is a middle to be killed in.
SMALL_STEPS = {
    "OPSTRAIL_LOOP__MOST_RECORDS": "200",
    "OPSTRAIL_SPLIT__BATCH_S": "0.1",
    "OPSTRAIL_STORE__BULK_MAX_DOCUMENTS": "200",
}


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Installed]:
    with installed(servers, tmp_path, **FEW_PARTITIONS) as installation:
        yield installation


def test_a_file_that_kills_the_process_is_set_aside(
    own: Installed, tmp_path: Path, figure: Figure
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(40):
        (folder / f"file-{number:02}.json.gz").write_bytes(trail_file([a_record(number)]))
    (folder / "file-20-killer.json.gz").write_bytes(trail_file([a_record("killer")]))

    ended = own.run(folder, PYTHONPATH=str(KILLING))

    restarts = ended.result["restarts"]
    figure(
        "restarts that a file costs which kills its process", restarts, f"at most {MOST_RESTARTS}"
    )
    assert 3 < restarts <= MOST_RESTARTS
    assert 3 == ended.code
    assert {f"{ACCOUNT}/{number}" for number in range(40)} == own.identities()
    assert [("split", "crashed", "file-20-killer.json.gz")] == [
        (letter["stage"], letter["reason"], letter["key"]) for letter in own.dead_letters()
    ]
    states = Counter((row["state"], row.get("reason")) for row in own.files().values())
    assert {("done", None): 40, ("quarantined", "crashed"): 1} == states


class TestOverARealBucket:
    """Kills in the middle of a run over sans504."""

    pytestmark = corpora
    folder = (CORPORA / "sans504").absolute()
    files, records, events = 2_395, 19_624, 15_537

    @pytest.mark.parametrize("service", ["split", "enrich", "store"])
    def test_a_service_that_is_killed_loses_and_doubles_nothing(
        self, own: Installed, service: str, figure: Figure
    ) -> None:
        # By service: how much of its work is done, and how much there is.
        done: dict[str, tuple[Callable[[], int], int]] = {
            "split": (lambda: own.written("files.ledger"), self.files),
            "enrich": (lambda: own.written("events.enriched"), self.events),
            "store": (own.stored, self.events),
        }
        count, everything = done[service]
        with own.running(self.folder, **SMALL_STEPS) as run:
            run.until(lambda: count() > everything // 10, f"{service} had done a tenth")
            pid = run.pid(service)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            at = count()
            os.kill(pid, signal.SIGKILL)
            ended = run.ended()

        figure(f"{service} killed at", f"{at:,} of {everything:,}", "in the middle")
        assert at < everything
        assert 1 == ended.result["restarts"]
        self._all_is_there_once(own, ended.code, figure, f"{service} killed")

    def test_opensearch_that_is_killed_is_waited_for(
        self, own: Installed, servers: Servers, figure: Figure
    ) -> None:
        with own.running(self.folder, **SMALL_STEPS) as run:
            run.until(lambda: own.stored() > self.events // 10, "store had done a tenth")
            servers.kill("opensearch")
            try:
                run.until(lambda: "opensearch" in _waited_for(run.log("store")), "store waited")
            finally:
                servers.start("opensearch")
            ended = run.ended()

        figure("restarts while opensearch was away", ended.result["restarts"], "0")
        assert 0 == ended.result["restarts"]
        self._all_is_there_once(own, ended.code, figure, "opensearch killed")

    def _all_is_there_once(self, own: Installed, code: int, figure: Figure, what: str) -> None:
        wanted = identities_in(self.folder)
        stored = own.identities()
        figure(f"{what}, identities missing and too many", len(wanted ^ stored), "0")
        assert wanted == stored
        enriched = Counter(message.key for message in own.messages("events.enriched"))
        repeats = enriched.total() - len(enriched)
        figure(f"{what}, repeats on events.enriched", repeats, "0")
        assert dict.fromkeys((identity.encode() for identity in wanted), 1) == enriched
        assert [] == own.dead_letters()
        rows = own.files().values()
        assert (self.files, self.records) == (len(rows), sum(row["records"] for row in rows))
        assert 0 == code


def _waited_for(log: str) -> str:
    return "\n".join(line for line in log.splitlines() if '"waiting"' in line)
