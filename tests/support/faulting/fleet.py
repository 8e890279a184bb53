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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psutil

from opstrail_local.credentials import CREDENTIALS
from tests.support.faulting.looks import Looks
from tests.support.installed import Installed
from tests.support.proxies.http_proxy import HttpProxy
from tests.support.proxies.kafka_proxy import KafkaProxy

LOOK_EVERY_S = 0.1
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

_BEAT = "opstrail_loop_beat_timestamp_seconds{"


class DoesNotEnd(AssertionError):
    """What is waited for does not come."""


@dataclass(slots=True)
class Member:
    """One slot of a role. `plan` are failpoints, armed one a start."""

    role: str
    number: int
    environment: Mapping[str, str]
    arguments: Sequence[str]
    log: Path
    plan: list[str] = field(default_factory=list)
    process: psutil.Popen | None = None
    port: int = 0
    died_at: float | None = None
    wanted: bool = True
    exits: Counter[int] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """`split.0`."""
        return f"{self.role}.{self.number}"

    def start(self, spent: Path) -> None:
        """Start the process, with the next failpoint of the plan."""
        self.port = _free_port()
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
        return any(number > 0 for line, number in self._metrics(_WORK) if "aborted" not in line)

    def clock_ahead_s(self) -> float | None:
        """Return how far its clock is ahead, by its last beat; None as long as it does not tell."""
        beats = [number for _, number in self._metrics(_BEAT)]
        return beats[0] - time.time() if beats else None

    def _metrics(self, names: str | tuple[str, ...]) -> Iterator[tuple[str, float]]:
        with suppress(OSError, ValueError):
            page = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2)
            for line in page.read().decode().splitlines():
                if line.startswith(names):
                    yield line, float(line.rsplit(" ", 1)[1])


@dataclass(slots=True)
class Fleet:
    """Everything of one run. `kills` are signals that end a process, failpoints counted."""

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
    bad_exits: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    _expected_exits: Counter[str] = field(default_factory=Counter)
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
    ) -> Member:
        """Start a slot. It is started again whenever it ends, until `end`."""
        member = Member(
            role,
            number,
            {**self.environment(), **(settings or {})},
            [self.queue_url] if role == "discover" else [],
            self.folder / f"{role}.{number}.log",
            list(plan),
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
        """End a process by a signal; it is started again."""
        member = self.members[name]
        if member.runs:
            member.send(number)
            self._expected_exits[name] += 1
            self.kills += 1
            self.faults[f"{signal.Signals(number).name} {member.role}"] += 1
            self._note(f"{signal.Signals(number).name} {name}")
            assert member.process is not None
            with suppress(psutil.TimeoutExpired):
                member.process.wait(30)
            self.tick()

    def stall(self, name: str, seconds: float) -> None:
        """Stop a process for so long, then let it go on: it may be a zombie by then."""
        member = self.members[name]
        if member.runs:
            member.send(signal.SIGSTOP)
            self.faults[f"SIGSTOP {member.role}"] += 1
            self._note(f"SIGSTOP {name}")
            self.pass_time(seconds)
            member.send(signal.SIGCONT)
            self._note(f"SIGCONT {name}")

    def retire(self, name: str) -> None:
        """Let a slot go for good, cleanly."""
        member = self.members.pop(name)
        member.wanted = False
        _ended([member])

    def tick(self) -> None:
        """Start again what died, and note who works again."""
        now = time.monotonic()
        if self._feed and now - self._fed_at > FEED_EVERY_S:
            self._fed_at = now
            self.notify(self._feed[:FED_AT_ONCE])
            del self._feed[:FED_AT_ONCE]
        for member in self.members.values():
            if member.runs:
                if member.died_at is not None and member.committed():
                    self.resumed_s.append(now - member.died_at)
                    self._note(f"{member.name} works again after {self.resumed_s[-1]:.1f} s")
                    member.died_at = None
                continue
            self._note_exit(member)
            # Without a notice in sight it goes on when SQS shows one again: that is no measure.
            member.died_at = None if self._has_no_notices(member) else now
            self.restarts += 1
            member.start(self._spent)

    def _has_no_notices(self, member: Member) -> bool:
        return member.role == "discover" and not self._feed and not self._queued()[0]

    def _note(self, what: str) -> None:
        """Write what was done, with the time, beside the logs."""
        with (self.folder / "acts.txt").open("a") as acts:
            acts.write(f"{datetime.now(UTC).isoformat()} {what}\n")

    def _note_exit(self, member: Member) -> None:
        assert member.process is not None
        self._note(f"{member.name} ended with {member.process.returncode}")
        code = member.process.returncode
        spent = self._spent / member.plan[0] if member.plan else None
        if spent is not None and spent.exists():
            spent.unlink()  # the same one may come once more
            self.kills += 1
            self.faults[f"failpoint {member.plan.pop(0).partition(':')[0]}"] += 1
        elif self._expected_exits[member.name]:
            self._expected_exits[member.name] -= 1
        elif self._was_fenced(member):
            # A stalled process that comes back and finds its slot taken has to end.
            self.kills += 1
            self.faults["fenced"] += 1
        else:
            self.bad_exits.append(f"{member.name} ended with {code}: {_tail(member.log)}")

    @staticmethod
    def _was_fenced(member: Member) -> bool:
        return '"Fenced"' in _tail(member.log)

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

    def left(self) -> tuple[int, ...]:
        """Return what is still on its way, stage by stage: less of an early one is progress."""
        steps = (len(self._feed) + self.in_queue(), *self.looks.behind().values())
        return (*steps, 0 if any(steps) else self.looks.pending_retries())

    def drained(self) -> bool:
        """Whether nothing is on its way any more."""
        return not any(self.left())

    def drain(self, *, still_s: float = 200) -> float:
        """Wait until all is at its end; return the seconds it took.

        Raises DoesNotEnd once nothing has moved on for so long, however much there is to do.
        """
        began = time.monotonic()
        least, moved_at = self.left(), began
        while any(left := self.left()):
            self.tick()
            now = time.monotonic()
            if left < least:
                least, moved_at = left, now
            if now - moved_at > still_s:
                raise DoesNotEnd(f"nothing moves for {still_s:.0f} s: {left}\n{self.told()}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def in_queue(self) -> int:
        """Return how many messages the queue holds, visible or not."""
        return sum(self._queued())

    def _queued(self) -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    def end(self) -> None:
        """Stop all processes."""
        for member in self.members.values():
            member.wanted = False
        _ended(list(self.members.values()))

    def logs(self) -> list[bytes]:
        """Return what all processes logged."""
        return [member.read_bytes() for member in sorted(self.folder.glob("*.log"))]

    def told(self) -> str:
        """Return the ends of the logs, for people."""
        behind = f"behind: {self.looks.behind()}, in the queue: {self.in_queue()}"
        behind += f", faults so far: {dict(self.faults)}"
        ends = [f"--- {m.name}\n{_tail(m.log)}" for m in self.members.values()]
        return "\n".join([behind, *self.bad_exits, *ends])


def _tail(log: Path, lines: int = 6) -> str:
    text = log.read_text(errors="replace")
    told = [line for line in text.splitlines() if '"event": "starting"' not in line]
    return "\n".join(told[-lines:])[-3_000:]


def _ended(members: Sequence[Member]) -> None:
    for member in members:
        member.send(signal.SIGCONT)
        member.send(signal.SIGTERM)
    for member in members:
        if member.process is not None:
            try:
                member.process.wait(40)
            except psutil.TimeoutExpired:
                member.process.kill()
                member.process.wait()


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
