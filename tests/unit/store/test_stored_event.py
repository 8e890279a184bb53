"""A document gives back the event that it was made of."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_schemas.messages import EnrichedEvent, Origin
from opstrail_schemas.record_fields import event_from, event_time_of, fields_of
from opstrail_store.document import event_body, reduced_body
from opstrail_store.stored_event import event_in
from tests.support.enriched import A_RECORD, an_enriched

ORIGIN = Origin(
    bucket="trail", key="a.json.gz", version_id="v", e_tag="e", sha256="00", record_index=7,
    delivered_at=5,
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def enriched_of(raw: bytes, **more: Any) -> EnrichedEvent:
    """Return an enriched event as split and enrich would have made it of a record's text."""
    flags: list[str] = []
    fields = fields_of(raw, flags)
    event = event_from(
        fields,
        account_id="111122223333",
        event_id="e-1",
        event_time=event_time_of(fields.eventTime, flags),
        origin=ORIGIN,
        flags=flags,
        masked_paths=["requestParameters.password"],
        raw=raw,
    )
    return msgspec.structs.replace(an_enriched(), event=msgspec.structs.replace(event, **more))


@given(
    st.dictionaries(
        st.sampled_from([*A_RECORD, "errorCode", "recipientAccountId", "a.b", "opstrail", "x"]),
        VALUES,
        max_size=6,
    )
)
def test_every_form_gives_the_event_back(members: dict[str, Any]) -> None:
    record = A_RECORD | members | {"eventName": "StopInstance", "eventSource": "opsworks.x"}
    enriched = enriched_of(json.dumps(record).encode())

    for body in (
        event_body(enriched, stored_at=5),
        reduced_body(enriched, stored_at=5, why="refused"),
    ):
        assert enriched.event == event_in(body)


def test_newlines_between_tokens_are_all_that_changes() -> None:
    enriched = enriched_of(json.dumps(A_RECORD, indent=1).encode())

    event = event_in(event_body(enriched, stored_at=5))

    assert json.loads(enriched.event.raw) == json.loads(event.raw)
    assert msgspec.structs.replace(event, raw=enriched.event.raw) == enriched.event


def test_a_flag_that_only_documents_have_is_not_the_events() -> None:
    enriched = enriched_of(json.dumps(A_RECORD | {"eventTime": "1999-01-01T00:00:00Z"}).encode())
    body = event_body(enriched, stored_at=5)

    assert b"absurdEventTime" in body
    assert enriched.event == event_in(body)
    assert body == event_body(
        msgspec.structs.replace(enriched, event=event_in(body)), stored_at=5
    )  # fmt: skip


@pytest.mark.parametrize(
    "source", [b"{}", b'{"a":1,"opstrail":{}}', b'{"a":1,"opstrail":{"rawText":"no JSON"}}', b""]
)
def test_what_is_no_document_of_ours_is_refused(source: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        event_in(source)
