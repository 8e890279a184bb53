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

import psutil

from tests.support.checker.corpus import corpus, order
from tests.support.checker.expected import expected_of
from tests.support.faulting.fleet import Fleet
from tests.support.faulting.looks import Read
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
LEAST_EVENTS_A_S = 50  # from the files to the store; slower than that stands still

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
    fleet.longest_drain_s = max(fleet.longest_drain_s, scenario.events / LEAST_EVENTS_A_S)
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
    fleet.figures["recoveries measured"] = (
        f"{len(fleet.resumed_s)} of {fleet.restarts} restarts; {fleet.unresumed} died again first",
        "told",
    )
    seen = fleet.looks.observed(
        fleet.logs(), kills=fleet.kills, restarts=fleet.restarts, resumed_s=fleet.resumed_s
    )
    return result_of(
        name,
        seed,
        expected_of(files),
        seen,
        faults=fleet.faults,
        seconds=time.monotonic() - began,
        others=fleet.found,
        longest_resume_s=scenario.longest_resume_s,
        idle=fleet.idle,
        figures=fleet.figures,
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


def portions(keys: list[str], number: int) -> list[list[str]]:
    """Cut keys into so many portions: each fault is given one, and so meets work."""
    return [keys[start::number] for start in range(number)]


def killed_and_stalled(
    fleet: Fleet, keys: list[str], rng: random.Random, *, kills: int = 24
) -> None:
    """F2, F3, F11, F18: killed, stalled and stopped at any time; members come and go."""
    fleet.start("discover")
    for role in ("split", "enrich", "store"):
        for number in (0, 1):
            fleet.start(role, number)
    names = list(fleet.members)
    todo = [*(["kill"] * kills), *(["term"] * 3), *(["stall"] * 2)]
    rng.shuffle(todo)
    first, *rest = portions(keys, len(todo) + 1)
    fleet.notify(first)
    fleet.until(lambda: fleet.installed.written("events.raw") > 0, "events come")
    for what, portion in zip(todo, rest, strict=True):
        fleet.notify(portion)
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
    longest = max(fleet.stopped_s)
    fleet.figures["longest time from SIGTERM to the end, s"] = f"{longest:.1f}", "20"


def over_bad_networks(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """F6, F7, F9, F10, F15, F16: replies are lost, late, cut, or say that it is too much."""
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
    commits, offsets = wire.at_most(12, commits), wire.at_most(3, offsets)
    fleet.kafka.faults = lambda kind: commits(kind) or offsets(kind)
    fleet.opensearch.faults = web.at_random(
        [
            *(web.Answer(429), web.Answer(500), web.Answer(503), web.ResetBefore()),
            *(web.ResetAfter(), web.Hang(2.0), web.Truncate(0.5), web.RefuseItems(0.3)),
            web.RefuseItems(0.05, 503),
        ],
        share=0.35,
        seed=seed,
        only=lambda request: any(
            name in request.path for name in ("_bulk", "_mget", "_index_template")
        ),
    )
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
    """F4, F8: broker and OpenSearch die, the broker stops; the disk of OpenSearch is full."""
    first, of_search, of_block, *of_kafka = portions(keys, 6)
    fleet.start_all()
    fleet.notify(first)
    fleet.until(lambda: fleet.installed.written("events.raw") > 0, "events come")
    back = []
    for number, portion in zip(
        (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM), of_kafka, strict=True
    ):
        before = fleet.looks.progress()
        process = psutil.Process(servers.pid("kafka"))
        process.send_signal(number)
        fleet.faults[f"{number.name} kafka"] += 1
        fleet.notify(portion)
        fleet.until(lambda: not _alive(process), "the broker ends")  # noqa: B023
        fleet.pass_time(rng.uniform(1, 4))
        back.append(_back(fleet, before, servers, "kafka"))
    fleet.figures["broker back until every role works again, longest s"] = f"{max(back):.1f}", "60"
    servers.kill("opensearch")
    fleet.faults["SIGKILL opensearch"] += 1
    fleet.notify(of_search)
    fleet.until(lambda: fleet.looks.behind()["store"] > 0, "store has work")
    fleet.pass_time(5)
    before = fleet.looks.progress()
    took_s = _back(fleet, before, servers, "opensearch")
    fleet.figures["OpenSearch back until store works again, s"] = f"{took_s:.1f}", "120"
    client, index = fleet.installed.opensearch, f"{fleet.installed.name}-*"
    block = "index.blocks.read_only_allow_delete"
    client.indices.put_settings(index=index, body={block: True})
    fleet.faults["index block"] += 1
    fleet.notify(of_block)
    fleet.until(lambda: fleet.looks.behind()["store"] > 0, "store has work")
    fleet.pass_time(8)
    fleet.idle += fleet.looks.behind()["store"] == 0  # then nothing was kept from being written
    client.indices.put_settings(index=index, body={block: None})


def _back(
    fleet: Fleet, before: Mapping[str, Mapping[str, Read]], servers: Servers, name: str
) -> float:
    """Start a server again; return the seconds until every partition with work moves."""
    began = time.monotonic()
    servers.start(name)
    fleet.until_all_move(before, f"work goes on after {name} came back")
    return time.monotonic() - began


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def without_the_coordinator(
    fleet: Fleet, keys: list[str], rng: random.Random, servers: Servers, *, times: int = 2
) -> None:
    """F5: of three brokers the one is killed that coordinates transactions, inside commits.

    It dies within milliseconds after a commit was handed to it; whether its answer was still due
    is seen and told.
    """
    first, *rest = portions(keys, times + 1)
    fleet.start_all()
    fleet.notify(first)
    fleet.until(lambda: fleet.installed.written("events.raw") > 0, "events come")
    inside = 0
    for portion in rest:
        broker = fleet.looks.coordinator_of(f"{fleet.installed.name}.split.0")
        name = f"kafka-{broker}"
        unanswered = fleet.kafka.unanswered[wire.END_TXN]
        died = fleet.kafka.act_after(
            wire.END_TXN,
            servers.port(name),
            rng.uniform(0, 0.004),
            psutil.Process(servers.pid(name)).kill,
        )
        fleet.notify(portion)
        fleet.until(died.is_set, "a commit", within_s=60)
        fleet.faults["SIGKILL coordinator"] += 1
        fleet.pass_time(rng.uniform(2, 8))
        inside += fleet.kafka.unanswered[wire.END_TXN] > unanswered
        servers.start(name)
        fleet.pass_time(3)
    fleet.figures["coordinators killed with a commit in work"] = f"{inside} of {times}", "most"


def too_slow(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """F12: enrich stands still for longer than it may, and wakes up as a zombie."""
    fleet.start("discover")
    for role in ("split", "store"):
        fleet.start(role, settings=SESSION)
    fleet.zombies += 4
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


def with_a_node_gone(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """A node is lost for good inside a transaction of split: what ran on it does not come back."""
    first, second = portions(keys, 2)
    fleet.start("discover")
    for role in ("split", "enrich", "store"):
        fleet.start(role)
    dying = f"split.after-produce:{rng.randrange(2, 5)}"
    lost = [
        fleet.start("split", 1, plan=[dying], mortal=True),
        *(fleet.start(role, 1, mortal=True) for role in ("enrich", "store")),
    ]
    fleet.feed(first)
    fleet.until(lambda: not lost[0].runs, "split.1 dies inside a transaction", within_s=120)
    began = time.monotonic()
    for member in lost[1:]:
        fleet.kill(member.name)
        fleet.faults[f"lost for good {member.role}"] += 1
    fleet.faults["lost for good split"] += 1
    before = fleet.looks.progress()
    stuck = fleet.looks.open_partitions()
    fleet.notify(second)
    freed_s = works_s = 0.0

    def over() -> bool:
        nonlocal freed_s, works_s
        now = time.monotonic() - began
        held = fleet.looks.open_partitions()
        # Others are open for a moment: held is what has not moved since the death.
        if not freed_s and not any(held.get(at) == offset for at, offset in stuck.items()):
            freed_s = now
        if not works_s and fleet.all_moved(before):
            works_s = now
        return bool(freed_s and works_s)

    fleet.until(over, "others take over", within_s=240)
    fleet.idle += not stuck
    fleet.figures["node lost for good until every partition is read on, s"] = f"{works_s:.1f}", "45"
    fleet.figures["last stable offset free after a death inside a transaction, s"] = (
        f"{freed_s:.1f}",
        "40: the transaction's 30 and 10",
    )


def with_a_full_disk(fleet: Fleet, keys: list[str], rng: random.Random, servers: Servers) -> None:
    """F13: the disk of the broker takes not a byte more, so that it ends; then there is room again.

    A limit on the size of files does it without a disk of its own: writes fail, as on a full one.
    """
    first, second = portions(keys, 2)
    fleet.start_all()
    fleet.notify(first)
    fleet.until(lambda: fleet.installed.written("events.raw") > 0, "events come")
    before = fleet.looks.progress()
    broker = psutil.Process(servers.pid("kafka"))
    broker.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
    fleet.notify(second)
    fleet.until(lambda: not _alive(broker), "the broker ends, its disk being full")
    fleet.faults["disk of kafka full"] += 1
    fleet.pass_time(rng.uniform(3, 6))
    took_s = _back(fleet, before, servers, "kafka")
    fleet.figures["broker back from a full disk until every role works again, s"] = (
        f"{took_s:.1f}",
        "60",
    )


AHEAD = {"discover": "+1h", "split": "+1d", "enrich": "+25h", "store": "+1d"}
BEHIND = {"discover": "-1d", "split": "-1h", "enrich": "-1d", "store": "-25h"}


def with_wrong_clocks(fleet: Fleet, keys: list[str], rng: random.Random) -> None:
    """F14: each process has a clock of its own, hours and days ahead; then each jumps back."""
    first, second = portions(keys, 2)
    for role, ahead in AHEAD.items():
        fleet.start(role, settings=_clock(ahead))
        fleet.faults[f"clock {ahead} {role}"] += 1
    fleet.notify(first)
    fleet.until(lambda: fleet.installed.stored() > 0, "events are stored")
    for role, behind in BEHIND.items():
        member = fleet.members[f"{role}.0"]
        member.environment = {**member.environment, **_clock(behind)}
        fleet.kill(member.name)
        fleet.faults[f"clock {behind} {role}"] += 1
    fleet.notify(second)


def _clock(offset: str) -> dict[str, str]:
    """Return settings that make all of a process, librdkafka too, see another time of day."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is not there: apt-get install faketime"
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


def total(results: Sequence[Result]) -> Counter[str]:
    """Return all faults."""
    return sum((result.faults for result in results), Counter())
