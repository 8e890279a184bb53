"""Rows: who did what to what, and nothing that plays tricks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_history.row import Stack, Who, outcome_of, plain, row_of, shortened
from opstrail_history.stored_document import account_by_itself, document, record_in, text, texts

DOCUMENT = {
    "eventTime": "2024-01-02T03:04:05Z",
    "eventSource": "opsworks.amazonaws.com",
    "eventName": "StopInstance",
    "awsRegion": "us-east-1",
    "sourceIPAddress": "203.0.113.7",
    "errorCode": "AccessDenied",
    "readOnly": False,
    "resources": [{"ARN": "arn:aws:opsworks:x"}, {"ARN": 5}, "odd"],
    "requestParameters": {"stackId": "s-1", "instanceId": "i-1"},
    "opstrail": {
        "accountId": "111122223333",
        "eventID": "e-1",
        "accessKeyId": "ASIA1",
        "account": {"name": "prod"},
        "caller": {"kind": "assumedRole", "name": "deploy", "roleName": "deploy",
                   "sessionName": "build", "arn": "arn:x"},
        "stack": {"id": "s-1", "name": "shop", "layerIds": ["l-1"], "instanceNames": ["web1"]},
        "flags": ["salvaged"],
        "delivery": {"storedAt": 7},
    },
}  # fmt: skip


def test_a_row_says_all_of_it():
    row = row_of("111122223333/e-1", DOCUMENT)

    assert Who("deploy", "assumedRole", "arn:x", "deploy", "build") == row.who
    assert Stack("s-1", "shop", ("l-1",), ("web1",)) == row.stack
    assert ("web1", "l-1", "arn:aws:opsworks:x", "i-1") == row.targets
    assert ("2024-01-02T03:04:05Z", "denied", "prod", False, 7) == (
        row.time, row.outcome, row.account_name, row.read_only, row.stored_at
    )  # fmt: skip


@pytest.mark.parametrize(
    ("document", "who"),
    [
        ({}, Who("unknown", "unknown")),
        ({"userIdentity": {"type": "Root"}}, Who("Root", "unknown")),
        ({"userIdentity": {"invokedBy": "config.amazonaws.com"}},
         Who("config.amazonaws.com", "unknown")),
        ({"userIdentity": {"arn": "arn:y", "type": "X"}}, Who("arn:y", "unknown", "arn:y")),
        ({"opstrail": {"caller": {"kind": "awsService", "invokedBy": "s.amazonaws.com"}}},
         Who("s.amazonaws.com", "awsService")),
    ],
)  # fmt: skip
def test_somebody_is_always_named(document, who):
    assert who == row_of("x", document).who


def test_odd_documents_make_rows_as_well():
    row = row_of(
        "x",
        {
            "eventTime": "yesterday " * 9, "eventName": 5, "readOnly": "true", "resources": {},
            "requestParameters": [1], "opstrail": {"stack": {"resolution": "none"}, "delivery": 5},
        },
    )  # fmt: skip

    assert ("", None, None, (), 40) == (
        row.action, row.read_only, row.stack, row.targets, len(row.time or "")
    )  # fmt: skip
    assert row_of("x", {"eventTime": 7}).time is None
    stack_only = {"requestParameters": {"stackId": "s"}, "opstrail": {"stack": {"id": "s"}}}
    assert () == row_of("x", stack_only).targets


def test_what_was_refused_for_want_of_a_right_is_denied_and_the_rest_failed():
    assert ["allowed", "denied", "failed"] == [
        outcome_of({"errorCode": code})
        for code in (None, "Client.UnauthorizedOperation", "Throttling")
    ]


def test_a_sign_in_that_fails_has_no_code_and_is_denied():
    words = {"errorMessage": "Failed authentication"}

    assert "denied" == outcome_of({"eventSource": "signin.amazonaws.com", **words})
    assert "failed" == outcome_of({"eventSource": "other.amazonaws.com", **words})


def test_invisible_and_turning_characters_are_shown_as_code_points():
    assert "a⟨U+202E⟩gpj.exe⟨U+0000⟩⟨U+200B⟩\ufffd" == plain("a\u202egpj.exe\0\u200b\ud800")
    assert "5" == plain(5)


@given(st.text())
def test_plain_text_can_be_encoded_and_holds_no_control(text):
    shown = plain(text)

    assert isinstance(shown.encode(), bytes)
    assert not any(ord(one) < 32 or 0x202A <= ord(one) <= 0x202E for one in shown)


def test_long_texts_are_cut():
    assert ["abc", "ab…"] == [shortened("abc", 3), shortened("abcd", 3)]


def source(record, ours):
    return json.dumps(record).encode()[:-1] + b',"opstrail":' + json.dumps(ours).encode() + b"}"


def test_the_records_own_text_comes_back_from_all_forms():
    assert b'{"a": 1}' == record_in(source({"a": 1}, {"accountId": "1"})).raw
    assert b"exact" == record_in(source({"a": 1}, {"rawText": "exact"})).raw
    assert b"\xff" == record_in(source({"a": 1}, {"rawBytes": "/w=="})).raw
    with pytest.raises(ValueError, match="not found"):
        record_in(b'{"a":1}')


def test_half_a_surrogate_pair_is_made_whole():
    assert {"a\ufffd": ["\ufffd", 1]} == document(b'{"a\\ud800": ["\\udfff", 1]}')
    for text_ in (b"[]", b"no", b"[" * 100_000):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is said
            document(text_)


def test_texts_of_anything():
    assert [None, None, "a"] == [text(value) for value in (5, "", "a")]
    assert [["a"], [], ["b"], []] == [texts(value) for value in ("a", "", ["b", 5], 7)]


@pytest.mark.parametrize(
    ("record", "account"),
    [
        ({"recipientAccountId": "1"}, "1"),
        ({"userIdentity": {"accountId": "2"}}, "2"),
        ({"userIdentity": {"sessionContext": {"sessionIssuer": {"accountId": "3"}}}}, "3"),
        ({}, "-"),
        ({"recipientAccountId": "a/b"}, "-"),
    ],
)
def test_the_account_that_a_record_names_itself(record, account):
    assert account == account_by_itself(record)
