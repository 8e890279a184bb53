"""What belongs to an event, and the other collections."""

import json

import pytest

from opstrail_history import collections_query
from opstrail_history.related import GROUPS, related_queries

AT = (5, "e", "1")


def groups(document):
    return related_queries("1/e", document, AT)


def test_an_event_that_says_nothing_has_corrections_only():
    assert {"correctedBy"} == groups({}).keys()


def test_everything_that_joins_is_looked_for():
    found = groups(
        {
            "sharedEventID": "s", "requestID": "r",
            "resources": [{"ARN": "arn:1"}, {"ARN": 5}, "odd"],
            "opstrail": {
                "accountId": "1", "corrects": "1/old", "accessKeyId": "ASIA1",
                "issuedAccessKeyId": "ASIA2", "caller": {"arn": "arn:me"},
                "stack": {"id": "s-1", "instanceIds": ["i-1"]},
            },
        }
    )  # fmt: skip

    assert set(GROUPS) == found.keys()
    assert AT == found["before"].after == found["after"].after
    assert not found["after"].newest_first
    assert {"opstrail.stack.instanceIds": ["i-1"]} == (
        found["resource"].query["bool"]["filter"][0]["bool"]["should"][1]["terms"]
    )
    assert all({"ids": {"values": ["1/e"]}} in each.query["bool"]["must_not"]
               for each in found.values())  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "term"),
    [
        ({"caller": {"arn": "arn:me", "principalId": "p"}}, "caller.arn"),
        ({"caller": {"principalId": "p"}}, "caller.principalId"),
        ({"accountId": "1", "caller": {"name": "n"}}, "caller.name"),
    ],
)
def test_the_caller_is_known_by_the_best_there_is(ours, term):
    assert f'"opstrail.{term}"' in json.dumps(groups({"opstrail": ours})["before"].query)


def test_a_session_is_its_key_or_who_it_is_and_when_it_began():
    caller = {"principalId": "p", "sessionCreatedAt": 5}

    assert "sessionCreatedAt" in json.dumps(
        groups({"opstrail": {"caller": caller}})["session"].query
    )
    assert "session" not in groups({"opstrail": {"accessKeyId": "AKIA1"}})
    only_key = groups({"opstrail": {"accessKeyId": "ASIA1"}})["session"].query
    assert {"term": {"opstrail.accessKeyId": "ASIA1"}} == only_key["bool"]["filter"][0]
    by_stack = groups({"opstrail": {"stack": {"id": "s-1"}}})["resource"].query
    assert {"term": {"opstrail.stack.id": "s-1"}} == by_stack["bool"]["filter"][0]


def test_collections_are_asked_by_their_fields():
    letters = collections_query.dead_letters(
        stage="split", reason=None, bucket=None, key=None, account=None, waiting=True
    )
    assert [{"term": {"stage": "split"}}, {"exists": {"field": "retryAt"}}] == (
        letters.query["bool"]["filter"]
    )
    not_waiting = collections_query.dead_letters(
        stage=None, reason=None, bucket=None, key=None, account=None, waiting=False
    )
    assert [{"exists": {"field": "retryAt"}}] == not_waiting.query["bool"]["must_not"]
    either = collections_query.dead_letters(
        stage=None, reason=None, bucket=None, key=None, account=None, waiting=None
    )
    assert [] == either.query["bool"]["must_not"]
    all_files = collections_query.files(
        state=None, bucket=None, key=None, account=None, region=None
    )
    assert [{"match_all": {}}] == all_files.query["bool"]["filter"]
