"""Enrich: microseconds an event, what a catalog costs, the window's bytes and its restore.

    make bench, or: python -m pytest -s bench/enrich.py --override-ini=python_files='*.py'

Over the corpora of SHARED (default ../shared). PROFILE=1 shows where the stage's time goes.
"""

import cProfile
import gzip
import json
import os
import pstats
import time
import tracemalloc
from contextlib import nullcontext

import pytest

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.learning import facts_of
from opstrail_enrich.window import Window, content_of
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import append_enrichment
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Origin, RawEvent, StackFact
from opstrail_schemas.topics import TopicName
from tests.support.corpora import CORPORA, corpora
from tests.support.enriching import (
    ENRICHED,
    INSTANCE,
    PARTITIONS,
    RAW,
    Bench,
    child_belongs,
    opsworks_event,
    raw_event,
    stack_defined,
)
from tests.support.figures import Figure
from tests.support.memory_kafka import StillPulse

IDENTITIES, ROUNDS = 1_000_000, 3
pytestmark = corpora


def corpus(name: str) -> list[RawEvent]:
    events = []
    for path in sorted((CORPORA / name).rglob("*.json.gz")):
        for number, record in enumerate(json.loads(gzip.decompress(path.read_bytes()))["Records"]):
            identity = record.get("userIdentity") or {}
            events.append(
                RawEvent(
                    account_id=record["recipientAccountId"],
                    event_id=record["eventID"],
                    event_time=1_627_000_000_000,
                    event_source=record["eventSource"],
                    event_name=record["eventName"],
                    aws_region=record["awsRegion"],
                    event_type=record.get("eventType"),
                    source_ip_address=record.get("sourceIPAddress"),
                    user_identity_type=identity.get("type"),
                    user_identity_arn=identity.get("arn"),
                    origin=Origin(bucket="b", key=str(path), sha256="0" * 64, record_index=number),
                    raw=json.dumps(record, separators=(",", ":")).encode(),
                )
            )
    return events


def with_opsworks(events: list[RawEvent]) -> list[RawEvent]:
    """Return the same number of events, 12 % of them calls that name an instance only."""
    call = opsworks_event("StopInstance", {"instanceId": INSTANCE})
    return [call if n % 100 < 12 else event for n, event in enumerate(events)]


def us_each(seconds: float, number: int) -> str:
    return f"{seconds / number * 1e6:.1f} us"


@pytest.fixture(scope="module")
def events() -> list[RawEvent]:
    return corpus("sans504")


def test_cost_of_an_event(events: list[RawEvent], figure: Figure) -> None:
    values = [RAW.encode(event) for event in events]
    began = time.perf_counter()
    for value in values:
        RAW.decode(value)
    decoded = time.perf_counter()
    empty = Catalogs()
    enrichments = [enrich(event, empty) for event in events]
    enriched = time.perf_counter()
    for value, enrichment in zip(values, enrichments, strict=True):
        append_enrichment(value, enrichment, raw_codec=RAW, enriched_codec=ENRICHED)
    appended = time.perf_counter()
    figure("decode, an event", us_each(decoded - began, len(events)), "none set")
    figure("enrich, an event", us_each(enriched - decoded, len(events)), "none set")
    figure("append, an event", us_each(appended - enriched, len(events)), "none set")


def test_cost_of_the_stage(events: list[RawEvent], figure: Figure) -> None:
    bench = Bench(most_identities=IDENTITIES, transaction_bytes=16 * 1024 * 1024)
    for event in events:
        bench.put(event)
    profile = cProfile.Profile() if os.environ.get("PROFILE") else nullcontext()
    with profile as measured:
        seconds = worked(bench)
    if measured is not None:
        pstats.Stats(measured).sort_stats("tottime").print_stats(25)
    figure("stage in memory, an event", us_each(seconds, len(events)), "none set")


def worked(bench: Bench) -> float:
    """Return the seconds that the stage takes for all that is there."""
    stage = bench.stage()
    raw = [Partition(TopicName.EVENTS_RAW, n) for n in range(PARTITIONS)]
    stage.restore(raw, StillPulse())
    records = bench.kafka.messages(TopicName.EVENTS_RAW)
    began = time.perf_counter()
    for start in range(0, len(records), 2_000):
        for commit in stage.work(records[start : start + 2_000], StillPulse()):
            commit.after()
    return time.perf_counter() - began


def test_cost_of_a_catalog(events: list[RawEvent], figure: Figure) -> None:
    """The stage over calls of which 12 % are OpsWorks', alone and with 20,000 facts known."""
    mixed = with_opsworks(events)
    facts = [stack_defined(str(number), name="x") for number in range(10_000)]
    facts += [child_belongs("instance", str(n), str(n)) for n in range(10_000)]
    facts.append(child_belongs("instance", INSTANCE, "1", region=None))
    empty, full = Catalogs(), Catalogs()
    for fact in facts:
        full.stacks.facts.add(digest_of(fact), fact)
    rounds = [(enriched_in(mixed, empty), enriched_in(mixed, full)) for _ in range(ROUNDS)]
    ratio = min(full for _, full in rounds) / min(empty for empty, _ in rounds)
    figure(
        f"enrich, 12 % OpsWorks, {len(facts):,} facts against an empty catalog",
        f"{ratio:.2f} times",
        "at most 1.3 times",
    )


def test_cost_of_a_role_that_many_stacks_share(events: list[RawEvent], figure: Figure) -> None:
    """Of the calls 12 % are OpsWorks', 40 % by one role that 400 stacks have."""
    role = "arn:aws:iam::111122223333:role/aws-opsworks-service-role"
    issuer = {"sessionIssuer": {"type": "Role", "arn": role, "userName": "opsworks"}}
    by_role = raw_event(
        eventName="RunInstances", userIdentity={"type": "AssumedRole", "sessionContext": issuer}
    )
    mixed = [by_role if n % 100 >= 60 else event for n, event in enumerate(with_opsworks(events))]
    empty, full = Catalogs(), Catalogs()
    for number in range(400):
        made = opsworks_event(
            "CreateStack",
            {"name": f"s-{number}", "region": "eu-west-1", "serviceRoleArn": role},
            {"stackId": f"id-{number}"},
            event_id=f"e-{number}",
        )
        for fact in facts_of(made):
            assert isinstance(fact, StackFact)
            full.stacks.facts.add(digest_of(fact), fact)
    rounds = [(enriched_in(mixed, empty), enriched_in(mixed, full)) for _ in range(ROUNDS)]
    ratio = min(full for _, full in rounds) / min(empty for empty, _ in rounds)
    figure(
        "enrich, 40 % by a role that 400 stacks share, against an empty catalog",
        f"{ratio:.2f} times",
        "at most 1.3 times",
    )


def enriched_in(events: list[RawEvent], catalogs: Catalogs) -> float:
    """Return the seconds that an event's way through enrich takes, its bytes included."""
    values = [RAW.encode(event) for event in events]
    began = time.perf_counter()
    for value in values:
        enrichment = enrich(RAW.decode(value), catalogs)
        append_enrichment(value, enrichment, raw_codec=RAW, enriched_codec=ENRICHED)
    return time.perf_counter() - began


def test_window(figure: Figure) -> None:
    window = Window(most_identities=IDENTITIES)
    for partition in range(24):
        window.open(partition)
    tracemalloc.start()
    for number in range(IDENTITIES):
        window.add(number % 24, b"111122223333/%036d" % number, b"%d" % number)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    figure(
        f"window, bytes per {IDENTITIES:,} identities (the default of a process)",
        f"{size / len(window) * IDENTITIES:,.0f}",
        "stated",
    )
    began = time.perf_counter()
    for number in range(IDENTITIES, IDENTITIES + 200_000):
        window.seen(number % 24, b"111122223333/%036d" % number, b"%d" % number)
        window.add(number % 24, b"111122223333/%036d" % number, b"%d" % number)
    taken = us_each(time.perf_counter() - began, 200_000)
    figure("window when full, an event", taken, "none set")


def test_restore(events: list[RawEvent], figure: Figure) -> None:
    empty = Catalogs()
    values = [
        append_enrichment(RAW.encode(e), enrich(e, empty), raw_codec=RAW, enriched_codec=ENRICHED)
        for e in events
    ]
    at = Partition(TopicName.EVENTS_ENRICHED, 0)
    records = [Record(at, n, b"%d" % n, value, 0) for n, value in enumerate(values)]
    size = sum(map(len, values))
    window = Window(most_identities=IDENTITIES)
    window.open(0)
    began = time.perf_counter()
    for record in records:
        event = ENRICHED.decode(record.value or b"").event
        window.add(0, record.key or b"", content_of(event))
    seconds = time.perf_counter() - began
    scaled = seconds * 64 * 1024 * 1024 / size
    figure(
        "window, restore of 64 MiB of events.enriched (the default), without the fetch",
        f"{scaled:.2f} s",
        "at most 5 s",
    )
