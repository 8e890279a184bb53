"""`opstrail local` on its own instance: found up, left alone, killed, started again, gone."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from opstrail_local import instance, record, trees
from opstrail_local.places import default_cache
from opstrail_local.progress import stderr_console
from opstrail_local.server import ask

# Not the session's instance: here servers are killed. One instance for the file, in its order.
pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("local"), pytest.mark.timeout(300)]

COMMAND = (sys.executable, "-m", "opstrail_local")
LINE = re.compile(r"[A-Z][A-Z0-9_]*=\S+")


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=240
    )


def runs(pid: int) -> bool:
    """Whether it does; a zombie that waits for the init process does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    trees.ensure(default_cache(), stderr_console())
    folder = tmp_path_factory.mktemp("local") / "state"
    yield folder
    instance.down(folder)


@pytest.fixture(scope="module")
def first_up(state: Path) -> subprocess.CompletedProcess[str]:
    begun = time.monotonic()
    result = local("up", "--state", str(state))
    print(f"local up: {time.monotonic() - begun:.1f} s (goal: about 10 warm)")
    assert result.returncode == 0, result.stderr
    return result


def test_up_prints_only_what_a_shell_can_source(
    first_up: subprocess.CompletedProcess[str],
) -> None:
    lines = first_up.stdout.splitlines()

    assert [] == [line for line in lines if not LINE.fullmatch(line)]
    assert [
        "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS",
        "OPSTRAIL_REGISTRY__URL",
        "OPSTRAIL_OPENSEARCH__URL",
        "OPSTRAIL_S3__ENDPOINT_URL",
        "OPSTRAIL_SQS__ENDPOINT_URL",
        "OPSTRAIL_ORGANIZATIONS__ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
    ] == [line.partition("=")[0] for line in lines]


def test_a_second_up_prints_the_same_and_starts_nothing(
    state: Path, first_up: subprocess.CompletedProcess[str]
) -> None:
    before = [server.pid for server in instance.status(state)]

    second = local("up", "--state", str(state))

    assert first_up.stdout == second.stdout
    assert before == [server.pid for server in instance.status(state)]


@pytest.mark.usefixtures("first_up")
def test_a_shell_that_sources_up_does_not_hang(state: Path) -> None:
    # One server is down, so that `up` has something to start while its output is sourced.
    instance.kill(state, "aws")
    script = f". <({shlex.join([*COMMAND, 'up', '--state', str(state)])}); "
    script += "echo $OPSTRAIL_S3__ENDPOINT_URL"

    # run() returns at the end of the pipes, which a server that had inherited one would hold open.
    shell = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=120
    )

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", shell.stdout)


@pytest.mark.usefixtures("first_up")
def test_status_is_json_when_piped(state: Path) -> None:
    servers = json.loads(local("status", "--state", str(state)).stdout)

    assert {"aws", "kafka", "opensearch", "registry"} == {server["name"] for server in servers}
    assert all(server["healthy"] and server["resident_bytes"] > 0 for server in servers)


@pytest.mark.usefixtures("first_up")
def test_every_server_listens_on_loopback_only(state: Path) -> None:
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for server in instance.status(state)
        for connection in psutil.Process(server.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert {"127.0.0.1"} == set(listening)
    assert len(listening) >= 7  # broker + controller, HTTP + transport, HTTP + management, moto


@pytest.mark.usefixtures("first_up")
def test_a_killed_server_comes_back_at_its_address_with_its_data(
    state: Path, namespace: str
) -> None:
    before = {server.name: server for server in instance.status(state)}
    kafka = AdminClient({"bootstrap.servers": before["kafka"].address, "log_level": 0})
    kafka.create_topics([NewTopic(namespace, 1, 1)])[namespace].result(30)
    search = before["opensearch"].address
    ask("PUT", f"{search}/{namespace}/_doc/1", body={"kept": True}, ok=(201,))
    subject = f"{before['registry'].address}/subjects/{namespace}/versions"
    ask("POST", subject, body={"schema": '"string"'})

    for name in ("kafka", "opensearch", "registry"):
        instance.kill(state, name)
        assert [name] == [s.name for s in instance.status(state) if s.pid is None]
        instance.start(state, name)

    after = {server.name: server for server in instance.status(state)}
    assert all(server.healthy for server in after.values())
    assert {n: s.address for n, s in before.items()} == {n: s.address for n, s in after.items()}
    again = AdminClient({"bootstrap.servers": after["kafka"].address, "log_level": 0})
    assert namespace in again.list_topics(timeout=30).topics
    assert {"kept": True} == ask("GET", f"{search}/{namespace}/_doc/1")["_source"]
    assert [1] == ask("GET", subject)


@pytest.mark.usefixtures("first_up")
def test_data_of_another_cluster_is_refused_at_once(state: Path) -> None:
    local("down", "--state", str(state))
    damaged = state / "kafka" / "data" / "meta.properties"
    text = damaged.read_text()
    damaged.write_text(text.replace("cluster.id=", "cluster.id=another"))

    failed = local("up", "--state", str(state))

    damaged.write_text(text)
    assert 1 == failed.returncode
    assert "kafka: the cluster id is another" in failed.stderr


@pytest.mark.usefixtures("first_up")
def test_a_server_that_dies_while_starting_is_named_and_the_others_are_stopped(
    state: Path,
) -> None:
    local("down", "--state", str(state))
    recorded = instance.status(state)
    damaged = state / "kafka" / "data" / "meta.properties"
    text = damaged.read_text()
    damaged.write_text(text.replace("node.id=1", "node.id=7"))

    failed = local("up", "--state", str(state))

    damaged.write_text(text)
    assert 1 == failed.returncode
    assert "" == failed.stdout
    assert "kafka ended while starting" in failed.stderr
    assert "node id" in failed.stderr  # the log says why
    assert [None] * len(recorded) == [server.pid for server in instance.status(state)]


@pytest.mark.usefixtures("first_up")
def test_an_interrupted_up_leaves_nothing_running(state: Path) -> None:
    local("down", "--state", str(state))
    up = subprocess.Popen(
        [*COMMAND, "up", "--state", str(state)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while not any(server.pid for server in instance.status(state)):
        assert time.monotonic() < until
        time.sleep(0.01)

    up.send_signal(signal.SIGINT)
    stdout, _ = up.communicate(timeout=120)

    assert (130, b"") == (up.returncode, stdout)
    assert [] == [server.pid for server in instance.status(state) if server.pid]


@pytest.mark.usefixtures("first_up")
def test_down_leaves_nothing_running_and_never_touches_a_stranger(state: Path) -> None:
    assert local("up", "--state", str(state)).returncode == 0
    pids = [server.pid for server in instance.status(state)]
    known = record.read(state)
    assert known is not None
    # A process that has the recorded pid now, but was started at another time.
    stranger = subprocess.Popen(["sleep", "300"])
    entry = known.entries[0]
    foreign = record.Entry(
        entry.server, type(entry.process)(stranger.pid, 1, entry.process.boot_id)
    )

    assert local("down", "--state", str(state)).returncode == 0
    record.write(state, known.with_entry(foreign))
    assert local("down", "--state", str(state)).returncode == 0

    try:
        assert [] == [pid for pid in pids if pid and runs(pid)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
