"""History as a process: where it may serve, how it ends, what `run` leaves behind."""

import json
import os
import subprocess
import sys

import httpx2
import psutil
import pytest
import yaml
from click.testing import CliRunner

from opstrail_cli import history_process
from opstrail_cli.own_name import own_name
from opstrail_history.access import access_of, token_hash
from opstrail_history.commands import history
from opstrail_history.settings import URL
from tests.support.history import a_record, event_of, serving


def started(**environment):
    """What `opstrail history` says and ends with, where it does not serve."""
    return subprocess.run(
        [sys.executable, "-m", "opstrail_cli.main", "history"],
        env={
            "PATH": os.environ["PATH"],
            "OPSTRAIL_OPENSEARCH__URL": "http://127.0.0.1:9",
            "OPSTRAIL_HISTORY__PORT": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_authentication_it_refuses_to_bind_elsewhere(host):
    ended = started(OPSTRAIL_HISTORY__HOST=host)

    assert 2 == ended.returncode
    assert "no authentication is set up" in ended.stderr


def test_tokens_do_not_cross_a_network_unencrypted(tmp_path):
    (tmp_path / "access.yaml").write_text("tokens: []\n")

    ended = started(
        OPSTRAIL_HISTORY__HOST="0.0.0.0",
        OPSTRAIL_HISTORY__ACCESS_FILE=str(tmp_path / "access.yaml"),
    )

    assert 2 == ended.returncode
    assert "unencrypted" in ended.stderr


def test_an_access_file_that_cannot_be_meant_is_refused_at_the_start(tmp_path):
    (tmp_path / "access.yaml").write_text("token: []\n")

    ended = started(OPSTRAIL_HISTORY__ACCESS_FILE=str(tmp_path / "access.yaml"))

    assert 2 == ended.returncode
    assert "the access file must hold" in ended.stderr


def test_a_token_that_was_made_opens(sample_store, tmp_path):
    made = CliRunner().invoke(history, ["token", 'a "b"', "--account", "111122223333"])
    token = made.stderr.partition("token: ")[2].split()[0]
    file = tmp_path / "access.yaml"
    file.write_text("tokens:\n" + made.stdout)

    [principal] = access_of(yaml.safe_load(file.read_text())).by_hash.values()
    assert ('a "b"', frozenset({"read", "export"})) == (principal.name, principal.rights)
    assert token not in file.read_text()
    assert token_hash(token) in file.read_text()
    with serving(sample_store, OPSTRAIL_HISTORY__ACCESS_FILE=str(file)) as url:
        answer = httpx2.get(f"{url}/api/v1/access", headers={"Authorization": f"Bearer {token}"})
    assert ["111122223333"] == answer.json()["accounts"]


def test_a_download_of_large_events_is_held_in_flat_memory(store, figure):
    large = {"k": ["x" * 25_000] * 10}  # 250 KB in all: CloudTrail's largest
    for batch in range(20):
        store.put([
            event_of(a_record(f"e-{batch}-{at}", "2024-01-02T00:00:00Z", requestParameters=large))
            for at in range(30)
        ])  # fmt: skip
    highest, last = 0, b""
    with serving(store) as url:
        process = psutil.Process(_listening_at(url))
        with httpx2.stream("GET", f"{url}/api/v1/export", timeout=300) as answer:
            for piece in answer.iter_bytes(1_000_000):
                highest = max(highest, process.memory_info().rss)
                last = (last + piece)[-1_000:]

    assert 600 == json.loads(last.splitlines()[-1])["opstrailExport"]["events"]
    figure("download of 600 events of 250 KB, highest RSS", f"{highest / 2**20:.0f} MiB", "200 MiB")


def _listening_at(url):
    """The process that listens at an address."""
    port = int(url.rpartition(":")[2])
    return next(
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    )


def test_what_run_leaves_behind_is_found_again_and_ends_with_its_file(
    sample_store, tmp_path, monkeypatch
):
    for name in [name for name in os.environ if name.startswith("OPSTRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("OPSTRAIL_OPENSEARCH__URL", sample_store.url)
    monkeypatch.setenv("OPSTRAIL_STORE__INDEX_PREFIX", sample_store.prefix)
    assert URL == history_process.url()

    first = history_process.left_running(
        sample_store.url, sample_store.prefix, logs=tmp_path / "logs"
    )
    assert first.ready()
    again = history_process.left_running(
        sample_store.url, sample_store.prefix, logs=tmp_path / "logs"
    )

    assert first.url == again.url == history_process.url()
    assert again.process is None
    assert f"{own_name()} search --since 3650d" == history_process.search_line()
    assert 224 == httpx2.get(f"{first.url}/api/v1/events").json()["total"]
    history_process.give_up()
    assert first.process is not None
    assert 0 == first.process.wait(60)
    assert URL == history_process.url()


def test_where_it_is_named_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("OPSTRAIL_HISTORY__URL", "http://127.0.0.1:9")

    found = history_process.left_running("http://x", "p", logs=tmp_path)

    assert ("http://127.0.0.1:9", None) == (found.url, found.process)
    assert history_process.search_line().startswith("OPSTRAIL_HISTORY__URL=http://127.0.0.1:9 ")
    assert not history_process.answers(found.url)
    assert [] == list(tmp_path.iterdir())
