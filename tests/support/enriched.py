"""Builders of enriched events for tests of what comes after enrich."""

import json
from typing import Any

import msgspec

from opstrail_schemas.messages import (
    AccountInfo,
    Caller,
    EnrichedEvent,
    Enrichment,
    Origin,
    RawEvent,
    StackInfo,
)

JAN_2 = 1_672_617_600_000  # 2023-01-02T00:00:00Z
VERSION = (1 << 32) + 1

A_RECORD: dict[str, Any] = {
    "eventVersion": "1.08",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ada"},
    "eventTime": "2023-01-02T00:00:00Z",
    "eventSource": "opsworks.amazonaws.com",
    "eventName": "StopInstance",
    "awsRegion": "us-east-1",
    "sourceIPAddress": "203.0.113.7",
    "requestParameters": {"instanceId": "i-1"},
    "responseElements": None,
    "eventID": "e-1",
    "readOnly": False,
}


def a_raw(**members: Any) -> bytes:
    """A record's text: A_RECORD with these members."""
    return json.dumps({**A_RECORD, **members}).encode()


def an_enriched(
    raw: bytes | None = None, *, version: int = VERSION, record_index: int = 0, **fields: Any
) -> EnrichedEvent:
    """An enriched event; `fields` are those of RawEvent."""
    event = RawEvent(
        account_id="111122223333",
        event_id="e-1",
        event_time=JAN_2,
        event_source="opsworks.amazonaws.com",
        event_name="StopInstance",
        aws_region="us-east-1",
        source_ip_address="203.0.113.7",
        user_identity_type="IAMUser",
        origin=Origin(bucket="trail", key="a.json.gz", sha256="00", record_index=record_index),
        raw=a_raw() if raw is None else raw,
    )
    return EnrichedEvent(
        event=msgspec.structs.replace(event, **fields),
        enrichment=Enrichment(
            rules_version=1,
            version=version,
            caller=Caller(kind="iamUser", name="ada"),
            account=AccountInfo(name="prod", tags={"team": "web", "a": "b"}),
            stack=StackInfo(id="s-1", name="shop-prod", resolution="direct"),
            stack_keys=["instance/i-1"],
        ),
    )
