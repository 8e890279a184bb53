"""Builders of CloudTrail records and of the files that hold them."""

import gzip
import json
from collections.abc import Iterable, Mapping
from typing import Any

ACCOUNT = "111122223333"
KEY = (
    f"AWSLogs/{ACCOUNT}/CloudTrail/eu-central-1/2024/03/01/"
    f"{ACCOUNT}_CloudTrail_eu-central-1_20240301T1205Z_Qx7LmN2pRt9VwYz3.json.gz"
)


def a_record(event_id: str | int | None = "e-1", **fields: Any) -> dict[str, object]:
    """Return a record; a field that is `...` is left out."""
    record: dict[str, object] = {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/ada"},
        "eventTime": "2024-03-01T12:00:00Z",
        "eventSource": "opsworks.amazonaws.com",
        "eventName": "DescribeStacks",
        "awsRegion": "eu-central-1",
        "eventID": event_id if event_id is None else str(event_id),
        "recipientAccountId": ACCOUNT,
    } | fields
    return {
        key: value
        for key, value in record.items()
        if value is not ... and not (key == "eventID" and value is None)
    }


def record_text(record: object) -> bytes:
    """Return the record as CloudTrail writes it: compact, in one line."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def trail_text(records: Iterable[Mapping[str, object] | bytes]) -> bytes:
    """Return a trail file unpacked; a record that is bytes stands in it as it is."""
    texts = [record if isinstance(record, bytes) else record_text(record) for record in records]
    return b'{"Records":[' + b",".join(texts) + b"]}"


def trail_file(records: Iterable[Mapping[str, object] | bytes]) -> bytes:
    """Return a trail file as it lies in a bucket."""
    return gzip.compress(trail_text(records), mtime=0)
