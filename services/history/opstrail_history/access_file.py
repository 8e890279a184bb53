"""The access file, read again whenever it changes: a token that was struck out is out at once."""

import threading
from pathlib import Path

import yaml

from opstrail_history.access import Access, BadAccessFile, access_of


class AccessFile:
    """What the file grants now. Where a change cannot be read, nobody is let in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._access: Access | None = None
        self._lock = threading.Lock()

    def current(self) -> Access:
        """Return it. Raises BadAccessFile."""
        with self._lock:
            try:
                stat = self._path.stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if self._access is None or seen != self._seen:
                    self._access = None
                    document = yaml.safe_load(self._path.read_text("utf-8"))
                    self._access = access_of(document)
                    self._seen = seen
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                self._access = None
                raise BadAccessFile(f"{self._path} cannot be read: {error}") from error
            return self._access
