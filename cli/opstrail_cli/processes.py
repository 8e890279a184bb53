"""The services of one `opstrail run` as processes: started, watched, restarted, stopped."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MOST_RESTARTS = 20
STOP_S = 30.0
PR_SET_PDEATHSIG = 1


class KeepsDying(Exception):
    """A service ended too often to start it again; the message shows the end of its log."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return whether nobody listens on a port of the loopback interface now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def state_folder() -> Path:
    """Return where opstrail keeps what outlives a run on this machine."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "opstrail"


def _die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent is gone, however it went (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Service:
    """One process; its output goes to a log file, its metrics to a port."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    reads_stdin: bool = False
    monotonic: Callable[[], float] = time.monotonic
    port: int = field(default_factory=free_port)
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _start_at: float = 0.0

    def start(self) -> None:
        """Start the process."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "opstrail_cli.main", *self.command],
                env={
                    **os.environ,
                    **self.environment,
                    "OPSTRAIL_TELEMETRY__PORT": str(self.port),
                },
                stdin=None if self.reads_stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C reaches us alone: we stop them in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock
            )

    @property
    def pid(self) -> int | None:
        """Process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code, once it has ended."""
        return self._process.poll() if self._process else None

    def watch(self) -> None:
        """Start the process again where it died; a little later each time. Raises KeepsDying."""
        if self._process is None or self._process.poll() is None:
            if self._process is None and self.monotonic() >= self._start_at:
                self.start()
            return
        self.restarts += 1
        # What was read of stdin is gone with it: the rest would pass for the whole.
        if self.restarts > MOST_RESTARTS or self.reads_stdin:
            raise KeepsDying(
                f"{self.name} ended {self.restarts} times, last with code {self.exit_code}. "
                f"The end of {self.log}:\n{self.log_tail()}"
            )
        self._process = None
        self._start_at = self.monotonic() + min(5.0, 0.2 * 2 ** min(self.restarts - 1, 6))

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def stopped(self, within_s: float) -> None:
        """Wait until it has ended; kill it after that time."""
        if self._process is None:
            return
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stop(services: Sequence[Service]) -> None:
    """Stop all of them at once, within their drain time."""
    for service in services:
        service.ask_to_stop()
    until = time.monotonic() + STOP_S
    for service in services:
        service.stopped(max(0.1, until - time.monotonic()))
