"""Documents: the record's own text with our object in it, or the reduced form."""

import json
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_schemas.messages import EnrichedEvent
from opstrail_store.document import (
    DEEPEST_NESTING,
    address,
    document_id,
    event_body,
    event_document_id,
    nesting,
    raw_of,
    reduced_body,
)
from tests.support.enriched import A_RECORD, a_raw, an_enriched

ROOT_KEYS = st.text(min_size=1).filter(lambda key: "." not in key and key != "opstrail")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FLAT = ("requestParameters", "responseElements", "additionalEventData", "serviceEventDetails")


def body_of(raw: bytes) -> bytes:
    return event_body(an_enriched(raw), stored_at=5)


def ours(body: bytes) -> dict:
    return json.loads(body)["opstrail"]


@given(st.dictionaries(ROOT_KEYS, JSON, min_size=1), st.sampled_from([None, 1, "\t"]))
def test_the_document_is_the_record_and_our_object(members, indent):
    record = {**A_RECORD, **{k: v for k, v in members.items() if k not in FLAT}}
    raw = json.dumps(record, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")

    body = body_of(raw)

    assert b"\n" not in body
    parsed = json.loads(body)
    if "reduced" not in parsed.pop("opstrail"):
        assert record == parsed
    assert record == json.loads(raw_of(body))


@given(st.binary(max_size=200))
def test_no_byte_of_what_is_no_record_is_lost(raw):
    for body in (body_of(raw), reduced_body(an_enriched(raw), stored_at=5, why="refused")):
        assert b"\n" not in body
        assert json.loads(body)["eventName"] is not None
        assert raw == raw_of(body)


def test_digits_and_spellings_survive():
    raw = b'{"eventName":"A","n":18446744073709551616,"f":1.50,"e":"\\u0041\\/"}'

    assert body_of(raw).startswith(raw[:-1] + b',"opstrail":{')


def test_our_object_says_who_where_and_what():
    said = ours(body_of(a_raw()))

    assert said == {
        "accountId": "111122223333",
        "eventID": "e-1",
        "sourceIP": "203.0.113.7",
        "caller": {
            "kind": "iamUser",
            "credentialKind": "unknown",
            "rootOrIamUser": "unknown",
            "temporaryCredentials": "unknown",
            "awsService": "unknown",
            "name": "ada",
            "console": False,
            "assumedRoot": False,
        },
        "account": {"name": "prod", "tags": ["a=b", "team=web"]},
        "stack": {"id": "s-1", "name": "shop-prod", "resolution": "direct", "conflict": False},
        "stackKeys": ["instance/i-1"],
        "rulesVersion": 1,
        "version": 4294967297,
        "delivery": {
            "bucket": "trail",
            "key": "a.json.gz",
            "sha256": "00",
            "recordIndex": 0,
            "storedAt": 5,
            "stackFactsOffset": 0,
            "accountsOffset": 0,
        },
    }


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"not json", "notJson"),
        (b"{}", "notJson"),
        (b'["a"]', "notJson"),
        (b'{"a":NaN}', "notJson"),
        (b'{"a":"x\ny"}', "notJson"),
        (b'{"a":1}\n{"index":{}}\n{"b":2}', "notJson"),
        (b'{"a":' + b"[" * 100_000, "notJson"),
        (a_raw(opstrail={"caller": {"kind": "root"}}), "ownKey"),
        (b'{"\\u006fpstrail":1}', "ownKey"),
        (a_raw(**{"opstrail.caller.kind": "root"}), "dottedKey"),
        (a_raw(**{"userIdentity.type": "Root"}), "dottedKey"),
        (a_raw(**{"": 1}), "dottedKey"),
        (a_raw(**{".": 1}), "dottedKey"),
        (a_raw(**{"a..b": 1}), "dottedKey"),
        (b'{"requestParameters":' + b'{"a":' * 500 + b"1" + b"}" * 501, "nesting"),
        (a_raw(requestParameters={"a": "x" * 40_000}), "longTerm"),
    ],
)
def test_what_opensearch_must_not_get_is_reduced(raw, why):
    body = body_of(raw)

    assert why == ours(body)["reduced"]
    assert json.loads(body)["eventTime"] == "2023-01-02T00:00:00Z"
    assert json.loads(body)["userIdentity"] == {"type": "IAMUser"}
    assert raw == raw_of(body)


@pytest.mark.parametrize("value", ["text", 1, True, [1], [{"a": 1}], []])
def test_what_is_no_object_is_wrapped_and_kept_exactly(value):
    raw = a_raw(requestParameters=value)

    body = body_of(raw)

    assert {"value": value} == json.loads(body)["requestParameters"]
    assert ["requestParameters"] == ours(body)["wrapped"]
    assert raw == raw_of(body)


def test_text_that_is_not_utf_8_is_kept_as_base64():
    body = reduced_body(an_enriched(b'{"a":"\xff"}'), stored_at=5, why="refused")

    assert "rawText" not in ours(body)
    assert b'{"a":"\xff"}' == raw_of(body)


@pytest.mark.parametrize(("key", "shown"), [("AKIAX", "AKIAX"), ("", None), ("Unknown", None)])
def test_the_key_that_signed_is_shown_unless_it_was_withheld(key, shown):
    for form in (event_body, partial(reduced_body, why="notJson")):
        said = ours(form(an_enriched(access_key_id=key), stored_at=5))

        assert shown == said.get("accessKeyId")


def test_links_to_other_events_are_shown():
    enriched = an_enriched()
    links = {"issued_access_key_id": "ASIAX", "corrects": "111122223333/e-0"}
    enrichment = msgspec.structs.replace(enriched.enrichment, **links)

    said = ours(event_body(EnrichedEvent(event=enriched.event, enrichment=enrichment), stored_at=5))

    assert ("ASIAX", "111122223333/e-0") == (said["issuedAccessKeyId"], said["corrects"])


def test_an_absurd_time_is_flagged():
    body = event_body(an_enriched(event_time=0, flags=["accountMismatch"]), stored_at=5)

    assert ["accountMismatch", "absurdEventTime"] == ours(body)["flags"]


@pytest.mark.parametrize("time", [None, -(10**17), 10**17, 1_672_617_600_123])
def test_the_reduced_form_takes_any_time(time):
    body = reduced_body(an_enriched(event_time=time), stored_at=5, why="refused")

    shown = json.loads(body).get("eventTime")
    assert shown == ("2023-01-02T00:00:00.123Z" if time == 1_672_617_600_123 else None)


def test_documents_are_equal_but_for_their_delivery():
    first = ours(event_body(an_enriched(), stored_at=1))
    second = ours(event_body(an_enriched(record_index=7), stored_at=2))

    assert first.pop("delivery") != second.pop("delivery")
    assert first == second


def test_a_derived_id_is_not_shown_as_cloudtrails():
    enriched = an_enriched(event_id="sha256:00:0")

    assert "eventID" not in json.loads(reduced_body(enriched, stored_at=5, why="refused"))
    assert "111122223333/sha256:00:0" == event_document_id(enriched.event)


def test_a_long_key_is_hashed():
    assert "a/b" == document_id(b"a/b")
    assert 71 == len(document_id(b"x" * 201))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", None),
        ("AWS Internal", None),
        ("s3.amazonaws.com", None),
        ("1.2.3", None),
        ("", None),
        (None, None),
    ],
)
def test_only_addresses_are_indexed_as_such(text, expected):
    assert expected == address(text)


def test_brackets_in_strings_do_not_nest():
    assert 2 == nesting(b'{"a":["[[{{\\"[["]}')
    deep = a_raw(zz=[0] * 3, requestParameters={"a": [[] for _ in range(DEEPEST_NESTING * 2)]})
    assert "reduced" not in ours(body_of(deep))
