"""The access file, read again whenever it changes: a token that was struck out is out at once."""

import threading
from pathlib import Path

import yaml

from opstrail_history.access import Access, BadAccessFile, access_of
from opstrail_history.telemetry import AccessFileBroken
from opstrail_runtime.telemetry import emit


class AccessFile:
    """What the file grants now. Where a change cannot be read, nobody is let in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._access: Access | BadAccessFile = BadAccessFile("not read yet")
        self._lock = threading.Lock()

    def current(self) -> Access:
        """Return it. Raises BadAccessFile; it is logged once for each state of the file."""
        with self._lock:
            try:
                stat = self._path.stat()
                seen = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._read()
                    self._seen = seen
            except OSError as error:
                self._seen = None  # it may pass without a change of the file
                self._broken(f"{self._path} cannot be read: {error}")
            if isinstance(self._access, BadAccessFile):
                raise BadAccessFile(str(self._access))
            return self._access

    def _read(self) -> None:
        try:
            self._access = access_of(yaml.safe_load(self._path.read_text("utf-8")))
        except BadAccessFile as error:
            self._broken(str(error))
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            self._broken(f"{self._path} cannot be read: {error}")

    def _broken(self, why: str) -> None:
        if str(self._access) != why:
            emit(AccessFileBroken(why))
        self._access = BadAccessFile(why)
