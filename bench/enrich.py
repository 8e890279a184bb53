"""Enrich: microseconds an event, bytes an identity in the window, time to restore it.

Run with SHARED naming the shared folder: python -m bench.enrich
"""

import cProfile
import gzip
import json
import os
import pstats
import resource
import sys
import time
import tracemalloc
from pathlib import Path

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.window import Window, content_of
from opstrail_runtime.memory import StillPulse
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import append_enrichment
from opstrail_schemas.messages import Origin, RawEvent
from opstrail_schemas.topics import TopicName
from tests.support.enriching import (
    ENRICHED,
    INSTANCE,
    PARTITIONS,
    RAW,
    Bench,
    child_belongs,
    opsworks_event,
    stack_defined,
)

IDENTITIES = 1_000_000


def corpus(name: str) -> list[RawEvent]:
    events = []
    for path in sorted(Path(os.environ["SHARED"], "corpora", name).rglob("*.json.gz")):
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
    return f"{seconds / number * 1e6:6.1f} us"


def print_cost_of_an_event(events: list[RawEvent]) -> None:
    values = [RAW.encode(event) for event in events]
    began = time.perf_counter()
    for value in values:
        RAW.decode(value)
    decoded = time.perf_counter()
    enrichments = [enrich(event, Catalogs()) for event in events]
    enriched = time.perf_counter()
    for value, enrichment in zip(values, enrichments, strict=True):
        append_enrichment(value, enrichment, raw_codec=RAW, enriched_codec=ENRICHED)
    appended = time.perf_counter()
    print(f"decode   {us_each(decoded - began, len(events))} an event")
    print(f"enrich   {us_each(enriched - decoded, len(events))}")
    print(f"append   {us_each(appended - enriched, len(events))}")


def print_cost_of_the_stage(events: list[RawEvent]) -> None:
    bench = Bench(most_identities=IDENTITIES, transaction_bytes=16 * 1024 * 1024)
    for event in events:
        bench.put(event)
    stage = bench.stage()
    raw = [Partition(TopicName.EVENTS_RAW, n) for n in range(PARTITIONS)]
    stage.restore(raw, StillPulse())
    records = bench.kafka.messages(TopicName.EVENTS_RAW)
    began = time.perf_counter()
    written = 0
    for start in range(0, len(records), 2_000):
        for commit in stage.work(records[start : start + 2_000], StillPulse()):
            written += len(commit.outputs)
            commit.after()
    seconds = time.perf_counter() - began
    print(
        f"stage    {us_each(seconds, len(records))}; {len(records)} in, {written} out, "
        f"{len(stage.window)} in the window"
    )


def print_cost_of_a_catalog(events: list[RawEvent]) -> None:
    mixed = with_opsworks(events)
    empty, full = Catalogs(), Catalogs()
    for number in range(10_000):
        full.stacks.facts.add(b"s%d" % number, stack_defined(str(number), name="x"))
        full.stacks.facts.add(b"i%d" % number, child_belongs("instance", str(number), str(number)))
    full.stacks.facts.add(b"i", child_belongs("instance", INSTANCE, "1", region=None))
    seconds = []
    for catalogs in (empty, full):
        began = time.perf_counter()
        for event in mixed:
            enrich(event, catalogs)
        seconds.append(time.perf_counter() - began)
    print(
        f"catalog  {seconds[1] / seconds[0]:.2f} times the cost with an empty one, 12 % OpsWorks "
        "(goal: at most 1.3)"
    )


def print_window() -> None:
    window = Window(most_identities=IDENTITIES)
    for partition in range(24):
        window.open(partition)
    tracemalloc.start()
    for number in range(IDENTITIES):
        window.add(number % 24, b"111122223333/%036d" % number, b"%d" % number)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"window   {size / len(window):.0f} bytes an identity, {size / 1e6:.0f} MB a million")
    began = time.perf_counter()
    for number in range(IDENTITIES, IDENTITIES + 200_000):
        window.seen(number % 24, b"111122223333/%036d" % number, b"%d" % number)
        window.add(number % 24, b"111122223333/%036d" % number, b"%d" % number)
    print(f"window   {us_each(time.perf_counter() - began, 200_000)} an event when full")


def print_restore(events: list[RawEvent]) -> None:
    values = [
        append_enrichment(
            RAW.encode(e), enrich(e, Catalogs()), raw_codec=RAW, enriched_codec=ENRICHED
        )
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
    print(f"restore  {scaled:.2f} s for 64 MiB of events.enriched (goal: at most 5 s)")


def main() -> None:
    events = corpus("sans504")
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            print_cost_of_the_stage(events)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    print_cost_of_an_event(events)
    print_cost_of_the_stage(events)
    print_cost_of_a_catalog(events)
    print_restore(events)
    print_window()
    print(f"rss      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most")


if __name__ == "__main__":
    main()
