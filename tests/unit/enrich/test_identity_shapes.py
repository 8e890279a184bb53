"""Shapes of identities: what makes another one, and what does not."""

from typing import Any

import pytest

from tests.support.enriching import a_record
from tests.support.identity_shapes import shape_of

ISSUER = {
    "type": "Role",
    "userName": "deploy",
    "arn": "arn:aws:iam::111122223333:role/deploy",
    "accountId": "111122223333",
    "principalId": "AROAX",
}
SERVICE_ROLE = "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/X"
ATTRIBUTES = {"creationDate": "2021-03-04T09:00:00Z", "mfaAuthenticated": "true"}
IDENTITY = {
    "type": "AssumedRole",
    "principalId": "AROAX:build-42",
    "arn": "arn:aws:sts::111122223333:assumed-role/deploy/build-42",
    "accountId": "111122223333",
    "accessKeyId": "ASIAX",
    "sessionContext": {"sessionIssuer": ISSUER, "attributes": ATTRIBUTES},
}


def shape(identity: Any, **members: Any) -> str:
    return " / ".join(shape_of(a_record(eventType="AwsApiCall", userIdentity=identity, **members)))


def test_a_shape_says_members_and_forms_and_no_value() -> None:
    expected = (
        "AssumedRole account arn=aws:assumed-role id=AROA:session key=ASIA"
        " session(attributes,issuer=Role/aws:role) / AwsApiCall"
    )

    assert expected == shape(IDENTITY)
    assert expected == shape({**IDENTITY, "principalId": "AROAY:other", "accessKeyId": "ASIAY"})


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Robot"},
        {"type": None},
        {"type": {}},
        {"arn": "arn:aws-cn:sts::111122223333:assumed-role/deploy/build-42"},
        {"arn": "arn:aws:iam::111122223333:root"},
        {"arn": ""},
        {"principalId": "AIDAX:build-42"},
        {"principalId": 7},
        {"accessKeyId": "AKIAX"},
        {"userName": "alice"},
        {"userName": "HIDDEN_DUE_TO_SECURITY_REASONS"},
        {"invokedBy": "ec2.amazonaws.com"},
        {"invokedBy": "signin.amazonaws.com"},
        {"invokedBy": "AWS Internal"},
        {"invokedBy": None},
        {"accountId": "444455556666"},
        {"memberOfTomorrow": "x"},
        {"inScopeOf": {"sourceAccount": "111122223333"}},
        {"sessionContext": {}},
        {"sessionContext": {"sessionIssuer": ISSUER, "attributes": {}}},
        {"sessionContext": {"sessionIssuer": {**ISSUER, "x": "y"}, "attributes": ATTRIBUTES}},
        {"sessionContext": {"sessionIssuer": {**ISSUER, "arn": 7}, "attributes": ATTRIBUTES}},
        {
            "sessionContext": {
                "sessionIssuer": {**ISSUER, "arn": SERVICE_ROLE},
                "attributes": ATTRIBUTES,
            }
        },
    ],
    ids=str,
)
def test_another_member_type_or_form_is_another_shape(changes: dict[str, Any]) -> None:
    record = {"recipientAccountId": "111122223333"}

    assert shape(IDENTITY, **record) != shape({**IDENTITY, **changes}, **record)


@pytest.mark.parametrize(
    ("members", "signs"),
    [
        ({"eventType": "AwsConsoleSignin"}, "AwsConsoleSignIn"),
        ({"eventType": None, "eventName": "ConsoleLogin"}, "ConsoleLogin"),
        ({"eventType": "Robot"}, "event"),
        ({"sourceIPAddress": "ec2.amazonaws.com"}, "AwsApiCall source=service"),
        ({"userAgent": "console.ec2.amazonaws.com"}, "AwsApiCall agent=console"),
        ({"userAgent": "AWS Internal"}, "AwsApiCall agent=internal undated"),
        (
            {"userAgent": "AWS Internal", "eventTime": "2022-02-23T23:59:59Z"},
            "AwsApiCall agent=internal early",
        ),
        (
            {"sourceIPAddress": "AWS Internal/3", "eventTime": "2022-02-24T00:00:00Z"},
            "AwsApiCall source=internal late",
        ),
        ({"sessionCredentialFromConsole": "true"}, "AwsApiCall fromConsole"),
        ({"recipientAccountId": "444455556666"}, "AwsApiCall foreign"),
        ({"additionalEventData": {"UserName": "dora"}}, "AwsApiCall UserName"),
    ],
)
def test_the_signs_beside_an_identity_are_part_of_its_shape(
    members: dict[str, Any], signs: str
) -> None:
    record = a_record(eventType="AwsApiCall", userIdentity=IDENTITY)

    assert signs == shape_of(record | members)[1]


@pytest.mark.parametrize(
    ("identity", "expected"), [(None, "nobody"), ("AIDAX", "a str"), ({}, "typeless")]
)
def test_an_identity_may_be_none(identity: Any, expected: str) -> None:
    assert expected == shape_of(a_record(userIdentity=identity))[0]
