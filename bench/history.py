"""History over many events: how long questions take, what a download costs, what boto3 gets.

    OPSTRAIL_OPENSEARCH__URL=http://… python -m bench.history [EVENTS]

The node is to run with OpenSearch's own Java flags and 1 GB of heap. `opstrail local up` starts one
with the serial collector, which is quick to start: with it OpenSearch counts what could be freed as
used, and refuses bulks of a million events (429).

EVENTS (1,000,000 by default) documents are made from one record, spread over three years, four
accounts and some names, and written in bulk. Each figure is printed with its goal beside it.
"""

import hashlib
import json
import os
import random
import shutil
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import boto3
import httpx2
import psutil
from botocore.config import Config
from opensearchpy import OpenSearch
from playwright.sync_api import sync_playwright

from opstrail_store.settings import SetupSettings
from opstrail_store.wiring import new_client
from tests.support.history import (
    A,
    B,
    C,
    Stored,
    a_record,
    a_store,
    enriched,
    event_of,
    serving,
)

DEFAULT_EVENTS = 1_000_000
USERS, THINK_S, FOR_S = 20, 5.0, 60.0
PAGINATED = 100_000
BULK = 2_000
PATHS = (("search", "/api/v1/events"), ("facets", "/api/v1/facets"), ("page", "/"))
ACCOUNTS = (A, B, C, "222233334444")
NAMES = ("PutObject", "CreateStack", "DescribeInstances", "AssumeRole", "StopInstance", "Decrypt")
SOURCES = ("s3", "opsworks", "ec2", "sts", "opsworks", "kms")
REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
BEGIN_S, SPAN_S = 1_609_459_200, 3 * 365 * 86_400  # from 2021 on


def documents(count: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield index suffix, id and body: a real document with other values in its places."""
    from opstrail_store.document import event_body  # noqa: PLC0415

    [one] = enriched([event_of(a_record("EVENT-ID", "2021-01-01T00:00:00Z"))])
    template = json.loads(event_body(one, stored_at=1))
    rng = random.Random(6)
    for at in range(count):
        account, kind = ACCOUNTS[at % 4], rng.randrange(len(NAMES))
        time_s = BEGIN_S + rng.randrange(SPAN_S)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
        event_id = str(uuid.UUID(int=rng.getrandbits(128)))
        reads = NAMES[kind].startswith(("Describe", "Decrypt"))
        template |= {
            "eventTime": stamp, "eventName": NAMES[kind], "eventID": event_id,
            "eventSource": f"{SOURCES[kind]}.amazonaws.com", "awsRegion": REGIONS[at % 3],
            "recipientAccountId": account, "readOnly": reads, "requestID": event_id[::-1],
            "sourceIPAddress": f"203.0.113.{at % 250}",
        }  # fmt: skip
        if at % 50 == 0:
            template["errorCode"] = "AccessDenied"
        else:
            template.pop("errorCode", None)
        ours = template.pop("opstrail")  # last, as store writes it
        ours |= {"accountId": account, "eventID": event_id, "sourceIP": f"203.0.113.{at % 250}"}
        ours["caller"] |= {"name": f"user-{at % 300}", "userName": f"user-{at % 300}"}
        template["opstrail"] = ours
        body = json.dumps(template, separators=(",", ":")).encode()
        yield stamp[:7].replace("-", "."), f"{account}/{event_id}", body


def fill(client: OpenSearch, stored: Stored, count: int) -> int:
    """Write the documents, a bulk while the next is made; return the sum of their hashes."""
    sums = 0
    with ThreadPoolExecutor(max_workers=1) as sender:
        sent: Future[None] | None = None
        for batch in batched(documents(count), BULK):
            lines = []
            for index, document_id, body in batch:
                name = f"{stored.prefix}-events-v1-{index}"
                lines.append(
                    b'{"index":{"_index":"%b","_id":"%b"}}' % (name.encode(), document_id.encode())
                )
                lines.append(body)
                sums += line_hash(body)
            if sent is not None:
                sent.result()
            sent = sender.submit(send, client, b"\n".join(lines) + b"\n")
        if sent is not None:
            sent.result()
    stored.refresh()
    return sums


def send(client: OpenSearch, body: bytes) -> None:
    """Write a bulk. Fails where one of its documents does."""
    answer = client.bulk(body=body, params={"filter_path": "errors"}, request_timeout=120)
    assert not answer["errors"]


def batched(
    documents: Iterable[tuple[str, str, bytes]], size: int
) -> Iterator[list[tuple[str, str, bytes]]]:
    """Yield lists of documents."""
    documents = iter(documents)
    while batch := list(islice(documents, size)):
        yield batch


def line_hash(body: bytes) -> int:
    """A number for a document; their sum does not depend on the order."""
    return int.from_bytes(hashlib.sha256(body).digest()[:8], "big")


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def asked_by_users(url: str, minute: int) -> dict[str, list[float]]:
    """What 20 users wait who ask and think: three filters, facets, the page.

    In each minute they ask other questions.
    """
    taken: dict[str, list[float]] = {"search": [], "facets": [], "page": []}
    until = time.monotonic() + FOR_S

    def user(number: int) -> None:
        rng = random.Random(minute * USERS + number)
        time.sleep(rng.random() * THINK_S)
        with httpx2.Client(base_url=url, timeout=60) as client:
            while time.monotonic() < until:
                filters = {
                    "account": rng.choice(ACCOUNTS), "name": rng.choice(NAMES),
                    "readOnly": rng.choice(("yes", "no")),
                    "since": f"{rng.choice((2021, 2022, 2023))}-0{rng.randrange(1, 10)}",
                }  # fmt: skip
                kind, path = rng.choice(PATHS)
                began = time.perf_counter()
                client.get(path, params=filters).raise_for_status()
                taken[kind].append(time.perf_counter() - began)
                time.sleep(THINK_S)

    threads = [threading.Thread(target=user, args=(number,)) for number in range(USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def exported(url: str, pid: int) -> tuple[int, int, int, float]:
    """Count, sum of hashes, highest RSS of the server in bytes, seconds."""
    process, highest, sums, count = psutil.Process(pid), 0, 0, 0
    began = time.monotonic()
    with httpx2.stream("GET", f"{url}/api/v1/export", timeout=300) as answer:
        for line in answer.iter_lines():
            if line.startswith('{"opstrailExport"'):
                assert json.loads(line)["opstrailExport"]["events"] == count
                return count, sums, highest, time.monotonic() - began
            count += 1
            sums += line_hash(line.encode())
            if count % 5_000 == 0:
                highest = max(highest, process.memory_info().rss)
    raise AssertionError("the download has no end")


def paginated(url: str) -> tuple[int, int]:
    """Events and different events that boto3's paginator returns."""
    cloudtrail = boto3.client(
        "cloudtrail", endpoint_url=url, region_name="us-east-1", aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    pages = cloudtrail.get_paginator("lookup_events").paginate(
        PaginationConfig={"MaxItems": PAGINATED}
    )
    ids = [event["EventId"] for page in pages for event in page["Events"]]
    return len(ids), len(set(ids))


def interactive(url: str) -> float | None:
    """Seconds until the page is interactive in Chromium, the middle of five; None without it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        taken = []
        for _ in range(5):
            page.goto(url)
            taken.append(
                page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
            )
        browser.close()
    return statistics.median(taken) / 1000


def tell(name: str, value: str, goal: str) -> None:
    print(f"{name}: {value} (goal: {goal})", flush=True)


def load() -> str:
    """What the machine has to do, as of the last minute."""
    return f"load {os.getloadavg()[0]:.1f}"


def nodes(client: OpenSearch) -> list[dict[str, Any]]:
    """Return what OpenSearch says of its nodes' Java."""
    return list(client.nodes.info(metric="jvm")["nodes"].values())


def process_at(url: str) -> int:
    port = int(url.rpartition(":")[2])
    return next(
        each.pid or 0
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    )


def timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_EVENTS
    settings = SetupSettings()
    client = new_client(settings.opensearch)
    [heap] = {node["jvm"]["mem"]["heap_max_in_bytes"] for node in nodes(client)}
    print(f"{os.cpu_count()} cores, OpenSearch's heap {heap / 2**20:.0f} MiB, {load()}", flush=True)
    with a_store(settings.opensearch.url, f"bench{os.getpid()}") as stored:
        sums: list[int] = []
        seconds = timed(lambda: sums.append(fill(client, stored, count)))
        print(f"{count:,} events stored in {seconds:.0f} s", flush=True)
        with serving(stored) as url:
            shown = interactive(url)
            for minute, state in enumerate(("just filled", "a minute later")):
                taken = asked_by_users(url, minute)
                print(f"{USERS} users for {FOR_S:.0f} s, {state}: {load()}", flush=True)
                tell("three filters, p95", f"{p95(taken['search']) * 1000:.0f} ms", "300 ms")
                tell("facets, histogram, p95", f"{p95(taken['facets']) * 1000:.0f} ms", "800 ms")
                tell("page from the server, p95", f"{p95(taken['page']):.2f} s", "1.5 s")
            tell("page interactive in Chromium", f"{shown} s", "1.5 s")
            got, got_sums, highest, seconds = exported(url, process_at(url))
            same = (got, got_sums) == (count, sums[0])
            tell("export", f"{got:,} events in {seconds:.0f} s, equal: {same}", "all, equal")
            tell("export, highest RSS", f"{highest / 2**20:.0f} MiB", "200 MiB")
            events, different = paginated(url)
            wanted = min(count, PAGINATED)
            tell(
                "boto3's paginator", f"{events:,}, each once: {events == different}", f"{wanted:,}"
            )
        assert same
        assert events == different == wanted


if __name__ == "__main__":
    main()
