"""boto3's own client and paginator against our LookupEvents, unchanged."""

import json
from datetime import UTC, datetime

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.history import A, B

ONE_TRY = Config(retries={"total_max_attempts": 1})


@pytest.fixture
def cloudtrail(sample_url, aws_credentials):
    return boto3.client(
        "cloudtrail", endpoint_url=sample_url, region_name="us-east-1", config=ONE_TRY
    )


def attribute(key, value):
    return {"AttributeKey": key, "AttributeValue": value}


def test_the_paginator_returns_every_event_once(cloudtrail):
    pages = cloudtrail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 10})

    events = [event for page in pages for event in page["Events"]]

    assert 224 == len(events) == len({event["EventId"] for event in events})
    assert {A, B} <= {
        json.loads(event["CloudTrailEvent"]).get("recipientAccountId") for event in events
    }


@pytest.mark.parametrize(
    ("attributes", "holds"),
    [
        ([attribute("EventName", "CreateStack")],
         lambda event: event["EventName"] == "CreateStack"),
        ([attribute("EventSource", "kms.amazonaws.com")],
         lambda event: event["EventSource"] == "kms.amazonaws.com"),
        ([attribute("Username", "build-77")], lambda event: event["Username"] == "build-77"),
        ([attribute("ReadOnly", "false")], lambda event: event.get("ReadOnly") != "true"),
        ([attribute("EventSource", "opsworks.amazonaws.com"), attribute("EventName", "CreateApp")],
         lambda event: event["EventName"] == "CreateApp"),
    ],
)  # fmt: skip
def test_attributes_narrow_each_other(cloudtrail, attributes, holds):
    events = cloudtrail.lookup_events(LookupAttributes=attributes)["Events"]

    assert events
    assert all(holds(event) for event in events)


def test_times_reach_back_as_far_as_events_do(cloudtrail):
    events = cloudtrail.lookup_events(
        StartTime=datetime(2021, 1, 1, tzinfo=UTC), EndTime=datetime(2021, 6, 1, tzinfo=UTC)
    )["Events"]

    assert events
    assert all(2021 == event["EventTime"].year for event in events)


def test_an_event_has_its_exact_record(cloudtrail, sample):
    [event] = cloudtrail.lookup_events(
        LookupAttributes=[attribute("EventName", "CreateStack")], MaxResults=1
    )["Events"]

    [document_id] = sample.get(f"/api/v1/event-ids/{event['EventId']}").json()
    assert (
        event["CloudTrailEvent"]
        == sample.get("/api/v1/event", params={"id": document_id}).json()["raw"]
    )


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"MaxResults": 50, "NextToken": "nonsense"}, "InvalidNextTokenException"),
        ({"EventCategory": "insight"}, "InvalidEventCategoryException"),
        (
            {"LookupAttributes": [attribute("ReadOnly", "maybe")]},
            "InvalidLookupAttributesException",
        ),
        ({"StartTime": 20, "EndTime": 10}, "InvalidTimeRangeException"),
    ],
)
def test_errors_are_those_of_aws(cloudtrail, asked, name):
    with pytest.raises(ClientError) as refused:
        cloudtrail.lookup_events(**asked)

    assert name == refused.value.response["Error"]["Code"]
    assert isinstance(refused.value, getattr(cloudtrail.exceptions, name))


def test_a_token_of_another_question_is_refused(cloudtrail):
    token = cloudtrail.lookup_events(MaxResults=1)["NextToken"]

    with pytest.raises(cloudtrail.exceptions.InvalidNextTokenException):
        cloudtrail.lookup_events(
            MaxResults=1, NextToken=token, LookupAttributes=[attribute("EventName", "X")]
        )


def test_other_operations_are_unknown(cloudtrail, sample):
    with pytest.raises(ClientError) as refused:
        cloudtrail.describe_trails()

    assert "UnknownOperationException" == refused.value.response["Error"]["Code"]
    assert 400 == sample.post("/", content=b"{}").status_code


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"\xff\xfe", b"{" * 50_000, b"x" * 200_000])
def test_any_body_has_an_answer(sample, body):
    answer = sample.post("/", content=body, headers={"X-Amz-Target": "x.LookupEvents"})

    assert answer.status_code in {200, 400}
    assert isinstance(answer.json(), dict)


def test_an_odd_method_is_refused(sample):
    assert 405 == sample.put("/").status_code
    assert isinstance(sample, httpx2.Client)
