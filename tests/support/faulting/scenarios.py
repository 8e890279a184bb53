"""The fault matrix as runs over a fleet: each makes things go wrong while files come in.

A scenario is a function of a fleet, the keys of the files and a generator; it returns when it has
done its faults. What the numbers F1 to F21 stand for is in docs/reliability.md.
"""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.checker.corpus import corpus, order
from tests.support.checker.expected import expected_of
from tests.support.faulting.fleet import Fleet
from tests.support.faulting.result import Result, result_of
from tests.support.proxies import http_proxy as web
from tests.support.proxies import kafka_proxy as wire
from tests.support.servers import Servers

POINTS: Mapping[str, Sequence[str]] = {
    "discover": ("after-receive", "before-delete", "after-delete"),
    "split": (
        *("after-restore", "after-poll", "after-fetch", "mid-file", "before-transaction"),
        *("mid-produce", "after-produce", "after-offsets", "after-commit"),
    ),
    "enrich": (
        *("after-restore", "after-poll", "after-learning", "before-transaction", "mid-produce"),
        *("after-produce", "after-offsets", "after-commit"),
    ),
    "store": (
        *("after-restore", "after-poll", "before-bulk", "after-reply", "before-transaction"),
        *("after-offsets", "after-commit"),
    ),
}
ONCE_A_START = {"after-restore", "mid-file"}
SESSION = {
    "OPSTRAIL_KAFKA__LIBRDKAFKA": json.dumps(
        {"session.timeout.ms": "6000", "max.poll.interval.ms": "10000"}
    )
}
STALL_S = 13.0  # longer than both
WRONG_CLOCK = Path(__file__).parents[1] / "wrong_clock"

Act = Callable[[Fleet, list[str], random.Random], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run: what happens, over how many files and events, and with which settings."""

    act: Act
    files: int = 60
    events: int = 6_000
    settings: Mapping[str, str] | None = None
    longest_resume_s: float = 45.0


def carry_out(name: str, scenario: Scenario, fleet: Fleet, seed: int) -> Result:
    """Run a scenario to its end, and let the checker look."""
    began = time.monotonic()
    files = corpus(seed, files=scenario.files, events=scenario.events)
    fleet.put(files)
    rng = random.Random(seed)
    scenario.act(fleet, list(order(list(files), seed)), rng)
    fleet.drain()
    fleet.pass_time(0.5)
    fleet.end()
    fleet.faults.update({f"kafka {kind}": number for kind, number in fleet.kafka.counts.items()})
    for proxy, what in (
        (fleet.opensearch, "opensearch"),
        (fleet.aws, "aws"),
        (fleet.registry, "registry"),
    ):
        fleet.faults.update({f"{what} {kind}": number for kind, number in proxy.counts.items()})
    seen = fleet.looks.observed(
        kills=fleet.kills,
        restarts=fleet.restarts,
        resumed_s=fleet.resumed_s,
        logs=fleet.logs(),
    )
    return result_of(
        name,
        seed,
        expected_of(files),
        seen,
        faults=fleet.faults,
        seconds=time.monotonic() - began,
        others=fleet.bad_exits,
        longest_resume_s=scenario.longest_resume_s,
    )


def at_every_point(fleet: Fleet, keys: list[str], rng: random.Random, *, times: int = 1) -> None:
    """F1: each process is killed at each named place, so many times."""
    for role, points in POINTS.items():
        plan = [
            f"{role}.{point}:{1 if point in ONCE_A_START else 3 + n}"
            for n in range(times)
            for point in rng.sample(points, len(points))
        ]
        fleet.start(role, plan=plan)
    fleet.feed(keys)
    fleet.drain()


def killed_and_stalled(
    fleet: Fleet, keys: list[str], rng: random.Random, *, kills: int = 24
) -> None:
    """F2, F3, F11, F18: killed, stalled and stopped at any time; members come and go."""
    fleet.start("discover")
    for role in ("split", "enrich", "store"):
        for number in (0, 1):
            fleet.start(role, number)
    fleet.feed(keys)
    names = list(fleet.members)
    todo = [*(["kill"] * kills), *(["term"] * 3), *(["stall"] * 2)]
    rng.shuffle(todo)
    for what in todo:
        name = rng.choice(names)
        match what:
            case "kill":
                fleet.kill(name)
                fleet.pass_time(rng.uniform(0.2, 2.5))
            case "term":
                fleet.kill(name, signal.SIGTERM)
            case _:
                fleet.stall(rng.choice(["split.0", "enrich.0", "store.1"]), STALL_S)
    for name in ("split.1", "enrich.1", "store.1"):
        fleet.retire(name)


def over_bad_networks(
    fleet: Fleet,
    keys: list[str],
    rng: random.Random,
    *,
    most: tuple[int, int] = (8, 2),
    share: float = 0.25,
) -> None:
    """F6, F7, F9, F10, F15, F16: replies are lost, late, cut, or say that it is too much.

    `most`: faults of commits and messages, of offsets; `share`: of the requests to OpenSearch.
    """
    seed = rng.randrange(2**32)
    commits = wire.at_random(
        {
            wire.END_TXN: [wire.ReplyLost(), wire.NeverSent(), wire.Late(1.0), wire.Detached(6.0)],
            wire.PRODUCE: [wire.ReplyLost(), wire.ReplyCut()],
        },
        share=0.06,
        seed=seed,
    )
    # Each of these costs twelve seconds: see kafka_writer.py.
    offsets = wire.at_random(
        {wire.TXN_OFFSET_COMMIT: [wire.ReplyLost(), wire.NeverSent()]}, share=0.01, seed=seed
    )
    commits, offsets = wire.at_most(most[0], commits), wire.at_most(most[1], offsets)
    fleet.kafka.faults = lambda kind: commits(kind) or offsets(kind)
    bad: list[web.Fault] = [
        *(web.Answer(429), web.Answer(500), web.Answer(503), web.ResetBefore()),
        *(web.ResetAfter(), web.Hang(2.0), web.Truncate(0.5)),
    ]

    def asked_for(name: str, faults: list[web.Fault], share: float) -> web.Faults:
        return web.at_random(faults, share=share, seed=seed, only=lambda asked: name in asked.path)

    writes = asked_for("_bulk", [*bad, web.RefuseItems(0.3), web.RefuseItems(0.05, 503)], share)
    reads = asked_for("_mget", bad, share)
    # It is asked for before each bulk request: as often, nearly every second batch would wait.
    template = asked_for("_index_template", bad, 0.05)
    fleet.opensearch.faults = lambda asked: writes(asked) or reads(asked) or template(asked)
    fleet.aws.faults = web.at_random(
        [
            *(web.Answer(404, b""), web.Answer(403, b""), web.Answer(503, b"")),
            *(web.Truncate(0.4), web.Slow(20_000), web.ResetBefore(), web.ResetAfter()),
        ],
        share=0.15,
        seed=seed,
        only=lambda request: request.method == "GET" and "AWSLogs" in request.path,
    )
    fleet.registry.faults = lambda _: web.ResetBefore()  # while they start
    fleet.start_all(SESSION)
    fleet.notify(keys[: len(keys) // 3] * 2)  # a third comes three times
    fleet.feed(keys)
    fleet.until(lambda: fleet.registry.counts.total() > len(fleet.members), "the registry is away")
    fleet.registry.faults = web.no_faults
    events = "events.raw"
    fleet.until(lambda: fleet.installed.written(events) > 0, "events come")
    fleet.kafka.cut()
    fleet.registry.faults = lambda _: web.Answer(503)  # what is known goes on without it
    half = fleet.installed.written(events) + 500
    fleet.until(lambda: fleet.installed.written(events) > half or fleet.drained(), "more of them")
    fleet.kafka.cut()
    fleet.registry.faults = web.no_faults
    fleet.drain()
    for proxy in (fleet.opensearch, fleet.aws, fleet.registry):
        proxy.faults = web.no_faults
    fleet.kafka.faults = wire.no_faults


def without_servers(fleet: Fleet, keys: list[str], rng: random.Random, servers: Servers) -> None:
    """F4, F8: the broker and OpenSearch are killed, and the disk of OpenSearch is full."""
    fleet.start_all()
    fleet.feed(keys)
    fleet.pass_time(4)
    for _ in range(2):
        servers.kill("kafka")
        fleet.faults["SIGKILL kafka"] += 1
        fleet.pass_time(rng.uniform(1, 4))
        servers.start("kafka")
        fleet.resumed_s.append(_until_it_moves(fleet))
    servers.kill("opensearch")
    fleet.faults["SIGKILL opensearch"] += 1
    fleet.pass_time(5)
    servers.start("opensearch")
    client, index = fleet.installed.opensearch, f"{fleet.installed.name}-*"
    block = "index.blocks.read_only_allow_delete"
    client.indices.put_settings(index=index, body={block: True})
    fleet.faults["index block"] += 1
    fleet.pass_time(8)
    client.indices.put_settings(index=index, body={block: None})


def without_room(
    fleet: Fleet, keys: list[str], rng: random.Random, servers: Servers, *, times: int = 2
) -> None:
    """F13: the broker's disk is full, in the middle of a batch or for every byte, so that it ends.

    There is room again when it is started.
    """
    fleet.start_all()
    fleet.feed(keys)
    for number in range(times):
        events = fleet.installed.written("events.enriched")
        fleet.until(lambda: fleet.installed.written("events.enriched") > events, "events come")  # noqa: B023
        # One that grows as events come, so that it meets the limit inside a batch.
        largest = servers.largest_file(
            "kafka", f"{fleet.installed.topic('events.enriched')}-*/*.log"
        )
        servers.fill_disk("kafka", 0 if number % 2 else largest + rng.randrange(1_000, 20_000))
        fleet.until(lambda: not servers.runs("kafka"), "the broker ends", within_s=60)
        fleet.faults["full disk kafka"] += 1
        fleet.pass_time(rng.uniform(1, 5))
        servers.start("kafka")
        fleet.resumed_s.append(_until_it_moves(fleet))


def without_the_coordinator(
    fleet: Fleet, keys: list[str], rng: random.Random, servers: Servers, *, times: int = 2
) -> None:
    """F5: of three brokers the one is killed that coordinates transactions, inside commits."""
    fleet.start_all()
    fleet.feed(keys)
    fleet.pass_time(5)
    for _ in range(times):
        broker = fleet.looks.coordinator_of(f"{fleet.installed.name}.split.0")
        seen = fleet.kafka.requests[wire.END_TXN]
        fleet.until(lambda: fleet.kafka.requests[wire.END_TXN] > seen, "a commit", within_s=60)  # noqa: B023
        servers.kill(f"kafka-{broker}")
        fleet.faults["SIGKILL coordinator"] += 1
        fleet.pass_time(rng.uniform(2, 8))
        servers.start(f"kafka-{broker}")
        fleet.pass_time(3)


def too_slow(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """F12: enrich stands still for longer than it may, and wakes up as a zombie."""
    fleet.start("discover")
    for role in ("split", "store"):
        fleet.start(role, settings=SESSION)
    for number in (0, 1):  # either may have all partitions that matter
        learnt, offsets = 2 + number, rng.randrange(9, 12) + 4 * number
        fleet.start(
            "enrich",
            number,
            settings={
                **SESSION,
                "OPSTRAIL_FAILPOINT": f"enrich.after-learning:{learnt}:sleep={STALL_S},"
                f"enrich.after-offsets:{offsets}:sleep={STALL_S}",
                "OPSTRAIL_FAILPOINT_SPENT": str(fleet.folder / "spent"),
            },
        )
    fleet.feed(keys)
    fleet.drain()
    fleet.faults["stood still"] += len(list((fleet.folder / "spent").iterdir()))


def with_wrong_clocks(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """F14: each process has a wrong clock, an hour or a day off, and it is set meanwhile.

    Some are killed, so that what one has begun is gone on with by another clock.
    """
    hours = [-24, -1, 1, 24]
    for role in ("discover", "split", "enrich", "store"):
        for number in (0, 1):
            ahead, later = (hour * 3_600 for hour in rng.sample(hours, 2))
            clock = f"{ahead} {later} {rng.uniform(4, 10):.1f}"
            settings = {**SESSION, "PYTHONPATH": str(WRONG_CLOCK), "OPSTRAIL_TEST_CLOCK": clock}
            fleet.start(role, number, settings=settings)
    members = list(fleet.members.values())
    fleet.until(lambda: all(member.clock_ahead_s() is not None for member in members), "all poll")
    for member in members:
        ahead_s = member.clock_ahead_s()
        assert ahead_s is not None
        assert abs(ahead_s) > 3_000, f"the clock of {member.name} is right"
        fleet.faults[f"wrong clock {member.role}"] += 1
    fleet.feed(keys)
    fleet.until(lambda: fleet.installed.written("events.enriched") > 0, "events come")
    for role in ("split", "enrich", "store"):
        fleet.pass_time(rng.uniform(0.5, 2))
        fleet.kill(f"{role}.{rng.randrange(2)}")
    fleet.drain()


def _until_it_moves(fleet: Fleet) -> float:
    """Wait until a service commits again; return the seconds since the broker came back."""
    began = time.monotonic()
    before = _committed(fleet)
    fleet.until(lambda: _committed(fleet) > before, "work goes on", within_s=120)
    return time.monotonic() - began


def _committed(fleet: Fleet) -> int:
    return sum(at.committed for read in fleet.looks.progress().values() for at in read.values())


def total(results: Sequence[Result]) -> Counter[str]:
    """Return all faults."""
    return sum((result.faults for result in results), Counter())
