"""The newcomer's tour ends well, and leaves nothing running."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_the_demo_stores_exactly_what_the_sample_holds_in_any_order(tmp_path: Path) -> None:
    plain, shuffled = _ended(tmp_path, "--once"), _ended(tmp_path, "--once", "--shuffle", "8")

    for title in ("What came of it", "Top callers", "Calls by stack", "as of", "Dead letters"):
        assert title in plain
    assert _in_short(plain) == _in_short(shuffled)
    assert [] == [each for each in psutil.process_iter() if str(tmp_path) in _command(each)]


def _ended(folder: Path, *arguments: str) -> str:
    names = ("OPSTRAIL_", "AWS_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    ended = subprocess.run(
        [sys.executable, "-m", "opstrail_cli.demo", *arguments],
        env=bare | {"XDG_STATE_HOME": str(folder), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The store holds exactly what the sample holds." in ended.stdout
    return ended.stdout


def _in_short(out: str) -> str:
    return next(line for line in out.splitlines() if line.startswith("In short:"))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
