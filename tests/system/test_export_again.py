"""What was downloaded is taken in again: nothing is new but what the download's end counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.folder import write
from tests.support.history import Stored, serving
from tests.support.installed import FEW_PARTITIONS, installed
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
OPSTRAIL = [sys.executable, "-m", "opstrail_cli.main"]


def test_a_download_that_is_piped_into_run_stores_nothing_new(
    servers: Servers, tmp_path: Path
) -> None:
    write(archive(), tmp_path / "trail")
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        own.run(tmp_path / "trail")
        before = own.identities()
        stored = Stored(servers.addresses.opensearch, own.name, own.opensearch)
        with serving(stored) as url:
            export = subprocess.Popen(
                [*OPSTRAIL, "export", "--format", "records"],
                env=own.environment(OPSTRAIL_HISTORY__URL=url),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            run = subprocess.run(
                [*OPSTRAIL, "run", "-", "--until-idle", "--json"],
                env=own.environment(),
                stdin=export.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
            _, told = export.communicate()
        new = own.identities() - before

    assert (0, 0) == (export.returncode, run.returncode), told + run.stderr
    assert "1 without eventID, 1 of another account" in told
    # The one of another account than its key: without the key it is that account's. The one without
    # eventID is known by its content, and would be new only beside its equals in a file.
    assert 1 == len(new) == json.loads(run.stdout.splitlines()[-1])["stored"]
    assert 224 == len(before)
