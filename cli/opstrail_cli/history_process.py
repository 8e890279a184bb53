"""The history that `run` leaves behind: one process of this user, found again by a file.

It lives as long as the file is there and says what it said: `opstrail local down` takes the file
away, and a history of another store takes its place.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from opstrail_cli.own_name import own_name
from opstrail_cli.processes import free_port, is_free, state_folder
from opstrail_history.settings import PORT, URL

_READY_WITHIN_S = 30.0
_LOOK_AGAIN_S = 0.1
_URL = "OPSTRAIL_HISTORY__URL"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file says: which history serves where, over which store."""

    url: str
    opensearch: str
    prefix: str
    life: str


def url() -> str:
    """Return where people's commands find a history: as told, as left behind, else the usual."""
    told = os.environ.get(_URL)
    kept = None if told else _kept(_file())
    return told or (kept.url if kept else URL)


def search_line() -> str:
    """Return a line that searches, in a shell that knows nothing else."""
    told = os.environ.get(_URL)
    line = f"{own_name()} search --since 3650d"
    return f"{_URL}={told} {line}" if told else line


@dataclass(slots=True)
class HistoryProcess:
    """The history over one store. It outlives us, so nobody waits for its end."""

    url: str
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        """Wait until it answers; whether it does. One we did not start is not ours to check."""
        if self.process is None:
            return True
        until = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < until:
            if answers(self.url):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(_LOOK_AGAIN_S)
        return False


def left_running(opensearch: str, prefix: str, *, logs: Path) -> HistoryProcess:
    """Return the history of a store: the one that was named, or runs already, else a new one."""
    told = os.environ.get(_URL)
    if told:
        return HistoryProcess(told)
    file = _file()
    kept = _kept(file)
    if kept and (kept.opensearch, kept.prefix) == (opensearch, prefix) and answers(kept.url):
        return HistoryProcess(kept.url)
    port = os.environ.get("OPSTRAIL_HISTORY__PORT") or str(PORT if is_free(PORT) else free_port())
    fresh = Kept(f"http://127.0.0.1:{port}", opensearch, prefix, secrets.token_hex(8))
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(fresh)))
    new.replace(file)
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / "history.log"
    return HistoryProcess(fresh.url, log, _spawned(port, file, log))


def give_up() -> None:
    """Take the file away: the history that was left running ends by itself."""
    _file().unlink(missing_ok=True)


def answers(address: str) -> bool:
    """Return whether a history answers there, if only that it wants a token."""
    try:
        with urllib.request.urlopen(f"{address}/api/v1/access", timeout=5):  # noqa: S310 - ours
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code in {401, 429}
    except OSError:
        return False


def _spawned(port: str, file: Path, log: Path) -> subprocess.Popen[bytes]:
    environment: Mapping[str, str] = {
        **os.environ,
        "OPSTRAIL_HISTORY__PORT": port,
        "OPSTRAIL_HISTORY__WHILE_FILE": str(file),
        "OPSTRAIL_TELEMETRY__PORT": "0",
        "OPSTRAIL_TELEMETRY__LOG_FORMAT": "json",
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "opstrail_cli.main", "history"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C, and the end of the terminal, are not for it
        )


def _file() -> Path:
    # Beside the local servers: `opstrail local down` takes away what lives by a file there.
    return state_folder() / "local" / "companions" / "history.json"


def _kept(file: Path) -> Kept | None:
    try:
        return Kept(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
