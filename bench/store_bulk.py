"""Store alone: documents from real records into a real OpenSearch.

    OPSTRAIL_OPENSEARCH__URL=http://… python -m bench.store_bulk CORPUS

Prints microseconds a document for decoding, for the document, and documents a second for the
whole stage: fresh, and again on top (all already there).
"""

import gzip
import json
import random
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import Codec, UnknownSchema
from opstrail_schemas.messages import (
    Caller,
    DeadLetter,
    EnrichedEvent,
    Enrichment,
    Origin,
    RawEvent,
    TrailFile,
)
from opstrail_schemas.topics import TopicName
from opstrail_store.document import event_body
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import OpenSearchSink
from opstrail_store.settings import SetupSettings
from opstrail_store.store_setup import execute, plan
from opstrail_store.store_stage import Codecs, StoreStage
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client
from tests.support.memory_kafka import StillPulse

BATCH = 2_000
GOAL_PER_S = 5_000  # a plain script on the same servers: 7,000 to 8,000 with flat_object fields


def _unknown(schema_id: int) -> str:
    raise UnknownSchema(str(schema_id))


CODECS = Codecs(
    Codec(EnrichedEvent, 1, _unknown),
    Codec(EnrichedEvent, 1, _unknown),
    Codec(TrailFile, 2, _unknown),
    Codec(DeadLetter, 3, _unknown),
)


class Trail(msgspec.Struct):
    """A trail file whose records are left as they are."""

    records: list[msgspec.Raw] = msgspec.field(name="Records")


def events(folder: Path, *, known_facts: int) -> list[EnrichedEvent]:
    """Return all records of a corpus, enriched with next to nothing."""
    found = []
    for path in sorted(folder.rglob("*.json.gz")):
        for index, raw in enumerate(
            msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Trail).records
        ):
            record = json.loads(bytes(raw))
            identity = record["userIdentity"]
            event = RawEvent(
                account_id=record["recipientAccountId"],
                event_id=record["eventID"],
                event_time=int(datetime.fromisoformat(record["eventTime"]).timestamp() * 1000),
                event_source=record["eventSource"],
                event_name=record["eventName"],
                source_ip_address=record.get("sourceIPAddress"),
                access_key_id=identity.get("accessKeyId"),
                origin=Origin(bucket="b", key=path.name, sha256="0" * 64, record_index=index),
                raw=bytes(raw),
            )
            caller = Caller(
                kind="assumedRole", arn=identity.get("arn"), name=identity.get("userName")
            )
            enrichment = Enrichment(
                rules_version=1, version=(1 << 32) + 1 + known_facts, caller=caller
            )
            found.append(EnrichedEvent(event=event, enrichment=enrichment))
    return found


def timed(stage: StoreStage, records: Sequence[Record]) -> float:
    """Return the seconds that the stage takes for the records, in the loop's batches."""
    began = time.perf_counter()
    for start in range(0, len(records), BATCH):
        for commit in stage.work(records[start : start + BATCH], StillPulse()):
            commit.after()
    return time.perf_counter() - began


def main() -> None:
    """Run it."""
    client = new_client(SetupSettings().opensearch)
    folder = Path(sys.argv[1])
    for known_facts in (0, 1):
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        execute(plan(client, prefix, Layout()))
        sink = OpenSearchSink(
            client, backoff=Backoff(first_s=0.1, longest_s=1, rng=random.Random(1))
        )
        stage = StoreStage(
            sink=sink,
            codecs=CODECS,
            names=IndexNames(prefix),
            horizon=lambda: None,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        corpus = events(folder, known_facts=known_facts)
        partition = Partition(TopicName.EVENTS_ENRICHED, 0)
        records = [
            Record(partition, at, b"k", CODECS.enriched.encode(event), 0)
            for at, event in enumerate(corpus)
        ]
        if known_facts == 0:
            began = time.process_time()
            for record in records:
                CODECS.enriched.decode(record.value or b"")
            decoded = time.process_time()
            for event in corpus:
                event_body(event, stored_at=1)
            done = time.process_time()
            print(f"decode {(decoded - began) / len(records) * 1e6:.1f} us of CPU a document")
            print(f"document {(done - decoded) / len(records) * 1e6:.1f} us of CPU")
        looked = "looked up first" if known_facts else "lowest version: not looked up"
        for what in ("fresh", "again"):
            rate = len(records) / timed(stage, records)
            print(f"{what}, {looked}: {rate:,.0f} documents/s (goal {GOAL_PER_S:,})")
        client.indices.refresh(index=f"{prefix}-events")
        print("stored", client.count(index=f"{prefix}-events")["count"], "of", len(records))
        sink.close()
        client.indices.delete(index=f"{prefix}-*")
        for kind in ("events", "files", "dead-letters"):
            client.indices.delete_index_template(name=f"{prefix}-{kind}")


if __name__ == "__main__":
    main()
