"""A document turned back into the event that it was made of (PURE)."""

import msgspec

from opstrail_schemas.messages import Origin, RawEvent, wire_name
from opstrail_schemas.record_fields import event_from, event_time_of, fields_of
from opstrail_store.document import ABSURD_EVENT_TIME, ours_and_raw


class _Delivery(msgspec.Struct, rename=wire_name):
    bucket: str
    key: str
    sha256: str
    record_index: int
    version_id: str | None = None
    e_tag: str | None = None
    delivered_at: int | None = None


class _Ours(msgspec.Struct, rename=wire_name):
    account_id: str
    event_id: str
    delivery: _Delivery
    flags: list[str] = []
    masked_paths: list[str] = []


def event_in(source: bytes) -> RawEvent:
    """Return the event of a document, from its `_source` bytes as OpenSearch gives them back.

    It is the one that split made, but for newlines between the tokens of `raw`. Raises
    msgspec.MsgspecError, ValueError for what is no document of ours.
    """
    text, raw = ours_and_raw(source)
    ours = msgspec.json.decode(text, type=_Ours)
    fields = fields_of(raw, [])
    delivery = ours.delivery
    return event_from(
        fields,
        account_id=ours.account_id,
        event_id=ours.event_id,
        event_time=event_time_of(fields.eventTime, []),
        origin=Origin(
            bucket=delivery.bucket,
            key=delivery.key,
            version_id=delivery.version_id,
            e_tag=delivery.e_tag,
            sha256=delivery.sha256,
            record_index=delivery.record_index,
            delivered_at=delivery.delivered_at,
        ),
        flags=[flag for flag in ours.flags if flag != ABSURD_EVENT_TIME],
        masked_paths=ours.masked_paths,
        raw=raw,
    )
