"""A rolling upgrade under load: from the code before the last change of a service to this one."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from opstrail_cli.processes import free_port
from tests.support.chart import not_run
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]
TOP = Path(__file__).parents[2]
CHANGED = ("services", "runtime", "schemas")
PACKAGES = ("cli", "deploy/local", "runtime", "schemas")
ROLES: Mapping[str, tuple[str, ...]] = {
    "split": ("ingest", "split"),
    "enrich": ("enrich",),
    "store": ("store",),
}
SLOTS = (0, 1)
ACCOUNT = "111122223333"
FILES_AT_ONCE, RECORDS_IN_A_FILE = 20, 25


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Path]:
    """The checkout as it was before the last commit that changed a service."""
    last = git("log", "-1", "--no-merges", "--format=%H", "--", *CHANGED)
    parent = git("rev-parse", "--verify", "--quiet", f"{last}^") if last else ""
    if not parent:
        not_run("no earlier commit: an upgrade needs a checkout with its history")
    folder = tmp_path / "before"
    assert git("worktree", "add", "--detach", str(folder), parent) is not None
    if not (folder / "pyproject.toml").exists():
        not_run(f"no worktree of {parent} could be made")
    yield folder
    git("worktree", "remove", "--force", str(folder))


def python_path(checkout: Path) -> str:
    services = sorted(path for path in (checkout / "services").iterdir() if path.is_dir())
    return os.pathsep.join(map(str, [*(checkout / each for each in PACKAGES), *services]))


@dataclass(slots=True)
class Pod:
    """One process of one slot."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def until_ready(self) -> None:
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


class Rollout:
    """The pods of an installation, by role and slot, of either checkout."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._started = 0
        self.pods: dict[tuple[str, int], Pod] = {}

    def start(self, role: str, slot: int, checkout: Path) -> None:
        self._started += 1
        port = free_port()
        log = self._folder / f"{self._started}-{role}-{slot}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "opstrail_cli.main", *ROLES[role]],
                env={
                    **self._environment,
                    "PYTHONPATH": python_path(checkout),
                    "OPSTRAIL_SLOT__NUMBER": str(slot),
                    "OPSTRAIL_TELEMETRY__PORT": str(port),
                },
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.pods[role, slot] = Pod(process, port, log)

    def end(self) -> None:
        for pod in self.pods.values():
            if pod.process.poll() is None:
                pod.process.kill()
            pod.process.wait()


@contextmanager
def rollout(environment: Mapping[str, str], folder: Path) -> Iterator[Rollout]:
    found = Rollout(environment, folder)
    try:
        yield found
    finally:
        found.end()


def opstrail(environment: Mapping[str, str], checkout: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opstrail_cli.main", *words],
        env={**environment, "PYTHONPATH": python_path(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"


class Load:
    """Files that are noticed a lot at a time, and the identities that they hold."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.identities: set[str] = set()
        self._lots = 0

    def add(self) -> None:
        """Notice another lot of files, with this checkout's discover."""
        self._lots += 1
        lot = self._folder / str(self._lots) / f"AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2024/01/02"
        lot.mkdir(parents=True)
        for file in range(FILES_AT_ONCE):
            ids = [f"{self._lots}-{file}-{number}" for number in range(RECORDS_IN_A_FILE)]
            self.identities |= {f"{ACCOUNT}/{each}" for each in ids}
            records = [a_record(eventID=each, recipientAccountId=ACCOUNT) for each in ids]
            name = f"{ACCOUNT}_CloudTrail_eu-west-1_20240102T1000Z_{self._lots}x{file}.json.gz"
            (lot / name).write_bytes(trail_file(records))
        place = str(self._folder / str(self._lots))
        opstrail(self._environment, TOP, "ingest", "discover", place, "--once")


def test_a_rolling_upgrade_loses_nothing_and_doubles_nothing(
    servers: Servers, tmp_path: Path, before: Path, figure: Figure
) -> None:
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        environment = {
            **os.environ,
            **servers.environment(),
            **FEW_PARTITIONS,
            "OPSTRAIL_KAFKA__TOPIC_PREFIX": own.name,
            "OPSTRAIL_STORE__INDEX_PREFIX": own.name,
            "OPSTRAIL_SLOT__NAMESPACE": own.name,
            "OPSTRAIL_OBJECTS__LOCAL_ROOTS": f'["{tmp_path}"]',
            "OPSTRAIL_TELEMETRY__LOG_FORMAT": "json",
        }
        for words in (
            ("topics", "create"),
            ("schemas", "register"),
            ("store", "setup", "--execute"),
        ):
            opstrail(environment, before, *words)
        load = Load(tmp_path / "trails", environment)
        with rollout(environment, tmp_path) as pods:
            for role in ROLES:
                for slot in SLOTS:
                    pods.start(role, slot, before)
            for pod in pods.pods.values():
                pod.until_ready()
            load.add()
            # What the chart's hooks do, then one pod after the other, while files come.
            for words in (("schemas", "register"), ("store", "setup", "--execute")):
                opstrail(environment, TOP, *words)
            codes = []
            for role in ROLES:
                for slot in SLOTS:
                    load.add()
                    codes.append(pods.pods[role, slot].stop())
                    pods.start(role, slot, TOP)
                    pods.pods[role, slot].until_ready()
            load.add()
            while own.stored() < len(load.identities):
                for pod in pods.pods.values():
                    assert pod.process.poll() is None, pod.log.read_text()[-3000:]
                time.sleep(0.5)
        _check(own, load, codes, figure)


def _check(own: Installed, load: Load, codes: list[int], figure: Figure) -> None:
    stored = own.identities()
    keys = Counter(message.key for message in own.messages("events.enriched"))
    doubled = [key for key, number in keys.items() if number > 1]
    figure(
        "events, lost over a rolling upgrade",
        f"{len(stored)}, {len(load.identities - stored)}",
        "0",
    )
    figure("events doubled on the topic", len(doubled), "0")
    assert load.identities == stored
    assert [] == doubled
    assert [] == own.dead_letters()
    assert [0] * len(codes) == codes
