"""The services as processes, looked after as a cluster would: killed, stalled, started again.

Files lie in a bucket of the S3 stand-in, a queue tells of them. What the services reach they reach
through fault proxies; what is looked at afterwards is asked of the servers themselves.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil

from opstrail_local.credentials import CREDENTIALS
from tests.support.faulting.looks import Looks, Read
from tests.support.installed import Installed
from tests.support.proxies.http_proxy import HttpProxy
from tests.support.proxies.kafka_proxy import KafkaProxy

LOOK_EVERY_S = 0.1
STANDS_STILL_S = 90.0  # three times as long as a transaction may be open
STOPS_WITHIN_S = 40.0
FEED_EVERY_S, FED_AT_ONCE = 0.5, 5
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "discover": ("ingest", "discover"),
    "split": ("ingest", "split"),
    "enrich": ("enrich",),
    "store": ("store",),
}
# Small steps, so that there is a middle to be killed in; short waits, so that runs end.
SMALL_STEPS = {
    "OPSTRAIL_LOOP__MOST_RECORDS": "50",
    "OPSTRAIL_SPLIT__BATCH_S": "0.1",
    "OPSTRAIL_SPLIT__BATCH_BYTES": str(1024 * 1024),
    "OPSTRAIL_STORE__BULK_MAX_DOCUMENTS": "50",
    "OPSTRAIL_SPLIT__RETRY_FIRST_S": "1",
    "OPSTRAIL_SPLIT__RETRY_LONGEST_S": "3",
    "OPSTRAIL_DISCOVER__RETRY_POLL_S": "1",
    "OPSTRAIL_DISCOVER__VISIBILITY_S": "120",
    "OPSTRAIL_DISCOVER__WAIT_S": "1",
    "OPSTRAIL_DISCOVER__MOST_MESSAGES": "10",
    "OPSTRAIL_DISCOVER__ALLOWED_BUCKETS": '["*"]',
    "OPSTRAIL_TELEMETRY__LOG_FORMAT": "json",
}


_WORK = ("opstrail_transactions_total", "opstrail_notices_total", "opstrail_files_noticed_total")


# The codes of a process that a signal ended: SIGTERM before it was listened to is one too.
_ENDS: Mapping[int, frozenset[int]] = {
    signal.SIGKILL: frozenset({-signal.SIGKILL}),
    signal.SIGTERM: frozenset({0, -signal.SIGTERM, 128 + signal.SIGTERM}),
}


class DoesNotEnd(AssertionError):
    """What is waited for does not come."""


@dataclass(slots=True)
class Member:
    """One slot of a role. `plan` are failpoints, armed one a start.

    `sent` is the signal that should end the process now running; `mortal`: it is not started again.
    """

    role: str
    number: int
    environment: Mapping[str, str]
    arguments: Sequence[str]
    log: Path
    plan: list[str] = field(default_factory=list)
    process: psutil.Popen | None = None
    port: int = 0
    died_at: float | None = None
    mortal: bool = False
    sent: int | None = None
    log_from: int = 0

    @property
    def name(self) -> str:
        """`split.0`."""
        return f"{self.role}.{self.number}"

    def start(self, spent: Path) -> None:
        """Start the process, with the next failpoint of the plan."""
        self.port, self.sent = _free_port(), None
        self.log_from = self.log.stat().st_size if self.log.exists() else 0
        armed = {}
        if self.plan:
            armed = {
                "OPSTRAIL_FAILPOINT": self.plan[0],
                "OPSTRAIL_FAILPOINT_SPENT": str(spent),
            }
        with self.log.open("ab") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "opstrail_cli.main", *COMMANDS[self.role], *self.arguments],
                env={
                    **self.environment,
                    **armed,
                    "OPSTRAIL_SLOT__NUMBER": str(self.number),
                    "OPSTRAIL_TELEMETRY__PORT": str(self.port),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def runs(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal, where there is a process."""
        if self.process is not None:
            with suppress(psutil.NoSuchProcess):
                self.process.send_signal(number)

    def committed(self) -> bool:
        """Whether this process has committed work; discover: noticed files."""
        with suppress(OSError, ValueError):
            page = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2)
            for line in page.read().decode().splitlines():
                work = line.startswith(_WORK) and "aborted" not in line
                if work and float(line.rsplit(" ", 1)[1]) > 0:
                    return True
        return False


@dataclass(slots=True)
class Fleet:
    """Everything of one run.

    `kills` are signals that end a process, failpoints and fencing counted; `zombies` are stalls and
    the like, each of which may end in one process that is fenced. `idle` counts faults that came
    when no work was on its way; `unresumed` are processes that died before they had worked again.
    `found` is what went wrong with processes.
    """

    installed: Installed
    folder: Path
    bucket: str
    queue_url: str
    kafka: KafkaProxy
    opensearch: HttpProxy
    registry: HttpProxy
    aws: HttpProxy
    looks: Looks
    s3: Any
    sqs: Any
    members: dict[str, Member] = field(default_factory=dict)
    kills: int = 0
    restarts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    resumed_s: list[float] = field(default_factory=list)
    stopped_s: list[float] = field(default_factory=list)
    figures: dict[str, tuple[object, str]] = field(default_factory=dict)
    unresumed: int = 0
    zombies: int = 0
    idle: int = 0
    found: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    longest_drain_s: float = 400.0
    _feed: list[str] = field(default_factory=list)
    _fed_at: float = 0.0

    # Files

    def put(self, files: Mapping[str, bytes]) -> None:
        """Put objects into the bucket; nobody is told."""
        for key, data in files.items():
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def notify(self, keys: Iterable[str]) -> None:
        """Tell of objects, one message each."""
        listed = list(keys)
        for start in range(0, len(listed), 10):
            self.sqs.send_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": json.dumps({"s3Bucket": self.bucket, "s3ObjectKey": [key]}),
                    }
                    for number, key in enumerate(listed[start : start + 10])
                ],
            )

    def feed(self, keys: Iterable[str]) -> None:
        """Tell of objects bit by bit, while time passes."""
        self._feed += keys

    # Processes

    def start(
        self,
        role: str,
        number: int = 0,
        *,
        plan: Iterable[str] = (),
        settings: Mapping[str, str] | None = None,
        mortal: bool = False,
    ) -> Member:
        """Start a slot. It is started again whenever it ends, until `end`."""
        member = Member(
            role,
            number,
            {**self.environment(), **(settings or {})},
            [self.queue_url] if role == "discover" else [],
            self.folder / f"{role}.{number}.log",
            list(plan),
            mortal=mortal,
        )
        self.members[member.name] = member
        member.start(self._spent)
        return member

    def start_all(self, settings: Mapping[str, str] | None = None) -> None:
        """Start one of each role."""
        for role in COMMANDS:
            self.start(role, settings=settings)

    def environment(self) -> dict[str, str]:
        """Return the settings: the proxies in place of the servers."""
        return self.installed.environment(
            OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS=self.kafka.bootstrap_servers,
            OPSTRAIL_OPENSEARCH__URL=self.opensearch.url,
            OPSTRAIL_REGISTRY__URL=self.registry.url,
            OPSTRAIL_S3__ENDPOINT_URL=self.aws.url,
            OPSTRAIL_SQS__ENDPOINT_URL=self.aws.url,
            OPSTRAIL_SLOT__NAMESPACE=self.installed.name,
            **(SMALL_STEPS | self.settings),
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process by a signal; it is started again, unless it is mortal."""
        member = self.members[name]
        if member.runs:
            self.note_idle()
            self.faults[f"{signal.Signals(number).name} {member.role}"] += 1
            self.kills += not member.mortal
            took_s = self._ended(member, number)
            if number == signal.SIGTERM:
                self.stopped_s.append(took_s)
            self.tick()

    def stall(self, name: str, seconds: float) -> None:
        """Stop a process for so long, then let it go on: it may be a zombie by then."""
        member = self.members[name]
        if member.runs:
            self.note_idle()
            member.send(signal.SIGSTOP)
            self.faults[f"SIGSTOP {member.role}"] += 1
            self.zombies += 1
            self.pass_time(seconds)
            member.send(signal.SIGCONT)

    def retire(self, name: str) -> None:
        """Let a slot go for good, cleanly."""
        member = self.members.pop(name)
        self.stopped_s.append(self._ended(member, signal.SIGTERM))
        self._check_exit(member)

    def note_idle(self) -> None:
        """Count a fault that comes when no work is on its way: it shows nothing."""
        self.idle += self.drained()

    def _ended(self, member: Member, number: int) -> float:
        """End a process; return the seconds it took. One that does not end is a finding."""
        began = time.monotonic()
        if member.process is None or not member.runs:
            return 0.0
        if member.sent != number:  # a second SIGTERM would be an order to end at once
            member.sent = number
            member.send(number)
            member.send(signal.SIGCONT)
        try:
            member.process.wait(STOPS_WITHIN_S)
        except psutil.TimeoutExpired:
            name = signal.Signals(number).name
            self.found.append(f"I8 {member.name} is there {STOPS_WITHIN_S:.0f} s after {name}")
            member.sent = signal.SIGKILL
            member.process.kill()
            member.process.wait()
        return time.monotonic() - began

    def tick(self) -> None:
        """Start again what died, and note who works again."""
        now = time.monotonic()
        if self._feed and now - self._fed_at > FEED_EVERY_S:
            self._fed_at = now
            self.notify(self._feed[:FED_AT_ONCE])
            del self._feed[:FED_AT_ONCE]
        for member in list(self.members.values()):
            if member.runs:
                if member.died_at is not None and member.committed():
                    self.resumed_s.append(now - member.died_at)
                    member.died_at = None
                continue
            self._note_exit(member)
            if member.mortal:
                del self.members[member.name]
                continue
            self.unresumed += member.died_at is not None
            member.died_at = now
            self.restarts += 1
            member.start(self._spent)

    def _note_exit(self, member: Member) -> None:
        spent = self._spent / member.plan[0] if member.plan else None
        if spent is not None and spent.exists():
            spent.unlink()  # the same one may come once more
            member.sent = signal.SIGKILL
            self.kills += not member.mortal
            self.faults[f"failpoint {member.plan.pop(0).partition(':')[0]}"] += 1
        elif member.sent is None and self.zombies and self._was_fenced(member):
            # A stalled process that comes back and finds its slot taken has to end.
            self.zombies -= 1
            self.kills += 1
            self.faults["fenced"] += 1
            return
        self._check_exit(member)

    def _check_exit(self, member: Member) -> None:
        assert member.process is not None
        code = member.process.returncode
        if member.sent is None or code not in _ENDS[member.sent]:
            self.found.append(f"I9 {member.name} ended with {code}: {_tail(member.log)}")

    @staticmethod
    def _was_fenced(member: Member) -> bool:
        with member.log.open("rb") as log:
            log.seek(member.log_from)
            return b'"Fenced"' in log.read()

    @property
    def _spent(self) -> Path:
        return self.folder / "spent"

    # Time

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, looking after the processes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(LOOK_EVERY_S, left))

    def until(self, true: Callable[[], object], what: str, *, within_s: float = 180) -> float:
        """Wait for something; return the seconds it took. Raises DoesNotEnd."""
        began = time.monotonic()
        while not true():
            self.tick()
            if time.monotonic() - began > within_s:
                raise DoesNotEnd(f"not within {within_s:.0f} s: {what}\n{self.told()}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def drained(self) -> bool:
        """Whether nothing is on its way any more."""
        return (
            not self._feed
            and not self.in_queue()
            and not any(self.looks.behind().values())
            and not self.looks.pending_retries()
        )

    def drain(self) -> float:
        """Wait until all is at its end; return the seconds it took.

        A role that has work and moves no offset for long is a finding, also when it goes on later.
        """
        moved: dict[str, tuple[int, float]] = {}
        still_s: Counter[str] = Counter()

        def drained() -> bool:
            now = time.monotonic()
            for role, read in self.looks.progress().items():
                done = sum(at.committed for at in read.values())
                idle = all(at.committed >= at.end for at in read.values())
                if idle or moved.get(role, (-1, 0.0))[0] != done:
                    moved[role] = done, now
                still_s[role] = max(still_s[role], int(now - moved[role][1]))
            return self.drained()

        took_s = self.until(drained, "all is at its end", within_s=self.longest_drain_s)
        self.found += [
            f"I8 stood still: {role} for {seconds} s"
            for role, seconds in still_s.items()
            if seconds > STANDS_STILL_S
        ]
        return took_s

    def until_all_move(self, before: Mapping[str, Mapping[str, Read]], what: str) -> None:
        """Wait until each partition that has got records since `before` is read on.

        Of each role one at least must have.
        """
        self.until(lambda: self.all_moved(before), what, within_s=240)

    def all_moved(self, before: Mapping[str, Mapping[str, Read]]) -> bool:
        """Return whether each partition that has got records since `before` was read on."""
        for role, now in self.looks.progress().items():
            new = [at for at in now if now[at].end > before[role][at].committed]
            if not new or any(now[at].committed <= before[role][at].committed for at in new):
                return False
        return True

    def in_queue(self) -> int:
        """Return how many messages the queue holds, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def end(self) -> None:
        """Stop all processes. How they end is looked at as well."""
        members, self.members = list(self.members.values()), {}
        for member in members:
            if member.runs:
                member.sent = signal.SIGTERM
                member.send(signal.SIGTERM)
                member.send(signal.SIGCONT)
            else:
                self.restarts += not member.mortal  # as it would have been
        for member in members:
            self._ended(member, signal.SIGTERM)
            self._note_exit(member)

    def logs(self) -> list[bytes]:
        """Return what all processes logged."""
        return [member.read_bytes() for member in sorted(self.folder.glob("*.log"))]

    def told(self) -> str:
        """Return the ends of the logs, for people."""
        behind = f"behind: {self.looks.behind()}, in the queue: {self.in_queue()}"
        behind += f", faults so far: {dict(self.faults)}"
        ends = [f"--- {m.name}\n{_tail(m.log)}" for m in self.members.values()]
        return "\n".join([behind, *self.found, *ends])


def _tail(log: Path, lines: int = 6) -> str:
    text = log.read_text(errors="replace")
    told = [line for line in text.splitlines() if '"event": "starting"' not in line]
    return "\n".join(told[-lines:])[-3_000:]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def fleet_of(installed: Installed, folder: Path, **settings: str) -> Iterator[Fleet]:
    """Yield a fleet without processes, its topics and indices set up; all is stopped at the end."""
    at = installed.addresses
    session = boto3.Session(
        CREDENTIALS["AWS_ACCESS_KEY_ID"],
        CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    s3 = session.client("s3", endpoint_url=at.aws)
    sqs = session.client("sqs", endpoint_url=at.aws)
    s3.create_bucket(Bucket=installed.name)
    queue = sqs.create_queue(QueueName=installed.name)["QueueUrl"]
    (folder / "spent").mkdir(parents=True, exist_ok=True)
    for command in (("topics", "create"), ("schemas", "register"), ("store", "setup", "--execute")):
        subprocess.run(
            [sys.executable, "-m", "opstrail_cli.main", *command],
            env=installed.environment(),
            check=True,
            capture_output=True,
        )
    with ExitStack() as stack:
        ports = tuple(int(each.rpartition(":")[2]) for each in at.kafka.split(","))
        fleet = Fleet(
            installed=installed,
            folder=folder,
            bucket=installed.name,
            queue_url=queue,
            kafka=stack.enter_context(KafkaProxy(ports).running()),
            opensearch=stack.enter_context(HttpProxy(at.opensearch).running()),
            registry=stack.enter_context(HttpProxy(at.registry).running()),
            aws=stack.enter_context(HttpProxy(at.aws).running()),
            looks=Looks(installed),
            s3=s3,
            sqs=sqs,
            settings=settings,
        )
        try:
            yield fleet
        finally:
            fleet.end()
