"""LookupEvents: read and written as AWS has it."""

import json

import pytest

from opstrail_history.filters import Value
from opstrail_history.lookup_events import LONGEST_BODY, AwsError, answer, lookup_of

TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"


def lookup(**asked):
    return lookup_of(TARGET, json.dumps(asked).encode())


def attribute(key, value):
    return {"AttributeKey": key, "AttributeValue": value}


def test_nothing_asked_is_the_newest_fifty():
    found = lookup_of(TARGET, b"")

    assert (50, None, {}) == (found.most, found.next_token, dict(found.filters.values))


def test_several_attributes_narrow_each_other_and_times_are_whole_seconds():
    found = lookup(
        LookupAttributes=[attribute("EventName", "A"), attribute("ReadOnly", "True"),
                          attribute("Username", "ada")],
        StartTime=10, EndTime=20.5, MaxResults=5, NextToken="t",
    )  # fmt: skip

    assert {"name": (Value("A"),), "readOnly": (Value("yes"),), "user": (Value("ada"),)} == dict(
        found.filters.values
    )
    assert (10_000, 21_500, 5, "t") == (
        found.filters.since_ms, found.filters.until_ms, found.most, found.next_token
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"LookupAttributes": {}, "x": 1}, "SerializationException"),
        ({"LookupAttributes": {"a": 1}}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": ["x"]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("Region", "x")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "*A")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "A*")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("EventName", "!A")]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [attribute("ReadOnly", "x")]}, "InvalidLookupAttributesException"),
        ({"StartTime": 20, "EndTime": 10}, "InvalidTimeRangeException"),
        ({"StartTime": "soon"}, "SerializationException"),
        ({"StartTime": True}, "SerializationException"),
        ({"StartTime": 1e300}, "SerializationException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
        ({"MaxResults": True}, "InvalidMaxResultsException"),
        ({"NextToken": 5}, "InvalidNextTokenException"),
        ({"NextToken": ""}, "InvalidNextTokenException"),
        ({"EventCategory": "insight"}, "InvalidEventCategoryException"),
    ],
)
def test_errors_have_the_names_that_aws_gives_them(asked, name):
    with pytest.raises(AwsError) as refused:
        lookup(**asked)

    assert name == refused.value.name
    assert name == json.loads(refused.value.body())["__type"]


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 10_000, b" " * (LONGEST_BODY + 1)])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(AwsError):
        lookup_of(TARGET, body)


def test_other_operations_are_unknown():
    with pytest.raises(AwsError) as refused:
        lookup_of("x.CreateTrail", b"{}")

    assert "UnknownOperationException" == refused.value.name


def source(record, **ours):
    return json.dumps(record).encode()[:-1] + b',"opstrail":' + json.dumps(ours).encode() + b"}"


def test_an_event_is_told_as_aws_tells_it():
    record = {
        "eventTime": "2024-01-02T00:00:00Z", "eventName": "A", "eventSource": "s3.amazonaws.com",
        "readOnly": False, "resources": [{"type": "T", "ARN": "arn"}, {"type": 5}, "x"],
    }  # fmt: skip
    ours = {"eventID": "e", "accessKeyId": "AKIA", "caller": {"name": "r", "sessionName": "ada"}}

    found = json.loads(answer([("1/e", source(record, **ours))], "next"))

    [event] = found["Events"]
    assert "next" == found["NextToken"]
    assert record == json.loads(event.pop("CloudTrailEvent"))
    assert {
        "EventId": "e", "EventName": "A", "EventSource": "s3.amazonaws.com", "Username": "ada",
        "ReadOnly": "false", "AccessKeyId": "AKIA", "EventTime": 1_704_153_600.0,
        "Resources": [{"ResourceType": "T", "ResourceName": "arn"}, {}],
    } == event  # fmt: skip


def test_what_a_record_does_not_say_is_left_out():
    [event] = json.loads(answer([("1/e", source({"eventTime": "soon", "resources": 5}))], None))[
        "Events"
    ]

    assert {"EventId", "EventName", "EventSource", "Username", "Resources", "CloudTrailEvent"} == (
        event.keys()
    )
    [undated] = json.loads(answer([("1/e", source({"a": 1}))], None))["Events"]
    assert "EventTime" not in undated
