"""What links an event to others: the key that it issued, and the event that it corrects."""

import json

import pytest

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.record_view import view_of
from opstrail_schemas.identity import event_key
from tests.support.enriching import ACCOUNT, raw_event


@pytest.mark.parametrize(
    ("name", "response", "expected"),
    [
        ("AssumeRole", {"credentials": {"accessKeyId": "ASIAX"}}, "ASIAX"),
        ("AssumeRoot", {"credentials": {"accessKeyId": "ASIAX"}}, "ASIAX"),
        ("GetSessionToken", {"credentials": {"accessKeyId": "ASIAX"}}, "ASIAX"),
        (
            "GetFederationToken",
            {"federatedUser": {"arn": "arn:x"}, "credentials": {"accessKeyId": "ASIAX"}},
            "ASIAX",
        ),
        (
            "CreateAccessKey",
            {"accessKey": {"userName": "alice", "accessKeyId": "AKIAX", "status": "Active"}},
            "AKIAX",
        ),
        ("AssumeRole", {"credentials": {"accessKeyId": "***masked by opstrail***"}}, None),
        ("AssumeRole", {"credentials": {"accessKeyId": ""}}, None),
        ("AssumeRole", {"credentials": {}}, None),
        ("AssumeRole", {"credentials": "x"}, None),
        ("AssumeRole", None, None),
        ("UpdateAccessKey", None, None),
    ],
)
def test_the_key_that_a_call_issued_is_told(
    name: str, response: object, expected: str | None
) -> None:
    event = raw_event(eventName=name, responseElements=response)

    assert expected == enrich(event, Catalogs()).issued_access_key_id


def test_a_key_that_was_only_named_is_not_issued() -> None:
    event = raw_event(
        eventName="UpdateAccessKey", requestParameters={"accessKey": {"accessKeyId": "AKIAX"}}
    )

    assert enrich(event, Catalogs()).issued_access_key_id is None


@pytest.mark.parametrize(
    ("addendum", "expected"),
    [
        (
            {"reason": "UPDATED_DATA", "updatedFields": "x", "originalEventID": "e-0"},
            f"{ACCOUNT}/e-0",
        ),
        ({"reason": "UPDATED_DATA", "originalRequestID": "r-0"}, None),
        ({"reason": "DELIVERY_DELAY"}, None),
        ({"reason": "SERVICE_OUTAGE"}, None),
        ({"reason": "UPDATED_DATA", "originalEventID": "e-1"}, None),  # its own
        ({"originalEventID": ""}, None),
        ({"originalEventID": 7}, None),
        ({"originalEventID": ["e-0"]}, None),
        ({}, None),
        ("UPDATED_DATA", None),
        (None, None),
    ],
)
def test_an_addendum_links_to_the_event_that_it_corrects(
    addendum: object, expected: str | None
) -> None:
    assert expected == enrich(raw_event(addendum=addendum), Catalogs()).corrects


def test_a_link_to_an_event_is_its_document_id_however_long() -> None:
    event = raw_event(addendum={"originalEventID": "e" * 300})

    assert event_key(ACCOUNT, "e" * 300).decode() == enrich(event, Catalogs()).corrects


def test_an_addendum_is_read_in_a_text_that_the_fast_parser_refuses() -> None:
    record = {"addendum": {"originalEventID": "e-0"}, "x": "\ud800"}

    assert {"originalEventID": "e-0"} == view_of(json.dumps(record).encode()).addendum
