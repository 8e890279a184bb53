"""Failpoints: off unless set, at the n-th pass, once over restarts; and all of them documented."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrail_runtime.failpoints import BadFailpoint, arm, pass_by

TOP = Path(__file__).parents[3]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that the process sends to itself, which do not arrive."""
    sent: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert os.getpid() == pid
        sent.append(number)

    # A process cannot survive its own SIGKILL to tell about it.
    monkeypatch.setattr("os.kill", kill)
    yield sent
    arm("none", {})


def test_without_a_setting_nothing_happens(signals: list[int]) -> None:
    arm("split", {})
    pass_by("after-poll")

    assert [] == signals


def test_the_process_is_killed_at_the_nth_pass_and_only_then(signals: list[int]) -> None:
    arm("split", {"OPSTRAIL_FAILPOINT": "split.after-poll:3"})

    passed = []
    for _ in range(5):
        pass_by("after-poll")
        passed.append(len(signals))

    assert [0, 0, 1, 1, 1] == passed
    assert [signal.SIGKILL] == signals


def test_only_places_of_its_own_role_count(signals: list[int]) -> None:
    arm("enrich", {"OPSTRAIL_FAILPOINT": "split.after-poll:1,enrich.after-commit:1:stop"})
    pass_by("after-poll")
    assert [] == signals

    pass_by("after-commit")

    assert [signal.SIGSTOP] == signals


def test_it_happens_once_over_restarts_where_a_folder_says_so(
    signals: list[int], tmp_path: Path
) -> None:
    given = {"OPSTRAIL_FAILPOINT": "split.after-poll:1", "OPSTRAIL_FAILPOINT_SPENT": str(tmp_path)}
    for _ in range(3):
        arm("split", given)
        pass_by("after-poll")

    assert [signal.SIGKILL] == signals
    assert ["split.after-poll:1"] == [path.name for path in tmp_path.iterdir()]


def test_it_may_stand_still_instead(signals: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    arm("store", {"OPSTRAIL_FAILPOINT": "store.before-bulk:1:sleep=2.5"})

    pass_by("before-bulk")

    assert ([], [2.5]) == (signals, slept)


@pytest.mark.parametrize("text", ["split", "split.x", "split.x:n", "x:1", "a.x:1:run", "a.x:1:a:b"])
def test_what_is_no_failpoint_is_refused(text: str) -> None:
    with pytest.raises(BadFailpoint):
        arm("split", {"OPSTRAIL_FAILPOINT": text})


def test_every_place_in_the_code_is_documented() -> None:
    in_code = {
        name
        for folder in ("cli", "runtime", "services")
        for path in (TOP / folder).rglob("*.py")
        for name in re.findall(r'pass_by\("([a-z-]+)"\)', path.read_text())
    }
    page = (TOP / "docs" / "reference" / "failpoints.md").read_text()
    documented = set(re.findall(r"`([a-z]+-[a-z-]+)`", page.split("| role |")[1]))

    assert len(in_code) >= 16
    assert in_code == documented
