"""Named places where a process can be made to die or to stand still: for tests, off unless set.

    OPSTRAIL_FAILPOINT=split.after-produce:3          SIGKILL to itself at the third pass
    OPSTRAIL_FAILPOINT=enrich.after-poll:1:sleep=15   stands still for 15 s, and goes on
    OPSTRAIL_FAILPOINT=enrich.after-offsets:2:stop    SIGSTOP to itself; somebody sends SIGCONT

Several are separated by commas. A process that starts again counts from 1 again; with
OPSTRAIL_FAILPOINT_SPENT=FOLDER each one happens once, and leaves a file of its name there.
docs/reference/failpoints.md lists the places.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POINTS, SPENT = "OPSTRAIL_FAILPOINT", "OPSTRAIL_FAILPOINT_SPENT"


class BadFailpoint(ValueError):
    """A failpoint is not written as NAME:NTH or NAME:NTH:ACTION."""


@dataclass(slots=True)
class _Failpoint:
    text: str
    left: int
    action: str
    spent: Path | None

    def pass_by(self) -> None:
        self.left -= 1
        if self.left == 0 and self._is_first():
            self._act()

    def _is_first(self) -> bool:
        """Leave the mark; whether it was not there yet."""
        if self.spent is None:
            return True
        try:
            self.spent.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _act(self) -> None:
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            time.sleep(float(self.action.removeprefix("sleep=")))


_armed: dict[str, list[_Failpoint]] = {}


def arm(role: str, environment: Mapping[str, str]) -> None:
    """Set this process's failpoints: those of its role. Raises BadFailpoint."""
    _armed.clear()
    folder = environment.get(SPENT)
    for text in filter(None, environment.get(POINTS, "").split(",")):
        found = _failpoint(text, Path(folder) if folder else None)
        of, _, name = text.partition(":")[0].partition(".")
        if of == role:
            _armed.setdefault(name, []).append(found)


def pass_by(name: str) -> None:
    """Say that the process is at this place. Does nothing unless a failpoint is set here."""
    if not _armed:
        return
    for found in _armed.get(name, ()):
        found.pass_by()


def _failpoint(text: str, folder: Path | None) -> _Failpoint:
    parts = text.split(":")
    action = parts[2] if len(parts) == 3 else "kill"  # noqa: PLR2004 - name, nth, action
    known = action in {"kill", "stop"} or action.removeprefix("sleep=").replace(".", "").isdigit()
    if len(parts) not in {2, 3} or not parts[1].isdigit() or not known or "." not in parts[0]:
        raise BadFailpoint(f"{text}: write ROLE.NAME:NTH or ROLE.NAME:NTH:kill|stop|sleep=SECONDS")
    spent = None if folder is None else folder / text.replace("/", "-")
    return _Failpoint(text, int(parts[1]), action, spent)
