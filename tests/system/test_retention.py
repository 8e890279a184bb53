"""Retention in a whole installation: what it deleted stays deleted, and every record is counted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

OLD, NEW = "2023-01-15T12:00:00Z", "2024-03-01T12:00:00Z"


def some(name: str, number: int, time: str) -> list[dict[str, object]]:
    return [a_record(f"{name}-{each}", eventTime=time) for each in range(number)]


def written(path: Path, records: Sequence[dict[str, object]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(trail_file(records))
    return path.parent


def ended(own: Installed, *command: str, **more: str) -> Any:
    run = own.start(*command, **more)
    assert 0 == run.process.wait(120), run.err.read_text()
    return json.loads(run.out.read_text())


def test_what_retention_deleted_does_not_come_back(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    trails = tmp_path / "trails"
    written(trails / "1.json.gz", some("old", 20, OLD) + some("new", 10, NEW))
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        assert 30 == own.run(trails).result["stored"]
        rows = ended(
            own, "store", "retention", "--before", "2024-01", "--execute",
            OPSTRAIL_STORE__CLOSED_HOURS="0",
        )  # fmt: skip
        kept = own.identities()

        # Late ones of the deleted month, repeats of it in another file, and a repair of everything.
        late = some("late", 5, OLD) + some("old", 20, OLD) + some("newer", 3, NEW)
        written(trails / "2.json.gz", late)
        again = own.run(trails).result
        ended(own, "store", "reread", "--all")
        third = own.run(trails).result

        assert {f"{own.name}-events-v1-2023.01": 20} == {
            row["index"]: row["documents"] for row in rows if row["action"] == "delete"
        }
        assert 10 == len(kept)
        assert kept < own.identities()
        assert not own.opensearch.indices.exists(index=f"{own.name}-events-v1-2023.01")
        counted = {name: again[name] for name in ("stored", "expired", "deadLetters")}
        figure("after retention: stored, expired, dead", list(counted.values()), "[3, 5, 0]")
        assert {"stored": 3, "expired": 5, "deadLetters": 0} == counted
        assert again["records"] == again["stored"] + again["alreadyThere"] + again["expired"]
        assert 0 == third["stored"]
