"""`opstrail dead-letters` on real servers: a retry ends where the first try should have."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opstrail_schemas.messages import DeadLetter
from tests.support.installed import FEW_PARTITIONS, Installed, Message, installed
from tests.support.records import ACCOUNT, a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

BROKEN = b'{"eventVersion": "1.01"ed}'
KILLED = -9
EVENTS = 12
PLACES = ("before-transaction", "mid-produce", "after-produce", "after-commit")


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Installed]:
    with installed(servers, tmp_path, **FEW_PARTITIONS) as installation:
        yield installation


def dead_letters(own: Installed, *words: str, **more: str) -> tuple[int, Any]:
    """Run the command; return its exit code and what it printed as JSON, None for nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "opstrail_cli.main", "dead-letters", *words],
        env=own.environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 3, KILLED}, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def keys(own: Installed) -> list[str]:
    return sorted(row["letterKey"] for row in dead_letters(own, "list")[1])


def test_a_file_that_was_mended_ends_complete_and_leaves_no_letter(
    own: Installed, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    whole = [a_record(number) for number in range(5)]
    (folder / "hurt.json.gz").write_bytes(trail_file([*whole[:2], BROKEN, *whole[3:], BROKEN]))
    (folder / "hopeless.json.gz").write_bytes(b"\xfe nonsense")
    assert 3 == own.run(folder).code
    assert 3 == len(keys(own))

    (folder / "hurt.json.gz").write_bytes(trail_file(whole))
    code, plan = dead_letters(own, "retry", "--all")
    assert (0, {"read the file again"}) == (code, {row["action"] for row in plan})
    assert 0 == dead_letters(own, "retry", "--all", "--execute")[0]
    ended = own.run(folder)

    assert {f"{ACCOUNT}/{number}" for number in range(5)} == own.identities()
    assert ["split:local/hopeless.json.gz"] == keys(own)
    # The index of the store shows the same.
    assert ["split:local/hopeless.json.gz"] == [each["letterKey"] for each in own.dead_letters()]
    assert {"hurt.json.gz": "done", "hopeless.json.gz": "quarantined"} == {
        key: row["state"] for key, row in own.files().items()
    }
    assert 3 == ended.code


def test_a_whole_copy_that_comes_by_itself_withdraws_the_letters_of_the_damaged_ones(
    own: Installed, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    file = folder / "hurt.json.gz"
    whole = [a_record(number) for number in range(5)]
    file.write_bytes(trail_file([*whole[:2], BROKEN, *whole[3:], BROKEN]))
    assert 3 == own.run(folder).code
    fragments = keys(own)
    assert 2 == len(fragments)

    file.write_bytes(trail_file(whole)[:-20])
    assert 3 == own.run(folder).code
    # What was cut off may be in them.
    assert {*fragments, "split:local/hurt.json.gz"} <= set(keys(own))

    file.write_bytes(trail_file(whole))
    spent = tmp_path / "spent"
    spent.mkdir()
    own.run(
        folder,
        OPSTRAIL_FAILPOINT="split.after-produce:1",
        OPSTRAIL_FAILPOINT_SPENT=str(spent),
    )
    assert list(spent.iterdir()), "split was not killed"
    assert 0 == own.run(folder).code

    assert [] == keys(own)
    assert [] == own.dead_letters()
    assert {f"{ACCOUNT}/{number}" for number in range(5)} == own.identities()
    assert "done" == own.files()["hurt.json.gz"]["state"]


def test_a_retry_that_is_killed_anywhere_sends_each_message_once(
    own: Installed, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "f.json.gz").write_bytes(trail_file([a_record(n) for n in range(EVENTS)]))
    assert 0 == own.run(folder).code
    identities = own.identities()
    raw = list(own.messages("events.raw"))

    for times, place in enumerate(PLACES, start=2):
        own.bury(map(a_letter, raw))
        assert EVENTS == len(keys(own))
        killed, _ = dead_letters(
            own, "retry", "--all", "--execute", OPSTRAIL_FAILPOINT=f"dead-letters.{place}:1"
        )
        assert KILLED == killed
        dead_letters(own, "retry", "--all", "--execute")

        assert [] == keys(own)
        sent = Counter(message.key for message in own.messages("events.raw"))
        assert dict.fromkeys((key.encode() for key in identities), times) == sent

    assert 0 == own.run(folder).code
    # What is there already is dropped by enrich's window, as anything that comes again.
    enriched = Counter(message.key for message in own.messages("events.enriched"))
    assert dict.fromkeys((key.encode() for key in identities), 1) == enriched
    assert identities == own.identities()


def a_letter(message: Message) -> DeadLetter:
    return DeadLetter(
        stage="enrich",
        reason="crashed",
        message="it killed the process three times",
        topic="opstrail.events.raw.v1",
        partition=message.partition,
        offset=message.offset,
        first_failed_at=1,
        failed_at=1,
    )
