"""The commands of ingest, as processes, as far as they get without servers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVERS = {
    "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "OPSTRAIL_REGISTRY__URL": "http://127.0.0.1:1",
}
CODE = "from opstrail_ingest.commands import ingest; ingest(prog_name='ingest')"


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPSTRAIL_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["backfill", "replay"])
def test_what_would_be_noticed_is_shown_first(tmp_path: Path, command: str) -> None:
    (tmp_path / "a.json").write_text("12345")
    (tmp_path / ".hidden").write_text("x")

    done = run(command, str(tmp_path), **SERVERS)

    assert (0, {"files": 1, "bytes": 5, "leftOut": 1}) == (done.returncode, json.loads(done.stdout))
    assert "--execute" in done.stderr


@pytest.mark.parametrize(("day", "files"), [("2024-03-01", 2), ("2024-03-02", 1)])
def test_a_range_holds_for_folders_too(tmp_path: Path, day: str, files: int) -> None:
    key = tmp_path / "AWSLogs/111122223333/CloudTrail/eu-west-1/2024/03/01/a.json"
    key.parent.mkdir(parents=True)
    for path in (key, tmp_path / "b.json"):
        path.write_text("12345")

    done = run("replay", str(tmp_path), "--since", day, **SERVERS)

    assert files == json.loads(done.stdout)["files"]


@pytest.mark.parametrize(
    ("arguments", "environment", "text"),
    [
        (("discover", "x"), {}, "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS: is not set"),
        (("discover", "http://queue.example/1/q"), SERVERS, "plaintext_hosts"),
        (("discover", "ftp://x"), SERVERS, "ftp://x"),
        (("discover", "https://sqs.eu-west-1.amazonaws.com/1/q"), SERVERS, "ALLOWED_BUCKETS"),
        (("backfill", "/no/such/folder"), SERVERS, "no such file or folder"),
        (("backfill", "-"), SERVERS, "give s3://BUCKET/PREFIX"),
        (("discover", "-", "--since", "2024-02-01"), SERVERS, "for a bucket or a folder"),
        (("backfill", "x", "--since", "2024-02-01", "--until", "2024-01-01"), SERVERS, "--since"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: tuple[str, ...], environment: dict[str, str], text: str
) -> None:
    done = run(*arguments, **environment)

    assert 2 == done.returncode
    assert text in done.stderr
    assert "Traceback" not in done.stderr
