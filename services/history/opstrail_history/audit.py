"""Who searched and downloaded what: one JSON line each, never what was found."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from opstrail_history.access import Principal

_log = structlog.get_logger("opstrail.audit")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that was asked. `what` is bounded: search, export, event …; `query` is as sent."""

    who: Principal
    address: str
    what: str
    query: str
    status: int
    events: int | None = None

    def fields(self) -> Mapping[str, object]:
        """Return its fields by name."""
        accounts = self.who.scope.accounts
        return {
            "who": self.who.name,
            "way": self.who.way,
            "accounts": "all" if accounts is None else sorted(accounts),
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

    def asked(self, asked: Asked) -> None:
        """Write that something was asked. Raises OSError where it cannot be written."""
        if self._path is None:
            _log.info("asked", **asked.fields())
            return
        line = json.dumps({"time": self._now(), **asked.fields()})
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
