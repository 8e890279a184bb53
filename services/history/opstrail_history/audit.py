"""Who searched and downloaded what: one JSON line each, never what was found."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from opstrail_history.access import Principal, Scope
from opstrail_history.telemetry import AuditLogBroken
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.telemetry import emit

_log = structlog.get_logger("opstrail.audit")
_LONGEST = 8_000
# How far back it is read for who may see it; the whole of it is the file.
READ_BACK_BYTES = 8_000_000
Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that was asked. `what` is bounded: search, export, event …; who is None: refused.

    `query` is all that was asked but for the cursor, which says nothing.
    """

    who: Principal | None
    address: str
    what: str
    query: str
    status: int
    events: int | None = None

    def fields(self) -> Line:
        """Return its fields by name."""
        who = self.who
        accounts = None if who is None else who.scope.listed
        return {
            "who": who and who.name,
            "way": who and who.way,
            "accounts": "all" if who is not None and accounts is None else accounts,
            "address": self.address,
            "what": self.what,
            "query": self.query[:_LONGEST],
            "status": self.status,
            "events": self.events,
        }


class AuditLog:
    """Writes to a file, a line at once; without one, among the logs of the service.

    JSON escapes control characters: no query can forge a line (CWE-117). The file is opened for
    each line, so that it may be moved away at any time.
    """

    def __init__(self, path: Path | None, *, now: Callable[[], str]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()

    @property
    def is_kept(self) -> bool:
        """Whether it is in a file, and can be read here."""
        return self._path is not None

    def asked(self, asked: Asked) -> None:
        """Write that something was asked. Raises Unavailable where it cannot be written."""
        if self._path is None:
            _log.info("asked", **asked.fields())
            return
        line = json.dumps({"time": self._now(), **asked.fields()})
        try:
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            emit(AuditLogBroken(f"{self._path}: {error}"))
            raise Unavailable(
                "the audit log", "it cannot be written, and nothing is shown unlogged"
            ) from error

    def latest(self, scope: Scope, *, most: int) -> list[Line]:
        """Return lines, the latest first, of callers who may see no more accounts than `scope`.

        Those who were refused may be anybody: they are shown to who may see all accounts.
        """
        if self._path is None or not self._path.exists():
            return []
        with self._path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - READ_BACK_BYTES))
            texts = file.read().splitlines()
        found: list[Line] = []
        for text in reversed(texts):
            line = _line(text)
            if line is not None and _is_within(line, scope):
                found.append(line)
                if len(found) == most:
                    break
        return found


def _line(text: bytes) -> Line | None:
    """Return a line, parsed; None for the rest of one that was cut."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "what" in line else None


def _is_within(line: Line, scope: Scope) -> bool:
    if scope.accounts is None:
        return True
    accounts = line.get("accounts")
    return isinstance(accounts, list) and scope.accounts.issuperset(accounts)
