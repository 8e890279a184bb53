"""The servers of one state folder: started, watched, stopped.

`up` starts what does not run and returns when every server is proven ready; when it fails or is
interrupted it stops what it started. `down` leaves nothing running. One such call at a time works
on a state folder; another one waits.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from opstrail_local import aws, java, kafka, opensearch, ports, process, record, registry, trees
from opstrail_local.addresses import Addresses
from opstrail_local.errors import LocalServersError
from opstrail_local.file_lock import held
from opstrail_local.progress import stderr_console
from opstrail_local.record import Entry, Record
from opstrail_local.server import Kind, NotReady, Plan, Server, WrongServer

__all__ = ["Addresses", "ServerStatus", "down", "kill", "start", "status", "up"]

_READY_WITHIN_S = 180.0  # about ten warm and idle; a loaded machine took 54
_LOOK_AGAIN_S = 0.1
# A first clean stop also writes the class archives: seconds, on a loaded machine many.
_STOP_WITHIN_S = 60.0
_PREPARE_WITHIN_S = 60.0
_LOG_LINES_SHOWN = 25

_CHECKS: dict[Kind, Callable[[Server], None]] = {
    "kafka": kafka.check,
    "registry": registry.check,
    "opensearch": opensearch.check,
    "aws": aws.check,
}


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now."""

    name: str
    version: str
    address: str
    pid: int | None
    resident_bytes: int
    healthy: bool


def up(
    state: Path,
    *,
    cache: Path,
    opensearch_heap: str = "512m",
    kafka_nodes: int | None = None,
    console: Console | None = None,
) -> Addresses:
    """Have every server of `state` run and ready. Servers that run already are left as they are.

    Without `kafka_nodes` it is as many nodes as the state folder has, one in a new folder.
    """
    console = console or stderr_console()
    with _alone(state, console):
        known = record.read(state)
        if known and kafka_nodes not in (None, known.kafka_nodes):
            raise LocalServersError(
                f"{state} has {known.kafka_nodes} Kafka node(s), not {kafka_nodes}: "
                "take another state folder"
            )
        if known is None:
            known = Record(cluster_id=kafka.new_cluster_id(), kafka_nodes=kafka_nodes or 1)
        complete = len(known.entries) == known.kafka_nodes + len(_CHECKS) - 1
        if complete and all(map(_healthy, known.entries)):
            return _addresses(known)
        plans = _plans(known, state=state, cache=cache, heap=opensearch_heap, console=console)
        return _addresses(_run(plans, known, state=state, console=console))


def down(state: Path, *, delete_data: bool = False, console: Console | None = None) -> None:
    """Stop every server of `state`; none is left running. The data stays unless told otherwise."""
    with _alone(state, console or stderr_console()):
        known = record.read(state)
        if known:
            # What goes with its data need not be closed: three brokers take a minute for that.
            process.stop(
                [e.process for e in known.entries],
                patience_s=_STOP_WITHIN_S,
                politely=not delete_data,
            )
            left = [e.server.name for e in known.entries if process.alive(e.process)]
            if left:
                raise LocalServersError(f"still running after SIGKILL: {', '.join(left)}")
        # What lives by a file here, such as the history that `run` left behind, ends by itself.
        shutil.rmtree(state / "companions", ignore_errors=True)
        if delete_data:
            if known is None:
                raise LocalServersError(
                    f"{state} is no folder of local servers: nothing is deleted"
                )
            shutil.rmtree(state)


def status(state: Path) -> list[ServerStatus]:
    """Every server that was ever started in `state`, as it is now. Starts and stops nothing."""
    known = record.read(state)
    return [_status(entry) for entry in known.entries] if known else []


def kill(state: Path, name: str) -> None:
    """End one server as a power cut would (SIGKILL); returns when it is gone."""
    process.stop([_entry(state, name).process], patience_s=_STOP_WITHIN_S, politely=False)


def start(state: Path, name: str, *, console: Console | None = None) -> None:
    """Start one server that ran before just as it was, on its port and data, and have it ready."""
    console = console or stderr_console()
    with _alone(state, console):
        known = record.read(state)
        entry = _entry(state, name)
        if known and not process.alive(entry.process):
            with _stopped_on_failure() as started:
                new = _spawn(entry.server, started)
                record.write(state, known.with_entry(new))
                _await_ready([new], {name}, console)


@contextmanager
def _alone(state: Path, console: Console) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        console.print(f"another command works on {state}: waiting for it", soft_wrap=True)

    with held(state / "lock", when_waiting=waiting):
        yield


def _plans(known: Record, *, state: Path, cache: Path, heap: str, console: Console) -> list[Plan]:
    """The plan of every server, the slowest to start first."""
    binary = java.find(os.environ)
    places = trees.ensure(cache, console)
    runtime = java.with_archives(binary, cache)
    rng = random.Random()  # noqa: S311 - chooses ports
    promised = {entry.server.name: entry.server.ports for entry in known.entries}

    def chosen(name: str, count: int) -> tuple[int, ...]:
        entry = known.entry(name)
        recorded = entry.server.ports if entry else ()
        if entry and process.alive(entry.process):
            return recorded
        taken = {port for other, its in promised.items() if other != name for port in its}
        promised[name] = ports.pick(count, wanted=recorded, rng=rng, taken=taken)
        return promised[name]

    nodes = known.kafka_nodes
    names = ["kafka"] if nodes == 1 else [f"kafka-{n}" for n in range(1, nodes + 1)]
    broker_ports = [(p[0], p[1]) for p in (chosen(name, 2) for name in names)]
    search, schemas = chosen("opensearch", 2), chosen("registry", 2)
    return [
        opensearch.plan(
            home=places.opensearch,
            java=runtime,
            state=state,
            ports=(search[0], search[1]),
            heap=heap,
            # Any other node that answers on our port will not be called so.
            node=f"opstrail-{known.cluster_id}",
            root=os.geteuid() == 0,
        ),
        registry.plan(
            home=places.registry, java=runtime, state=state, ports=(schemas[0], schemas[1])
        ),
        *kafka.plans(
            home=places.kafka,
            java=runtime,
            state=state,
            ports=broker_ports,
            cluster_id=known.cluster_id,
        ),
        aws.plan(state=state, port=chosen("aws", 1)[0]),
    ]


def _run(plans: Sequence[Plan], known: Record, *, state: Path, console: Console) -> Record:
    with _stopped_on_failure() as started:
        for plan in plans:
            entry = known.entry(plan.server.name)
            if entry and process.alive(entry.process):
                continue
            _prepare(plan)
            known = known.with_entry(_spawn(plan.server, started))
            # Recorded at once: whatever becomes of us, `down` finds it.
            record.write(state, known)
        new = {entry.server.name for entry in started}
        _await_ready(known.entries, new, console)
    return known


def _prepare(plan: Plan) -> None:
    for path, text in plan.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for command in plan.before:
        done = subprocess.run(
            command,
            env=java.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PREPARE_WITHIN_S,
        )
        if done.returncode != 0:
            raise LocalServersError(f"{plan.server.name} could not be prepared:\n{done.stdout}")


def _spawn(server: Server, started: list[Entry]) -> Entry:
    """Start the process and note it; no signal comes between the two."""
    folder = Path(server.folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = _log(server)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with _signals_held_back():
        proof = process.spawn(server.argv, folder=folder, log=log, environ=java.environment())
        entry = Entry(server, proof)
        started.append(entry)
    return entry


@contextmanager
def _stopped_on_failure() -> Iterator[list[Entry]]:
    """Stop the servers noted in the list if the block fails or is interrupted."""
    started: list[Entry] = []
    try:
        yield started
    except BaseException:
        with _signals_held_back():  # a second Ctrl-C must not leave half of them running
            process.stop([entry.process for entry in started], patience_s=_STOP_WITHIN_S)
        raise


@contextmanager
def _signals_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _await_ready(entries: Sequence[Entry], new: set[str], console: Console) -> None:
    """Return when all are ready. The first that dies, or time running out, ends it."""
    begun = time.monotonic()
    pending = list(entries)
    reasons: dict[str, str] = {}
    while pending:
        for entry in list(pending):
            server = entry.server
            try:
                _check(entry)
                if server.kind == "opensearch" and server.name in new:
                    opensearch.prove(server)
            except WrongServer as wrong:
                raise LocalServersError(f"{server.name}: {wrong}\n{_tail(server)}") from wrong
            except NotReady as reason:
                reasons[server.name] = str(reason)
            else:
                pending.remove(entry)
                if server.name in new:
                    waited_s = time.monotonic() - begun
                    console.print(
                        f"{server.name} {server.version} ready after {waited_s:.1f} s "
                        f"at {server.address}",
                        highlight=False,
                        soft_wrap=True,
                    )
            if entry in pending and not process.alive(entry.process):
                raise LocalServersError(f"{server.name} ended while starting.\n{_tail(server)}")
        if pending and time.monotonic() - begun > _READY_WITHIN_S:
            server = pending[0].server
            raise LocalServersError(
                f"{server.name} was not ready within {_READY_WITHIN_S:.0f} s: "
                f"{reasons[server.name]}\n{_tail(server)}"
            )
        if pending:
            time.sleep(_LOOK_AGAIN_S)


def _check(entry: Entry) -> None:
    """Prove that our own process listens on each port, and that it is the server it should be."""
    for port in entry.server.ports:
        if not process.listens(entry.process, port):
            raise NotReady(f"process {entry.process.pid} does not listen on port {port} yet")
    _CHECKS[entry.server.kind](entry.server)


def _healthy(entry: Entry) -> bool:
    if not process.alive(entry.process):
        return False
    try:
        _check(entry)
    except NotReady:
        return False
    return True


def _status(entry: Entry) -> ServerStatus:
    alive = process.alive(entry.process)
    return ServerStatus(
        name=entry.server.name,
        version=entry.server.version,
        address=entry.server.address,
        pid=entry.process.pid if alive else None,
        resident_bytes=process.resident_bytes(entry.process),
        healthy=_healthy(entry),
    )


def _entry(state: Path, name: str) -> Entry:
    known = record.read(state)
    entry = known.entry(name) if known else None
    if entry is None:
        names = ", ".join(e.server.name for e in known.entries) if known else "none"
        raise LocalServersError(f"no server {name} was started in {state} (there: {names})")
    return entry


def _addresses(known: Record) -> Addresses:
    by_kind: dict[Kind, list[Server]] = {kind: [] for kind in _CHECKS}
    for entry in known.entries:
        by_kind[entry.server.kind].append(entry.server)
    joined = {kind: ",".join(s.address for s in servers) for kind, servers in by_kind.items()}
    return Addresses(
        kafka=joined["kafka"],
        registry=joined["registry"],
        opensearch=joined["opensearch"],
        aws=joined["aws"],
        versions={kind: servers[0].version for kind, servers in by_kind.items()},
    )


def _log(server: Server) -> Path:
    return Path(server.folder) / "server.log"


def _tail(server: Server) -> str:
    log = _log(server)
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if "[cds] " not in line]  # said at every end
    shown = "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:])
    return f"The last lines of {log}:\n{shown or '  (it is empty)'}"
