"""`opstrail run SOURCE`: all services as processes of their own, until everything is stored."""

import contextlib
import fcntl
import getpass
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from opstrail_cli.counts import Counts, balance, scraped
from opstrail_cli.history_process import HistoryProcess, left_running, search_line
from opstrail_cli.installation import Installation
from opstrail_cli.own_name import own_name
from opstrail_cli.processes import KeepsDying, Service, state_folder, stop
from opstrail_ingest.folder_source import FolderSource
from opstrail_ingest.places import BadSource, Files, Stdin, place
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.kafka_errors import KafkaRefuses
from opstrail_runtime.kafka_topics import UnequalPartitions
from opstrail_schemas.registry import NotCompatible, NotRegistered
from opstrail_schemas.topics import TopicName
from opstrail_store.settings import Settings

POLL_S = 0.5
SAY_EVERY_S = 10.0
SETUP_RETRY_S = 2.0
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_LEFTOVERS, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

# What each service reads, in the order of the stream: idle is when one after the other is at the
# end, since what one has finished is in the next one's topic.
READS: Mapping[str, tuple[TopicName, ...]] = {
    "split": (TopicName.FILES_NOTICED,),
    "enrich": (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD),
    "store": (
        TopicName.EVENTS_ENRICHED,
        TopicName.EVENTS_REPAIRED,
        TopicName.FILES_LEDGER,
        TopicName.DEAD_LETTERS,
    ),
}
_SERVERS = (
    "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS",
    "OPSTRAIL_REGISTRY__URL",
    "OPSTRAIL_OPENSEARCH__URL",
)


# What a user can mend: said in one line, without a traceback.
_SAID_PLAINLY = (
    KafkaRefuses,
    KeepsDying,
    NotCompatible,
    NotRegistered,
    OSError,
    Refused,
    Unavailable,
    UnequalPartitions,
)


class NotConfigured(click.UsageError):
    """Some servers are named, others are not."""


def servers_environment(say: Callable[[str], None]) -> dict[str, str]:
    """Return the environment that names the servers: the user's, else that of local ones.

    Raises NotConfigured where only some are named.
    """
    named = [name for name in _SERVERS if os.environ.get(name)]
    if len(named) == len(_SERVERS):
        return {}
    if named:
        missing = ", ".join(name for name in _SERVERS if name not in named)
        raise NotConfigured(
            f"{', '.join(named)} set, but not {missing}. Name them all, or none: "
            "then local servers are started"
        )
    try:
        from opstrail_local.errors import LocalServersError  # noqa: PLC0415 - an optional extra
        from opstrail_local.instance import up  # noqa: PLC0415
        from opstrail_local.places import default_cache, default_state  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise NotConfigured(
            f"no servers are named ({', '.join(_SERVERS)}), and local ones need the package "
            f"{error.name}: install opstrail[local]"
        ) from error
    stop = f"{own_name()} local down"
    say(f"No servers are configured: local ones are started (`{stop}` stops them).")
    # S3 and SQS are AWS's own unless the user names others: SOURCE may be a real bucket.
    try:
        environment = up(default_state(), cache=default_cache()).environment()
    except LocalServersError as error:
        raise click.ClickException(str(error)) from error
    return {name: environment[name] for name in _SERVERS}


@contextlib.contextmanager
def own_slot(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield a slot namespace of this machine and user, and a number no other run of theirs has.

    Never slot 0 of a cluster's own services; the same again the next time, so that a run that was
    killed is taken over at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = re.sub(r"[^a-zA-Z0-9.-]", "-", f"{socket.gethostname()}-{getpass.getuser()}")
    for number in range(100):
        lock = (folder / f"slot-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        with lock:
            yield f"run-{host}", number
        return
    raise click.ClickException("a hundred runs are under way on this machine already")


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did, as `--json` prints it."""

    files: int
    records: int
    stored: int
    already_there: int
    repaired: int
    dead_letters: int
    dead_letters_by_reason: Mapping[str, int]
    deferred: int
    expired: int
    pending_retries: int
    restarts: int
    seconds: float
    page: str | None
    search: str

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(
            {
                "files": self.files,
                "records": self.records,
                "stored": self.stored,
                "alreadyThere": self.already_there,
                "repaired": self.repaired,
                "deadLetters": self.dead_letters,
                "deadLettersByReason": dict(self.dead_letters_by_reason),
                "deferred": self.deferred,
                "expired": self.expired,
                "pendingRetries": self.pending_retries,
                "restarts": self.restarts,
                "seconds": round(self.seconds, 1),
                "page": self.page,
                "search": self.search,
            }
        )

    def table(self) -> Table:
        """Return a table for people."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        rows = [
            ("files", self.files),
            ("  deferred (digests, Insights and others)", self.deferred),
            ("records", self.records),
            ("  stored", self.stored),
            ("  already there", self.already_there),
            ("  expired", self.expired),
            ("repaired: more was known later", self.repaired),
            ("dead letters", self.dead_letters),
            *((f"  {reason}", number) for reason, number in self.dead_letters_by_reason.items()),
            ("tries to come", self.pending_retries),
        ]
        for name, number in rows:
            table.add_row(name, f"{number:,}")
        table.add_row("seconds", f"{self.seconds:.1f}")
        return table


@click.command()
@click.argument("source")
@click.option("--until-idle", is_flag=True, help="End when all that SOURCE holds is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
def run(source: str, *, until_idle: bool, as_json: bool) -> None:
    r"""Take the CloudTrail files of SOURCE all the way into the store.

    SOURCE is a folder, a file, - (standard input), s3://bucket/prefix, or an SQS queue's URL. Every
    service runs as a process of its own. Where no servers are configured, local ones are started.

    \b
    Examples:
      opstrail run ~/trails --until-idle
      opstrail run s3://my-trail/AWSLogs/ --until-idle --json
      opstrail run https://sqs.eu-west-1.amazonaws.com/111122223333/trail

    Ends with 0 when done, 3 when dead letters or tries to come are left, 130 when interrupted.
    """
    out = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    _check(source)
    try:
        with own_slot(state_folder() / "slots") as (namespace, number):
            if number and isinstance(place(source), Files | Stdin):
                raise click.UsageError(
                    "another run is under way on this machine: files of its folders and of yours "
                    "would be given to each other's services. Run this when that has ended"
                )
            environment = {
                **servers_environment(out.print),
                "OPSTRAIL_SLOT__NAMESPACE": namespace,
                "OPSTRAIL_SLOT__NUMBER": str(number),
                "OPSTRAIL_TELEMETRY__LOG_FORMAT": "json",
            }
            os.environ.update(environment)
            result, interrupted = _run(source, until_idle=until_idle, number=number, out=out)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except _SAID_PLAINLY as error:
        raise click.ClickException(str(error)) from error
    if as_json or not sys.stdout.isatty():
        click.echo(result.as_json())
    else:
        Console().print(result.table())
    out.print(f"The page: {result.page or 'not served, see above'}", highlight=False)
    out.print(f"To search: {result.search}", highlight=False)
    left = result.dead_letters or result.pending_retries
    sys.exit(EXIT_INTERRUPTED if interrupted else EXIT_LEFTOVERS if left else EXIT_DONE)


def _check(source: str) -> None:
    """Refuse a misspelt SOURCE before anything is started. Raises UsageError."""
    try:
        found = place(source)
        if isinstance(found, Files):
            FolderSource(found.path)
    except BadSource as error:
        raise click.UsageError(str(error)) from error


def _run(source: str, *, until_idle: bool, number: int, out: Console) -> tuple[Result, bool]:
    """Return what was done, and whether a signal ended it."""
    began = time.monotonic()
    installation = Installation(Settings())
    _until_available(installation.set_up, out)
    logs = state_folder() / "logs" / str(number)
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()

    def service(name: str, *command: str) -> Service:
        return Service(name, command, files, logs / f"{name}.log", reads_stdin="-" in command)

    files = _local_files(source, number)
    history = _history(logs.parent, out)

    services = [
        service("split", "ingest", "split"),
        service("enrich", "enrich"),
        service("store", "store"),
    ]
    once = ["--once"] if until_idle else []
    run = Run(services, service("discover", "ingest", "discover", source, *once), installation)
    interrupted = False
    try:
        run.follow(lambda text: out.print(text, highlight=False))
    except KeyboardInterrupt:
        interrupted = True
        run.take_counts()
    finally:
        run.stop()
    if (odd := balance(run.counts, READS)) and not run.restarts and not interrupted:
        out.print(f"[yellow]The counters do not add up: {odd}. This is a bug.[/yellow]")
    page = history.url if history.ready() else None
    if page is None:
        out.print(f"[yellow]The history did not start: {history.log}[/yellow]")
    result = _result(run, installation, time.monotonic() - began, page)
    if source == "-" and not result.pending_retries:
        shutil.rmtree(_stdin_folder(number), ignore_errors=True)
    return result, interrupted


def _history(logs: Path, out: Console) -> HistoryProcess:
    """Return the history of the store, on its way up while files are read."""
    settings = Settings()
    history = left_running(settings.opensearch.url, settings.store.index_prefix, logs=logs)
    out.print(f"The page: {history.url}", highlight=False)
    return history


def _until_available(act: Callable[[], None], out: Console) -> None:
    """Do it, waiting while a server is away, and say so."""
    while True:
        try:
            return act()
        except Unavailable as away:
            out.print(f"waiting for {away}", highlight=False)
            time.sleep(SETUP_RETRY_S)


def _stdin_folder(number: int) -> Path:
    return state_folder() / "stdin" / str(number)


def _local_files(source: str, number: int) -> dict[str, str]:
    """Return the settings that let split read the files of a folder, a file or standard input."""
    if source == "-":
        folder = _stdin_folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        roots = [folder]
    elif "://" in source:
        return {}
    else:
        folder = Path(source).absolute()
        roots = [folder]
    return {
        "OPSTRAIL_OBJECTS__LOCAL_ROOTS": json.dumps([str(root) for root in roots]),
        "OPSTRAIL_OBJECTS__STDIN_FOLDER": str(folder),
    }


@dataclass(slots=True)
class Run:
    """The processes of one run, and what they have counted."""

    services: list[Service]
    discover: Service
    installation: Installation
    counts: Counts = field(default_factory=Counts)
    _repaired_at: float = 0

    @property
    def restarts(self) -> int:
        """How often a process had to be started again."""
        return sum(each.restarts for each in (*self.services, self.discover))

    def follow(self, say: Callable[[str], None]) -> None:
        """Start all, and watch until the source is listed and every service is at the end.

        Then repair what was enriched before more was known. Raises KeepsDying; ClickException where
        discover refuses the source.
        """
        for each in (*self.services, self.discover):
            each.start()
        self._until_idle(say)
        if self._repair(say):
            self._until_idle(say)

    def _repair(self, say: Callable[[str], None]) -> bool:
        """Send back what newer facts concern; whether there was anything."""
        last = [time.monotonic()]

        def say_now_and_then(text: str) -> None:
            if time.monotonic() - last[0] > SAY_EVERY_S:
                last[0] = time.monotonic()
                say(f"repair: {text}")

        while True:
            try:
                return self.installation.repair(self, say_now_and_then) > 0
            except Unavailable as away:
                self.wait(SETUP_RETRY_S, why=str(away))

    # While it repairs, it is the pulse that looks after the services.

    def beat(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float, *, why: str) -> None:  # noqa: ARG002 - the protocol's
        """Start again what died, and sleep."""
        self._watch()
        self.take_counts()
        time.sleep(seconds)

    def _until_idle(self, say: Callable[[str], None]) -> None:
        began = said = time.monotonic()
        while True:
            listed = self._watch()
            behind = self._behind()
            if listed and behind is None and all(each.pid for each in self.services):
                self.take_counts()
                return
            self.take_counts()
            if not listed and behind is None:
                self._repair_when_more_is_stored(say)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                stored = self.counts.total("records_out", stage="store")
                say(f"{said - began:.0f} s: {stored:,} stored; {behind or 'listing'}")
            time.sleep(POLL_S)

    def _repair_when_more_is_stored(self, say: Callable[[str], None]) -> None:
        """Repair in a run without end, each time that it comes to rest."""
        stored = self.counts.total("records_out", stage="store")
        if stored > self._repaired_at:
            self._repaired_at = stored
            self._repair(say)

    def stop(self) -> None:
        """Stop all: first what brings new files, then the services."""
        stop([self.discover])
        stop(self.services)

    def _watch(self) -> bool:
        """Start again what died; return whether the source is listed to its end."""
        for each in self.services:
            each.watch()
        code = self.discover.exit_code
        if code == EXIT_USAGE:
            raise click.ClickException(self.discover.log_tail())
        if code in {EXIT_DONE, EXIT_LEFTOVERS}:
            return True
        self.discover.watch()
        return False

    def _behind(self) -> str | None:
        """Return the first service in the stream that is behind, and by how much."""
        try:
            for name, topics in READS.items():
                lag = self.installation.lag(name, topics)
                if lag:
                    return f"{name} is {lag:,} behind"
        except Unavailable as away:
            return f"waiting for {away}"
        return None

    def take_counts(self) -> None:
        """Read the metrics of all that run."""
        for each in (*self.services, self.discover):
            page = scraped(each.port) if each.pid else None
            if page is not None:
                self.counts.update(f"{each.name}.{each.restarts}", page)


def _result(run: Run, installation: Installation, seconds: float, page: str | None) -> Result:
    counts = run.counts
    dead = dict(counts.by_label("dead_letters", "reason"))
    for reason, number in counts.by_label("discover_dead", "reason").items():
        dead[reason] = dead.get(reason, 0) + number
    by_state = counts.by_label("files", "state")
    return Result(
        files=sum(by_state.values()) + counts.total("files_skipped"),
        records=counts.total("records_in", stage="split"),
        stored=counts.total("records_out", stage="store"),
        # Of repairs only what they changed counts.
        already_there=sum(counts.total("records_already_there", stage=name) for name in READS),
        repaired=counts.total("records_out", stage="store-repaired"),
        dead_letters=sum(dead.values()),
        dead_letters_by_reason=dead,
        deferred=by_state.get("deferred", 0),
        expired=counts.total("records_expired"),
        pending_retries=installation.pending_retries(),
        restarts=run.restarts,
        seconds=seconds,
        page=page,
        search=search_line(),
    )
