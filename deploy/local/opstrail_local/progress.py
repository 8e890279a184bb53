"""What a person sees while files are fetched: a bar on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_PLAIN_EVERY_BYTES = 50_000_000


class Watcher(Protocol):
    """Is told how a fetch goes, from several threads."""

    def advanced(self, n_bytes: int) -> None:
        """So many more bytes are here; negative when bytes were thrown away."""

    def finished(self, name: str) -> None:
        """This file is here and is the recorded one."""


class _Bar:
    def __init__(self, progress: Progress, *, files: int, total_bytes: int) -> None:
        self._progress = progress
        self._files = files
        self._done = 0
        self._task = progress.add_task("fetching", total=total_bytes)

    def advanced(self, n_bytes: int) -> None:
        self._progress.advance(self._task, n_bytes)

    def finished(self, name: str) -> None:
        self._done += 1
        self._progress.update(self._task, description=f"{self._done}/{self._files} {name:40.40}")


class _Lines:
    def __init__(self, console: Console, *, files: int, total_bytes: int) -> None:
        self._console = console
        self._files = files
        self._total_bytes = total_bytes
        self._here = 0
        self._next_line = _PLAIN_EVERY_BYTES
        self._lock = threading.Lock()
        self._say(f"fetching {files} files, {total_bytes / 1e6:.0f} MB")

    def advanced(self, n_bytes: int) -> None:
        with self._lock:
            self._here += n_bytes
            if self._here >= self._next_line:
                self._next_line = self._here + _PLAIN_EVERY_BYTES
                self._say(f"fetched {self._here / 1e6:.0f} of {self._total_bytes / 1e6:.0f} MB")

    def finished(self, name: str) -> None:
        """Forty-six jars would be forty-six lines: the megabytes say enough."""

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


@contextmanager
def shown(console: Console, *, files: int, total_bytes: int) -> Iterator[Watcher]:
    """Show a fetch on `console`."""
    if not console.is_terminal:
        yield _Lines(console, files=files, total_bytes=total_bytes)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, files=files, total_bytes=total_bytes)


def stderr_console() -> Console:
    """Standard output is for a shell to source, so people are spoken to on standard error."""
    return Console(stderr=True)


def stdout_console() -> Console:
    """For tables that a person asked for."""
    return Console()
