"""Record text to RawEvent: identity, odd fields, what is no event."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_ingest.masking import MARK, Masking
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Broken, Deferred, Element
from opstrail_schemas.codec import encode_body
from opstrail_schemas.messages import RawEvent
from opstrail_schemas.topics import LARGEST_RECORD_BYTES
from tests.support.records import ACCOUNT, a_record, record_text

NOON = 1709294400000


def a_reader(account_id: str | None = None, *, salvaged: bool = False) -> RecordReader:
    origin = FileOrigin("trails", "k.json.gz", "5ca1ab1e", account_id=account_id)
    return RecordReader(origin, Masking(), salvaged=salvaged)


def read(record: Any, reader: RecordReader | None = None) -> RawEvent | Deferred | Broken:
    text = record if isinstance(record, bytes) else record_text(record)
    return (reader or a_reader()).read(Element(3, 100, 100 + len(text), text, salvaged=False))


def event(record: Any, reader: RecordReader | None = None) -> RawEvent:
    found = read(record, reader)
    assert isinstance(found, RawEvent)
    return found


def test_an_event_has_the_fields_of_its_record_and_its_text() -> None:
    record = a_record(
        eventCategory="Management",
        eventType="AwsApiCall",
        readOnly=True,
        errorCode="AccessDenied",
        sourceIPAddress="192.0.2.7",
        sharedEventID="s-1",
        userIdentity={"type": "IAMUser", "arn": "arn:x", "accessKeyId": "AKIA1"},
    )

    found = event(record)

    assert (found.account_id, found.event_id, found.event_time) == (ACCOUNT, "e-1", NOON)
    assert (found.event_source, found.event_name) == (record["eventSource"], "DescribeStacks")
    assert (found.aws_region, found.event_category) == ("eu-central-1", "Management")
    assert (found.event_type, found.read_only, found.error_code) == (
        "AwsApiCall",
        True,
        "AccessDenied",
    )
    assert (found.source_ip_address, found.shared_event_id) == ("192.0.2.7", "s-1")
    assert (found.user_identity_type, found.user_identity_arn) == ("IAMUser", "arn:x")
    assert (found.access_key_id, found.flags, found.masked_paths) == ("AKIA1", [], [])
    assert (found.origin.sha256, found.origin.record_index) == ("5ca1ab1e", 3)
    assert found.raw == record_text(record)


@pytest.mark.parametrize(
    ("of_key", "record", "account"),
    [
        ("999900001111", a_record(), "999900001111"),
        (None, a_record(), ACCOUNT),
        (None, a_record(recipientAccountId=..., userIdentity={"accountId": "2"}), "2"),
        (
            None,
            a_record(
                recipientAccountId=...,
                userIdentity={"sessionContext": {"sessionIssuer": {"accountId": "3"}}},
            ),
            "3",
        ),
        (None, a_record(recipientAccountId=..., userIdentity=None), "-"),
        (None, a_record(recipientAccountId="1/2"), "-"),
    ],
)
def test_the_account_is_the_keys_else_the_records(
    of_key: str | None, record: Any, account: str
) -> None:
    assert event(record, a_reader(of_key)).account_id == account


def test_a_record_that_names_another_account_than_its_key_is_flagged() -> None:
    assert event(a_record(), a_reader("999900001111")).flags == ["accountMismatch"]
    assert event(a_record(), a_reader(ACCOUNT)).flags == []


@pytest.mark.parametrize("event_id", [None, "", 17])
def test_records_without_an_id_get_one_that_counts_equal_ones(event_id: Any) -> None:
    first, second = a_record(None), a_record(None, eventName="Other")
    for record in (first, second):
        if event_id is not None:
            record["eventID"] = event_id
    reader, again = a_reader(), a_reader()

    found = [event(record, reader) for record in (first, second, first, first)]

    hashes = [one.event_id.rpartition(":") for one in found]
    assert [ordinal for _, _, ordinal in hashes] == ["0", "0", "1", "2"]
    assert hashes[0][0] == hashes[2][0] == hashes[3][0] != hashes[1][0]
    assert found[0].flags == ["derivedEventID"]
    assert event(first, again).event_id == found[0].event_id


def test_a_derived_id_is_that_of_the_unmasked_record() -> None:
    one, two = (event(a_record(None, requestParameters={"password": secret})) for secret in "ab")

    assert one.raw == two.raw
    assert MARK.encode() in one.raw
    assert one.masked_paths == ["requestParameters.password"]
    assert one.event_id != two.event_id


@pytest.mark.parametrize(
    ("text", "millis", "flags"),
    [
        ("2024-03-01T12:00:00Z", NOON, []),
        ("2016-12-31T23:59:60Z", 1483228799000, ["leapSecond"]),
        ("0001-01-01T00:00:00Z", -62135596800000, []),
        ("2024-02-30T12:00:00Z", None, ["noEventTime"]),
        ("2024-02-30T12:00:60Z", None, ["noEventTime"]),
        ("2024-03-01T12:00:00", None, ["noEventTime"]),
        ("2024-03-01T12:00:00+00:00", None, ["noEventTime"]),
        ("2024-03-01T12:00:00.5Z", None, ["noEventTime"]),
        ("2024-03-01 12:00:00Z", None, ["noEventTime"]),
        ("٢٠٢٤-03-01T12:00:00Z", None, ["noEventTime"]),
        ("", None, ["noEventTime"]),
        (17, None, ["noEventTime"]),
        (..., None, ["noEventTime"]),
    ],
)
def test_only_cloudtrails_own_time_format_is_read(
    text: object, millis: int | None, flags: list[str]
) -> None:
    found = event(a_record(eventTime=text))

    assert (found.event_time, found.flags) == (millis, flags)


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({"eventCategory": "Insight"}, "insight"),
        ({"eventType": "AwsCloudTrailInsight"}, "insight"),
        ({"insightDetails": {}, "eventName": ..., "eventSource": ...}, "insight"),
        ({"eventCategory": "Aggregated"}, "aggregated"),
        ({"eventType": "AwsAggregatedEvent", "eventName": ...}, "aggregated"),
        ({"eventCategory": "Novelty"}, "other"),
    ],
)
def test_other_categories_are_kept_for_later(fields: dict[str, Any], category: str) -> None:
    assert read(a_record(**fields)) == Deferred(category)


@pytest.mark.parametrize("category", ["Management", "Data", "NetworkActivity", "", None, ...])
def test_events_of_these_categories_are_events(category: object) -> None:
    assert isinstance(read(a_record(eventCategory=category)), RawEvent)


@pytest.mark.parametrize(
    "fields",
    [{"eventName": ...}, {"eventSource": ""}, {"eventName": 7}, {"eventSource": "aws:s3"}],
)
def test_an_object_that_is_no_event_is_a_fragment(fields: dict[str, Any]) -> None:
    record = a_record(**fields)

    found = read(record)

    assert isinstance(found, Broken)
    assert (found.reason, found.record_index, found.start) == ("not-an-event", 3, 100)
    assert found.text == record_text(record)


@pytest.mark.parametrize("size", [LARGEST_RECORD_BYTES, LARGEST_RECORD_BYTES + 1])
def test_a_record_over_the_largest_size_is_a_fragment(size: int) -> None:
    text = record_text(a_record(errorMessage=""))
    text = text.replace(b'"errorMessage":"', b'"errorMessage":"' + b"x" * (size - len(text)))

    found = read(text)

    assert isinstance(found, Broken) == (size > LARGEST_RECORD_BYTES)
    assert getattr(found, "reason", "too-large") == "too-large"


@pytest.mark.parametrize("levels", [500, 20_000])
@pytest.mark.parametrize("name", [b"a", b"a\xff"])
def test_a_record_nested_too_deeply_is_a_fragment_whatever_this_python_reads(
    levels: int, name: bytes
) -> None:
    text = b'{"eventName":"' + name + b'","x":' + b"[" * levels + b"]" * levels + b"}"

    found = read(text)

    assert isinstance(found, Broken)
    assert found.reason == "too-deep"


def test_brackets_in_strings_and_beside_each_other_make_no_record_deep() -> None:
    deepest = b"[" * 499 + b"]" * 499

    assert isinstance(read(a_record(x="[{" * 5_000, y=[{}] * 5_000)), RawEvent)
    text = record_text(a_record(x=0))
    assert b'"x":0' in text
    assert isinstance(read(text.replace(b'"x":0', b'"x":' + deepest)), RawEvent)


@pytest.mark.parametrize(
    ("fields", "name"),
    [(b'"x":"\xff"', "DescribeStacks"), (b'"x":"\\ud800"', "DescribeStacks")],
)
def test_text_that_is_no_utf8_is_kept_and_flagged(fields: bytes, name: str) -> None:
    text = record_text(a_record())[:-1] + b"," + fields + b"}"

    found = event(text)

    assert (found.raw, found.flags, found.event_name) == (text, ["invalidText"], name)


def test_typed_fields_of_odd_text_can_be_written() -> None:
    record = record_text(a_record(errorCode="X")).replace(b'"X"', b'"\\ud800\xff"')

    found = event(record)

    assert found.error_code == "\ufffd\ufffd"
    assert found.raw in encode_body(found)


def test_text_that_is_utf8_is_not_flagged() -> None:
    assert event(a_record(errorCode="žluť", errorMessage="\\ud800")).flags == []


def test_of_a_key_that_comes_twice_the_last_value_counts_and_it_is_flagged() -> None:
    text = record_text(a_record())[:-1] + b',"eventName":"DeleteStack"}'

    found = event(text)

    assert (found.event_name, found.flags, found.raw) == ("DeleteStack", ["duplicateKeys"], text)


def test_a_watched_key_deeper_down_is_no_duplicate() -> None:
    assert event(a_record(requestParameters={"eventName": "x"})).flags == []


def test_an_unknown_major_version_is_flagged() -> None:
    assert event(a_record(eventVersion="1.99")).flags == []
    assert event(a_record(eventVersion="2.0")).flags == ["unknownVersion"]


def test_what_comes_from_a_damaged_file_is_flagged() -> None:
    text = record_text(a_record())
    after_damage = Element(0, 0, len(text), text, salvaged=True)

    assert event(text, a_reader(salvaged=True)).flags == ["salvaged"]
    assert getattr(a_reader().read(after_damage), "flags") == ["salvaged"]  # noqa: B009


def test_large_numbers_stay_as_they_are() -> None:
    text = record_text(a_record())[:-1] + b',"n":18446744073709551616,"m":' + b"9" * 5000 + b"}"

    assert event(text).raw == event(text + b" ").raw.rstrip() == text


odd: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()) | st.just({})
)
typed = st.sampled_from(
    [
        "eventID", "eventTime", "awsRegion", "eventType", "readOnly", "errorCode",
        "sourceIPAddress", "userIdentity", "recipientAccountId", "eventVersion", "sharedEventID",
    ]
)  # fmt: skip


@given(
    st.dictionaries(typed, odd, max_size=5),
    st.dictionaries(st.sampled_from(["type", "arn", "accountId", "sessionContext"]), odd),
)
def test_fields_of_unusual_types_never_fail(
    fields: dict[str, Any], identity: dict[str, object]
) -> None:
    record = a_record(**({"userIdentity": identity} | fields))

    text = json.dumps(record).encode()
    found = read(text)

    if isinstance(found, RawEvent):
        assert encode_body(found)
        assert found.raw == text
