"""Enrich with 1,000,000 facts, split with 1,000,000 files: seconds until ready, peak of memory.

make bench, or: python -m pytest -s bench/catch_up.py --override-ini=python_files='*.py'
"""

import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from opstrail_ingest.file_split import ledger_key
from opstrail_local import ports
from opstrail_runtime.codecs import Codecs
from opstrail_runtime.settings import RegistrySettings
from opstrail_runtime.wiring import new_registry
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import StackFact, TrailFile
from opstrail_schemas.topics import TopicName
from tests.support.enriching import child_belongs
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed, peak_bytes
from tests.support.records import KEY
from tests.support.servers import Servers
from tests.support.splitting import a_done_file

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

FACTS, FILES, AT_ONCE = 1_000_000, 1_000_000, 50_000
PARTITIONS = 4  # of the ledger
LOOK_EVERY_S = 0.1


def test_catch_up_with_a_million_facts(servers: Servers, tmp_path: Path, figure: Figure) -> None:
    with installed(servers, tmp_path) as own:
        for command in (("topics", "create"), ("schemas", "register")):
            assert own.start(*command).process.wait(60) == 0
        url = servers.environment()["OPSTRAIL_REGISTRY__URL"]
        codec = Codecs(new_registry(RegistrySettings(url=url))).of(TopicName.STACK_FACTS, StackFact)
        for start in range(0, FACTS, AT_ONCE):
            own.produce(
                TopicName.STACK_FACTS,
                (
                    (0, digest_of(fact), codec.encode(fact))
                    for fact in _facts(start, start + AT_ONCE)
                ),
            )
        seconds, _, peak, _ = _until_ready(own, "enrich")

    figure(
        f"catch-up with {FACTS:,} facts (machine: {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f})",
        f"{seconds:.0f} s",
        "at most 60 s",
    )
    figure("catch-up, peak of enrich", f"{peak / 2**20:.0f} MiB", "at most 400 MiB")


def test_catch_up_with_a_ledger_of_a_million_files(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        for command in (("topics", "create"), ("schemas", "register")):
            assert own.start(*command).process.wait(60) == 0
        url = servers.environment()["OPSTRAIL_REGISTRY__URL"]
        codec = Codecs(new_registry(RegistrySettings(url=url))).of(
            TopicName.FILES_LEDGER, TrailFile
        )
        row = a_done_file()
        value, old = codec.encode(row), KEY[-24:-8].encode()
        for start in range(0, FILES, AT_ONCE):
            names = [b"%016d" % number for number in range(start, start + AT_ONCE)]
            own.produce(
                TopicName.FILES_LEDGER,
                (
                    (
                        number % PARTITIONS,
                        ledger_key(row).replace(old, name),
                        value.replace(old, name),
                    )
                    for number, name in enumerate(names)
                ),
            )
        seconds, cpu_s, peak, said = _until_ready(own, "ingest", "split")

    restored = [json.loads(line) for line in said.splitlines() if "state restored" in line]
    assert sum(each["entries"] for each in restored) == FILES
    load = f"(load {os.getloadavg()[0]:.1f})"
    figure(
        f"ledger of {FILES:,} files read back from Kafka {load}",
        f"{sum(each['seconds'] for each in restored):.1f} s",
        "at most 10 s",
    )
    figure("split started, until ready", f"{seconds:.1f} s, {cpu_s:.1f} s of CPU", "stated")
    figure("split with it, peak of memory", f"{peak / 2**20:.0f} MiB", "stated")


def _until_ready(own: Installed, *role: str) -> tuple[float, float, int, str]:
    """Start a service; return seconds until it is ready, of CPU, peak of memory, what it said."""
    (port,) = ports.pick(1, wanted=(), rng=random.Random())
    began = time.monotonic()
    service = own.start(*role, OPSTRAIL_TELEMETRY__PORT=str(port))
    try:
        while not _ready(port):
            assert service.process.poll() is None, service.err.read_text()
            time.sleep(LOOK_EVERY_S)
        seconds, peak = time.monotonic() - began, peak_bytes(service.process.pid)
        of_process = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2]
        cpu_s = sum(map(int, of_process.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    finally:
        service.stop()
    return seconds, cpu_s, peak, service.err.read_text()


def _facts(start: int, end: int) -> Iterator[StackFact]:
    """Yield what a large fleet teaches: instances, each in one of many stacks."""
    for number in range(start, end):
        instance = f"924718a6-f5f5-4902-8fd9-{number:012x}"
        stack = f"2f18b4cb-4de5-4429-a149-{number // 200:012x}"
        yield child_belongs("instance", instance, stack)


def _ready(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/readyz"
    with (
        suppress(urllib.error.URLError, ConnectionError),
        urllib.request.urlopen(url, timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False
