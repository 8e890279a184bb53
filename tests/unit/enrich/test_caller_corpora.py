"""Every distinct identity of real trail files: no exception, and what each type must be."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_schemas.codec import decode_body, encode_body
from opstrail_schemas.messages import Enrichment, Origin, RawEvent
from tests.support.corpora import CORPORA, corpora

pytestmark = corpora
KIND_OF_TYPE = {
    "Root": "root",
    "IAMUser": "iamUser",
    "AssumedRole": "assumedRole",
    "Role": "role",
    "FederatedUser": "federatedUser",
    "SAMLUser": "samlUser",
    "WebIdentityUser": "webIdentityUser",
    "IdentityCenterUser": "identityCenterUser",
    "AWSAccount": "awsAccount",
    "AWSService": "awsService",
    "Directory": "directory",
}


def texts() -> Iterator[str]:
    for path in sorted(CORPORA.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            yield data.decode("utf-8", errors="replace")


def values(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except ValueError:
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def records(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "eventName" in value and "eventSource" in value:
            yield value
        for member in value.values():
            yield from records(member)
    elif isinstance(value, list):
        for member in value:
            yield from records(member)


def shape(value: Any) -> object:
    if isinstance(value, dict):
        return tuple((k, v if k == "type" else shape(v)) for k, v in sorted(value.items()))
    return type(value).__name__


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def test_every_distinct_shape_of_an_identity_is_understood() -> None:
    seen: dict[str, RawEvent] = {}
    for record in (r for text in texts() for value in values(text) for r in records(value)):
        identity = record.get("userIdentity")
        signs = (record.get("eventType"), type(record.get("responseElements")))
        event = RawEvent(
            account_id="111122223333",
            event_id="e",
            event_time=0,
            event_source=str(record["eventSource"]),
            event_name=str(record["eventName"]),
            event_type=text_or_none(record.get("eventType")),
            source_ip_address=text_or_none(record.get("sourceIPAddress")),
            origin=Origin(bucket="b", key="k", sha256="", record_index=0),
            raw=json.dumps(record).encode(),
        )
        seen.setdefault(repr((shape(identity), signs)), event)

    for event in seen.values():
        enrichment = enrich(event, Catalogs())
        assert enrichment == decode_body(encode_body(enrichment), Enrichment)
        identity = json.loads(event.raw).get("userIdentity")
        if isinstance(identity, dict) and identity.get("type") in KIND_OF_TYPE:
            assert KIND_OF_TYPE[identity["type"]] == enrichment.caller.kind
    print(f"{len(seen)} distinct shapes of identity, type of event and response")
    assert len(seen) >= 41
