"""A store filled for tests of history, and history served over it, in this process."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import uvicorn
from opensearchpy import OpenSearch

from opstrail_cli.history_process import answers
from opstrail_cli.processes import free_port
from opstrail_cli.sample.archive import ACCOUNT_NAMES, archive
from opstrail_cli.sample.records import text_of
from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.learning import facts_of
from opstrail_history.app import create_app
from opstrail_history.settings import Settings
from opstrail_history.wiring import new_desk
from opstrail_ingest.masking import Masking
from opstrail_ingest.object_key import object_key
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Element
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.settings import OpenSearchSettings
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, EnrichedEvent, RawEvent, StackFact
from opstrail_store.content import content_of
from opstrail_store.document import delivery_of, event_body, event_document_id, reduced_body
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import OpenSearchSink, Write
from opstrail_store.store_setup import execute, plan
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client
from tests.support.memory_kafka import StillPulse

A, B, C = "111122223333", "444455556666", "777788889999"
STORED_AT = 1_700_000_000_000


def a_record(event_id: str, time: str, **members: Any) -> dict[str, Any]:
    """A record of account A, by an IAM user."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAADA",
            "arn": f"arn:aws:iam::{A}:user/ada",
            "accountId": A,
            "accessKeyId": "AKIAADAADAADAADAADA1",
            "userName": "ada",
        },
        "eventTime": time,
        "eventSource": "s3.amazonaws.com",
        "eventName": "PutBucketPolicy",
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.1",
        "requestParameters": {"bucketName": "shop-assets"},
        "responseElements": None,
        "requestID": f"r-{event_id}",
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": A,
        "eventCategory": "Management",
        **members,
    }


def event_of(record: Mapping[str, Any], *, key: str = "made.json", index: int = 0) -> RawEvent:
    """The event that split makes of a record in a file."""
    return event_in(json.dumps(record, separators=(",", ":")).encode(), key=key, index=index)


def event_in(raw: bytes, *, key: str = "made.json", index: int = 0) -> RawEvent:
    """The same, of a record's text."""
    origin = FileOrigin(
        bucket="trail", key=key, sha256="0" * 64, account_id=object_key(key).account_id
    )
    event = RecordReader(origin, Masking()).read(Element(index, 0, len(raw), raw, salvaged=False))
    assert isinstance(event, RawEvent), event
    return event


def sample_events() -> list[RawEvent]:
    """The events of the demo's archive, each once."""
    found: dict[str, RawEvent] = {}
    for file in archive().files:
        for index, each in enumerate(file.events):
            event = event_in(text_of(each.record).encode(), key=file.key, index=index)
            found.setdefault(event_document_id(event), event)
    return list(found.values())


def enriched(events: Iterable[RawEvent]) -> list[EnrichedEvent]:
    """The events with all that they teach, and the accounts' names."""
    events = list(events)
    catalogs = Catalogs()
    facts: list[StackFact | Account] = [fact for event in events for fact in facts_of(event)]
    facts += [
        Account(account_id=one, name=name, source="import") for one, name in ACCOUNT_NAMES.items()
    ]
    for fact in facts:
        if isinstance(fact, StackFact):
            catalogs.stacks.facts.add(digest_of(fact), fact)
        else:
            catalogs.accounts.facts.add(digest_of(fact), fact)
    return [EnrichedEvent(event=event, enrichment=enrich(event, catalogs)) for event in events]


@dataclass(frozen=True, slots=True)
class Stored:
    """A store of the tests' own: a prefix on a shared server."""

    url: str
    prefix: str
    client: OpenSearch

    def put(self, events: Iterable[RawEvent], *, stored_at: int = STORED_AT) -> list[str]:
        """Store events as the service does; return their document ids."""
        names = IndexNames(self.prefix)
        sink = OpenSearchSink(
            self.client, backoff=Backoff(first_s=0.1, longest_s=1, rng=random.Random(1))
        )
        writes = [
            Write(
                index=names.of_event(one.event.event_time),
                id=event_document_id(one.event),
                version=one.enrichment.version,
                body=event_body(one, stored_at=stored_at),
                reduced=lambda one=one: reduced_body(one, stored_at=stored_at, why="refused"),  # type: ignore[misc]
                content=content_of(one.event),
                delivery=delivery_of(one, stored_at),
            )
            for one in enriched(events)
        ]
        sink.write(writes, StillPulse())
        sink.close()
        self.refresh()
        return [write.id for write in writes]

    def put_rows(self, kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Store documents of `files` or `dead-letters`."""
        for at, row in enumerate(rows):
            self.client.index(index=f"{self.prefix}-{kind}-v1", id=str(at), body=dict(row))
        self.refresh()

    def refresh(self) -> None:
        """Let all be seen."""
        self.client.indices.refresh(index=f"{self.prefix}-*")

    def settings(self, **history: Any) -> Settings:
        """Settings of a history over it."""
        return Settings.model_validate(
            {
                "opensearch": {"url": self.url},
                "store": {"index_prefix": self.prefix},
                "history": {
                    "port": 0,
                    "live_poll_s": 0.2,
                    "requests_per_minute": 1_000_000,
                    **history,
                },
            }
        )


@contextmanager
def a_store(url: str, prefix: str) -> Iterator[Stored]:
    """A store that is set up, and gone at the end."""
    client = new_client(OpenSearchSettings(url=url))
    execute(plan(client, prefix, Layout()))
    try:
        yield Stored(url, prefix, client)
    finally:
        client.indices.delete(index=f"{prefix}-*", params={"expand_wildcards": "all"})
        for kind in ("events", "files", "dead-letters"):
            client.indices.delete_index_template(name=f"{prefix}-{kind}")
        client.close()


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """History over a store, on a port of its own; yields its address."""
    config = uvicorn.Config(
        create_app(new_desk(settings)),
        host="127.0.0.1",
        port=0,
        log_level="error",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=64_000,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "history did not start"
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def serving(stored: Stored, **environment: str) -> Iterator[str]:
    """`opstrail history` over a store, as a process of its own; yields its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "opstrail_cli.main", "history"],
        env={
            "PATH": os.environ["PATH"],
            "OPSTRAIL_OPENSEARCH__URL": stored.url,
            "OPSTRAIL_STORE__INDEX_PREFIX": stored.prefix,
            "OPSTRAIL_HISTORY__PORT": str(port),
            "OPSTRAIL_HISTORY__REQUESTS_PER_MINUTE": "1000000",
            "OPSTRAIL_HISTORY__LIVE_POLL_S": "0.2",
            "OPSTRAIL_TELEMETRY__LOG_LEVEL": "warning",
            **environment,
        },
        stdin=subprocess.DEVNULL,
    )
    try:
        while not answers(url):
            assert process.poll() is None, "history ended before it answered"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def milliseconds(time: str) -> int:
    """A time as milliseconds since the epoch."""
    return int(datetime.fromisoformat(time).timestamp() * 1000)
