"""Enrich with 1,000,000 facts on their topic: seconds until ready, and its peak of memory.

make bench, or: python -m pytest -s bench/catch_up.py --override-ini=python_files='*.py'
"""

import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from opstrail_local import ports
from opstrail_runtime.codecs import Codecs
from opstrail_runtime.settings import RegistrySettings
from opstrail_runtime.wiring import new_registry
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import StackFact
from opstrail_schemas.topics import TopicName
from tests.support.enriching import child_belongs
from tests.support.figures import Figure
from tests.support.installed import installed, peak_bytes
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

FACTS, AT_ONCE = 1_000_000, 50_000
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
        (port,) = ports.pick(1, wanted=(), rng=random.Random())
        began = time.monotonic()
        service = own.start("enrich", OPSTRAIL_TELEMETRY__PORT=str(port))
        try:
            while not _ready(port):
                assert service.process.poll() is None, service.err.read_text()
                time.sleep(LOOK_EVERY_S)
            seconds, peak = time.monotonic() - began, peak_bytes(service.process.pid)
        finally:
            service.stop()

    figure(
        f"catch-up with {FACTS:,} facts (machine: {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f})",
        f"{seconds:.0f} s",
        "at most 60 s",
    )
    figure("catch-up, peak of enrich", f"{peak / 2**20:.0f} MiB", "at most 400 MiB")


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
