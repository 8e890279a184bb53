"""Processes that outlive the command that started them, and are stopped only if proven ours."""

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Proof:
    """One process, told apart from every other that has or will have its pid on this machine."""

    pid: int
    started_ticks: int
    """From the kernel, counted since boot: setting the clock does not change it."""
    boot_id: str


def spawn(argv: Sequence[str], *, folder: Path, log: Path, environ: Mapping[str, str]) -> Proof:
    """Start `argv` in `folder`, in a session of its own, with `log` as its only output."""
    # posix_spawn and not Popen: the server shall outlive us, so there is no object to wait on.
    # Every descriptor of ours but these three is closed in the child: it must never hold the
    # pipe of a shell that sources our output.
    shell = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(folder), *argv]
    pid = os.posix_spawn(
        shell[0],
        shell,
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # A shell's background job ignores SIGINT, and we hold signals back while we note the pid:
        # the server shall know nothing of either.
        setsigmask=(),
        setsigdef=(signal.SIGHUP, signal.SIGINT, signal.SIGTERM),
    )
    ticks = _started_ticks(pid)
    return Proof(pid, -1 if ticks is None else ticks, _boot_id())


def alive(proof: Proof) -> bool:
    """Whether this very process still runs. A zombie does not."""
    return _started_ticks(proof.pid) == proof.started_ticks and proof.boot_id == _boot_id()


def send(proof: Proof, signal_number: int) -> None:
    """Signal the process, unless it is gone or its pid is another's by now."""
    if alive(proof):
        try:
            os.kill(proof.pid, signal_number)
        except ProcessLookupError:
            return


def stop(proofs: Iterable[Proof], *, patience_s: float, politely: bool = True) -> None:
    """SIGTERM to all (if politely), SIGKILL to those that run on after `patience_s`."""
    left = list(proofs)
    signals = (signal.SIGTERM, signal.SIGKILL) if politely else (signal.SIGKILL,)
    for signal_number in signals:
        for proof in left:
            send(proof, signal_number)
        until = time.monotonic() + patience_s
        while (left := [p for p in left if alive(p)]) and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN_S)


def resident_bytes(proof: Proof) -> int:
    """The memory that it holds now; 0 when it is gone."""
    try:
        return int(psutil.Process(proof.pid).memory_info().rss) if alive(proof) else 0
    except psutil.NoSuchProcess:
        return 0


def listens(proof: Proof, port: int) -> bool:
    """Whether the process itself, and no stranger, listens on this port of loopback."""
    try:
        connections = psutil.Process(proof.pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _started_ticks(pid: int) -> int | None:
    # A dead child of ours stays a zombie until it is asked about. Mostly it is no child of ours:
    # a later command looks at what an earlier one started.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold anything, so count from its end: state is field 3, start 22.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
