"""Bring recorded artifacts into a folder: resumed, repeated, checked, several at once.

A file appears under its own name only when it is whole and its SHA-256 is the recorded one.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import requests

from opstrail_local.artifacts import Artifact
from opstrail_local.errors import HashMismatch, LocalServersError
from opstrail_local.progress import Watcher

_AT_ONCE = 6
_TRIES = 5
_FIRST_WAIT_S = 1.0
_CONNECT_S, _SILENT_S = 15.0, 60.0
_CHUNK_BYTES = 1 << 18
_RESUMED, _NOT_FOUND, _BEYOND_END = 206, 404, 416


class _Stopped(Exception):
    """The fetch was called off."""


class Fetcher:
    """Downloads artifacts from the first repository that has them."""

    def __init__(self, repositories: Sequence[str], watcher: Watcher) -> None:
        self._repositories = repositories
        self._watcher = watcher
        self._stop = threading.Event()

    def fetch(self, artifacts: Iterable[Artifact], folder: Path) -> None:
        """Have every artifact in `folder` when this returns. The first failure ends it."""
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # The largest first: the small ones fill the gaps.
            ordered = sorted(artifacts, key=lambda a: -a.size)
            futures = [pool.submit(self._one, artifact, folder) for artifact in ordered]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failures = [error for f in done if (error := f.exception()) is not None]
                if failures:
                    raise failures[0]
            finally:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, artifact: Artifact, folder: Path) -> None:
        target = folder / artifact.file_name
        if target.exists():
            self._watcher.advanced(artifact.size)
        else:
            part = target.with_name(target.name + ".part")
            self._download(artifact, part)
            part.replace(target)
        self._watcher.finished(artifact.file_name)

    def _download(self, artifact: Artifact, part: Path) -> None:
        resumed = part.exists()
        self._repeat(artifact, part)
        actual = sha256_of(part)
        if actual != artifact.sha256 and resumed:
            # The piece of an earlier run may be the broken one: once from the start.
            self._discard(part)
            self._repeat(artifact, part)
            actual = sha256_of(part)
        if actual != artifact.sha256:
            self._discard(part)
            raise HashMismatch(artifact.path, expected=artifact.sha256, actual=actual)

    def _repeat(self, artifact: Artifact, part: Path) -> None:
        """Try again after a broken connection or a 5xx, from the byte that was reached."""
        if part.exists():
            self._watcher.advanced(part.stat().st_size)
        for attempt in range(1, _TRIES + 1):
            try:
                self._from_any_repository(artifact, part)
            except requests.RequestException as error:
                if attempt == _TRIES:
                    raise LocalServersError(
                        f"{artifact.path} could not be fetched ({_TRIES} tries): {error}\n"
                        "Is the network there? OPSTRAIL_MAVEN_URL names another Maven repository."
                    ) from error
                if self._stop.wait(_FIRST_WAIT_S * 2 ** (attempt - 1)):
                    raise _Stopped from error
            else:
                return

    def _from_any_repository(self, artifact: Artifact, part: Path) -> None:
        for repository in self._repositories:
            if self._from_one(f"{repository}/{artifact.path}", part):
                return
        raise LocalServersError(
            f"{artifact.path} is in none of the repositories asked: "
            + ", ".join(self._repositories)
        )

    def _from_one(self, url: str, part: Path) -> bool:
        """Append what is missing to `part`. False: this repository does not have it."""
        here = part.stat().st_size if part.exists() else 0
        # Bytes as they are: a re-compressed transfer could not be resumed by position.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={here}-"} if here else {})
        timeout = (_CONNECT_S, _SILENT_S)
        with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
            if response.status_code == _NOT_FOUND:
                return False
            if here and response.status_code == _BEYOND_END:
                return True  # it was whole already; the hash decides
            response.raise_for_status()
            if here and response.status_code != _RESUMED:
                self._discard(part)
            with part.open("ab") as file:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    if self._stop.is_set():
                        raise _Stopped
                    file.write(chunk)
                    self._watcher.advanced(len(chunk))
        return True

    def _discard(self, part: Path) -> None:
        self._watcher.advanced(-part.stat().st_size)
        part.unlink()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as artifacts.lock writes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
