"""Runs under faults for as long as one likes: `python -m tests.support.faulting.long --minutes 30`.

Each run has a seed of its own, which is printed before it begins; `--seed` and `--only` replay one.
The report is Markdown: machine, versions, seeds, the table, and everything that the checker found.
"""

import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import confluent_kafka
import psutil

from opstrail_local import versions
from tests.support.faulting import scenarios
from tests.support.faulting.fleet import DoesNotEnd, fleet_of
from tests.support.faulting.node_loss import NodeLoss
from tests.support.faulting.result import Result, percentile, table
from tests.support.faulting.scenarios import Scenario, carry_out
from tests.support.installed import FEW_PARTITIONS, installed
from tests.support.servers import Servers, servers_of

Made = Callable[[Servers, int], Scenario]
EVENTS, A_FILE = 20_000, 100  # events a run, and in a file on average
ENRICHED_BYTES = 2_048  # an enriched event of the corpus has half of that
RUNS: dict[str, tuple[int, Made]] = {  # by name: brokers, and the scenario
    "failpoints": (
        1,
        lambda _, events: Scenario(
            partial(scenarios.at_every_point, times=2), events // A_FILE * 2, events
        ),
    ),
    "kills": (
        1,
        lambda _, events: Scenario(
            partial(scenarios.killed_and_stalled, kills=60),
            events // A_FILE,
            events,
            settings=scenarios.SESSION,
        ),
    ),
    "networks": (
        1,
        lambda _, events: Scenario(
            partial(scenarios.over_bad_networks, most=(12, 3), share=0.35),
            events // A_FILE,
            events,
        ),
    ),
    "servers": (
        1,
        lambda servers, events: Scenario(
            partial(scenarios.without_servers, servers=servers), events // A_FILE, events
        ),
    ),
    "disk": (
        1,
        lambda servers, events: Scenario(
            partial(scenarios.without_room, servers=servers), events // A_FILE, events
        ),
    ),
    "slow": (1, lambda _, events: Scenario(scenarios.too_slow, events // A_FILE, events)),
    "clocks": (
        1,
        lambda _, events: Scenario(scenarios.with_wrong_clocks, events // A_FILE, events),
    ),
    "node": (1, lambda _, events: Scenario(NodeLoss(), events // A_FILE, events)),
    "coordinator": (
        3,
        lambda servers, events: Scenario(
            partial(scenarios.without_the_coordinator, servers=servers, times=5),
            events // A_FILE,
            events,
        ),
    ),
}


def steps_for(events: int) -> dict[str, str]:
    """Return settings for as many steps as a run of 20,000 events has, however many there are.

    All that a run has on `events.enriched` is within the window of repeats after each start: beyond
    the window, which by default is 64 MiB, a repeat may come there once more (docs/guarantee.md).
    """
    step = str(max(50, events // 400))
    return {
        "OPSTRAIL_LOOP__MOST_RECORDS": step,
        "OPSTRAIL_STORE__BULK_MAX_DOCUMENTS": step,
        "OPSTRAIL_ENRICH__WINDOW_RESTORED_BYTES": str(events * ENRICHED_BYTES),
    }


def one(name: str, servers: Servers, seed: int, events: int = EVENTS) -> Result:
    """Carry out one run; one that does not end is a finding too."""
    scenario = RUNS[name][1](servers, events)
    settings = steps_for(events) | dict(scenario.settings or {})
    with (
        tempfile.TemporaryDirectory(prefix="opstrail-faults-") as folder,
        installed(servers, Path(folder), **FEW_PARTITIONS) as own,
        fleet_of(own, Path(folder) / "fleet", **settings) as fleet,
    ):
        began = time.monotonic()
        try:
            result = carry_out(name, scenario, fleet, seed)
        except DoesNotEnd as error:
            seconds = time.monotonic() - began
            lost, found = scenario.events, [f"I8 does not end: {error}"]
            result = Result(name, seed, fleet.faults, 0, lost, 0, (0, 0), [], seconds, found)
        if result.found:
            kept = Path(tempfile.mkdtemp(prefix=f"opstrail-found-{name}-{seed}-"))
            shutil.copytree(fleet.folder, kept, dirs_exist_ok=True)
            result.found.append(f"what was done, and the logs: {kept}")
        return result


@click.command()
@click.option("--minutes", type=float, default=30.0, help="How long; a run is not cut off.")
@click.option("--seed", type=int, default=None, help="The first run's seed; the next ones follow.")
@click.option("--only", type=click.Choice(sorted(RUNS)), multiple=True, help="These runs alone.")
@click.option(
    "--events", type=click.IntRange(min=2_000), default=EVENTS, help="About so many in each run."
)
@click.option("--report", type=click.Path(path_type=Path), default=None, help="Write it there too.")
def main(
    minutes: float, seed: int | None, only: tuple[str, ...], events: int, report: Path | None
) -> None:
    """Make things go wrong for so long, and report. Ends with 1 where anything was found."""
    seed = random.SystemRandom().randrange(1, 10**6) if seed is None else seed
    until = time.monotonic() + minutes * 60
    results: list[Result] = []
    for brokers in (1, 3):
        names = [n for n in RUNS if RUNS[n][0] == brokers and (not only or n in only)]
        # The last fifth of the time is for three brokers.
        end = (
            until if brokers == max(RUNS[n][0] for n in (only or RUNS)) else (until - minutes * 12)
        )
        if names:
            with (
                tempfile.TemporaryDirectory(prefix="opstrail-faults-") as folder,
                servers_of(Path(folder) / "servers", kafka_nodes=brokers) as servers,
            ):
                first = True
                while first or time.monotonic() < end:
                    first = False
                    for name in names:
                        click.echo(f"{name}: seed {seed}", err=True)
                        results.append(one(name, servers, seed, events))
                        click.echo(" | ".join(results[-1].row()), err=True)
                        for each in results[-1].found:
                            click.echo(f"  {each}", err=True)
                        seed += 1
                        if time.monotonic() > end:
                            break
    text = told(results)
    click.echo(text)
    if report is not None:
        report.write_text(text + "\n")
    sys.exit(1 if any(result.found for result in results) else 0)


def told(results: list[Result]) -> str:
    """Return the report."""
    resumed = [seconds for result in results for seconds in result.resumed_s]
    faults = scenarios.total(results)
    found = [f"- {r.name}, seed {r.seed}: {each}" for r in results for each in r.found]
    machine = (
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    servers = (
        f"Kafka {versions.KAFKA}, registry Apicurio {versions.REGISTRY}, OpenSearch "
        f"{versions.OPENSEARCH}, moto {version('moto')}; librdkafka "
        f"{confluent_kafka.libversion()[0]}"
    )
    lines = [
        f"- machine: {machine}",
        f"- servers: {servers}",
        f"- faults: {faults.total():,} over {sum(r.events for r in results):,} events",
        f"- resumed after p50 {percentile(resumed, 50):.1f} s, p95 {percentile(resumed, 95):.1f} s",
        "",
        table(results),
        "",
        "| fault | times |",
        "| --- | --- |",
        *(f"| {kind} | {number} |" for kind, number in sorted(faults.items())),
        "",
        "Found by the checker: " + ("nothing." if not found else ""),
        *found,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
