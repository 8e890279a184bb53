"""Finds files in a folder, takes one file, or spools stdin so that split can read it."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from opstrail_ingest.fetched import pieces_of
from opstrail_ingest.local_keys import local_key
from opstrail_ingest.notification import LOCAL_BUCKET
from opstrail_ingest.places import BadSource
from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in the folder that is not noticed; `why` is a bounded code, `detail` for people."""

    path: str
    key: str
    why: str
    detail: str


class FolderSource:
    """A folder with all below it, or a single file.

    Every regular file is noticed, whatever its name: what it is, split finds out. Left out, and
    reported, are hidden ones, links to folders (they may lead in circles) or to files elsewhere,
    pipes and devices, names that are not UTF-8, and what may not be read.
    """

    def __init__(self, source: str) -> None:
        self._source = Path(source)
        if not self._source.exists():
            raise BadSource(f"{source}: there is no such file or folder")

    @property
    def root(self) -> Path:
        """The folder that everything lies in."""
        return self._source if self._source.is_dir() else self._source.parent

    def notices(self, pulse: Pulse, *, now_ms: Callable[[], int]) -> Iterator[FileNotice | LeftOut]:
        """Yield notices in the order of paths."""
        if not self._source.is_dir():
            yield self._finding(self._source, pulse, now_ms)
            return
        yield from self._below(self._source, pulse, now_ms)

    def _below(
        self, folder: Path, pulse: Pulse, now_ms: Callable[[], int]
    ) -> Iterator[FileNotice | LeftOut]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield self._left_out(folder, "unreadable", _said(error))
            return
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                yield self._left_out(path, "hidden", "its name begins with a dot")
            elif entry.is_dir(follow_symlinks=False):
                yield from self._below(path, pulse, now_ms)
            else:
                yield self._finding(path, pulse, now_ms)

    def _finding(self, path: Path, pulse: Pulse, now_ms: Callable[[], int]) -> FileNotice | LeftOut:
        try:
            if path.is_dir():
                return self._left_out(path, "link", "a link to a folder")
            if not path.is_file():
                broken = path.is_symlink()
                return self._left_out(
                    path,
                    "link" if broken else "special",
                    "a link that leads nowhere" if broken else "neither a file nor a folder",
                )
            if path != self._source and not path.resolve().is_relative_to(self.root.resolve()):
                detail = "a link that leads out of the folder: split may not follow it"
                return self._left_out(path, "link", detail)
            return self._notice(path, pulse, now_ms)
        except UnicodeEncodeError:
            return self._left_out(path, "name", "its name is not UTF-8")
        except OSError as error:
            return self._left_out(path, "unreadable", _said(error))

    def _notice(self, path: Path, pulse: Pulse, now_ms: Callable[[], int]) -> FileNotice:
        key, local_path = self._key(path), str(path.resolve())
        key.encode()
        local_path.encode()
        digest = hashlib.sha256()
        with path.open("rb") as file:
            size = sum(map(len, pieces_of(file, digest, pulse.beat)))
            modified_s = os.fstat(file.fileno()).st_mtime
        return FileNotice(
            bucket=LOCAL_BUCKET,
            key=key,
            e_tag=digest.hexdigest(),
            size=size,
            last_modified=int(modified_s * 1000),
            local_path=local_path,
            source="folder",
            noticed_at=now_ms(),
        )

    def _key(self, path: Path) -> str:
        return local_key(str(path.absolute()), str(self.root.absolute()))

    def _left_out(self, path: Path, why: str, detail: str) -> LeftOut:
        return LeftOut(_shown(str(path)), _shown(self._key(path)), why, detail)


def spooled_stdin(
    stream: BinaryIO, folder: Path, pulse: Pulse, *, now_ms: Callable[[], int]
) -> FileNotice:
    """Write what comes into a file of `folder`, named after its hash, and return its notice.

    The same bytes give the same key, so a repeat is known. Whoever runs split deletes the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".stdin-", delete=False) as file:
        try:
            size = sum(map(file.write, pieces_of(stream, digest, pulse.beat)))
        except BaseException:
            Path(file.name).unlink()
            raise
    name = f"stdin-{digest.hexdigest()}"
    path = Path(file.name).replace(folder / name)
    return FileNotice(
        bucket=LOCAL_BUCKET,
        key=f"stdin/{digest.hexdigest()}",
        e_tag=digest.hexdigest(),
        size=size,
        local_path=str(path.resolve()),
        source="stream",
        noticed_at=now_ms(),
    )


def _shown(text: str) -> str:
    """Return text that can be encoded: bytes of a name that are not UTF-8 are spelled out."""
    return os.fsencode(text).decode("utf-8", errors="backslashreplace")


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__
