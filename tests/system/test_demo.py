"""The newcomer's tour ends well, and leaves nothing running."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_the_demo_stores_exactly_what_the_sample_holds(tmp_path: Path) -> None:
    names = ("OPSTRAIL_", "AWS_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(names)}

    ended = subprocess.run(
        [sys.executable, "-m", "opstrail_cli.demo", "--once"],
        env=bare | {"XDG_STATE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The store holds exactly what the sample holds." in ended.stdout
    for title in ("What came of it", "Top callers", "Calls by stack", "Dead letters"):
        assert title in ended.stdout
    assert [] == [each for each in psutil.process_iter() if str(tmp_path) in _command(each)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
