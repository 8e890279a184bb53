"""Who called: the decision table row by row, newer members, names, and odd shapes."""

import json
from typing import Any

import pytest

from opstrail_enrich.caller import caller_of
from opstrail_enrich.record_view import view_of
from opstrail_schemas.messages import Caller
from tests.support.enriching import ACCOUNT, raw_event

USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/ops/alice"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/app/deploy"
SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/build-42"
ATTRIBUTES = {"attributes": {"creationDate": "2021-03-04T09:00:00Z", "mfaAuthenticated": "true"}}
ISSUER = {
    "type": "Role",
    "userName": "deploy",
    "arn": ROLE_ARN,
    "accountId": ACCOUNT,
    "principalId": "AROAEXAMPLE",
}
USER = {"type": "IAMUser", "userName": "alice", "arn": USER_ARN, "accountId": ACCOUNT}
ROOT = {"type": "Root", "principalId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root"}
ASSUMED = {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLE:build-42",
    "arn": SESSION_ARN,
    "accountId": ACCOUNT,
    "accessKeyId": "ASIAEXAMPLE",
    "sessionContext": {"sessionIssuer": ISSUER, **ATTRIBUTES},
}
SERVICE_ROLE = {
    **ISSUER,
    "userName": "AWSServiceRoleForX",
    "arn": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX",
}
SIGN_IN = {"eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin"}
BEFORE_PROXIES = 1_600_000_000_000
AFTER_PROXIES = 1_700_000_000_000


def a_caller(identity: Any, **members: Any) -> Caller:
    event = raw_event(userIdentity=identity, **members)
    return caller_of(event, view_of(event.raw))


# identity, other members; kind, credentials, and the three answers
TABLE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "root": (ROOT, {}, "root longTerm yes no no"),
    "root, by a service": (
        {**ROOT, "invokedBy": "autoscaling.amazonaws.com"}, {}, "root longTerm yes no yes",
    ),
    "user with a key": ({**USER, "accessKeyId": "AKIAX"}, {}, "iamUser longTerm yes no no"),
    "user with an empty session": (
        {**USER, "sessionContext": {}}, {}, "iamUser longTerm yes no no",
    ),
    "user with a temporary key and no session": (
        {**USER, "accessKeyId": "ASIAX"}, {}, "iamUser unknown yes no no",
    ),
    "user with a session of empty texts": (
        {
            **USER, "sessionContext": {
                "sessionIssuer": {"type": "", "arn": ""}, "attributes": {"creationDate": ""},
                "assumedRoot": "", "sourceIdentity": "",
            },
        }, {}, "iamUser longTerm yes no no",
    ),
    "root in the console, without a session": (
        {**ROOT, "accessKeyId": "ASIAX"}, {"eventType": "AwsConsoleAction"},
        "root session yes no no",
    ),
    "user in the console, without a key": (
        USER, {"eventType": "AwsConsoleAction"}, "iamUser session yes no no",
    ),
    "user with a temporary key of the console and no session": (
        {**USER, "accessKeyId": "ASIAX"}, {"sessionCredentialFromConsole": "true"},
        "iamUser session yes no no",
    ),
    "user with a session that says nothing": (
        {**USER, "sessionContext": {"sessionIssuer": {}, "webIdFederationData": {}}}, {},
        "iamUser longTerm yes no no",
    ),
    "user in a session": (
        {**USER, "sessionContext": {"sessionIssuer": {}, **ATTRIBUTES}}, {},
        "iamUser session yes no no",
    ),
    "root in a session": ({**ROOT, "sessionContext": ATTRIBUTES}, {}, "root session yes no no"),
    "user in the console": (
        {**USER, "invokedBy": "signin.amazonaws.com", "sessionContext": ATTRIBUTES}, {},
        "iamUser session yes no no",
    ),
    "user, by a service for him": (
        {**USER, "invokedBy": "cloudformation.amazonaws.com", "sessionContext": ATTRIBUTES}, {},
        "iamUser session yes no yes",
    ),
    "user signs in": (
        USER, {**SIGN_IN, "eventType": "AwsConsoleSignIn"}, "iamUser password yes no no",
    ),
    "root signs in": (
        ROOT, {**SIGN_IN, "eventType": "AwsConsoleSignIn"}, "root password yes no no",
    ),
    "old sign-in": (USER, {**SIGN_IN, "eventType": "AwsApiCall"}, "iamUser password yes no no"),
    "sign-in spelled otherwise": (
        USER, {**SIGN_IN, "eventType": "AwsConsoleSignin"}, "iamUser password yes no no",
    ),
    "role's session": (ASSUMED, {}, "assumedRole temporary no yes no"),
    "role's session, by a service": (
        {**ASSUMED, "invokedBy": "ssm.amazonaws.com"}, {}, "assumedRole temporary no yes yes",
    ),
    "role's session, AWS Internal": (
        {**ASSUMED, "invokedBy": "AWS Internal"}, {}, "assumedRole temporary no yes yes",
    ),
    "role's session, by nobody known": (
        {**ASSUMED, "invokedBy": "somebody"}, {}, "assumedRole temporary no yes unknown",
    ),
    "service-linked role's session": (
        {**ASSUMED, "sessionContext": {"sessionIssuer": SERVICE_ROLE}}, {},
        "assumedRole temporary no yes yes",
    ),
    "service-linked role's session, by nobody known": (
        {**ASSUMED, "invokedBy": "somebody", "sessionContext": {"sessionIssuer": SERVICE_ROLE}}, {},
        "assumedRole temporary no yes yes",
    ),
    "role": ({"type": "Role", "arn": ROLE_ARN}, {}, "role temporary no yes no"),
    "federated user": (
        {"type": "FederatedUser", "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob"}, {},
        "federatedUser temporary no yes no",
    ),
    "SAML": (
        {"type": "SAMLUser", "invokedBy": "x.amazonaws.com"}, {},
        "samlUser externalAssertion no yes no",
    ),
    "web identity": (
        {"type": "WebIdentityUser"}, {}, "webIdentityUser externalAssertion no yes no",
    ),
    "Identity Center": (
        {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}, "credentialId": "c"},
        {"eventType": "AwsServiceEvent"},
        "identityCenterUser bearerToken no yes no",
    ),
    "service": (
        {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}, {},
        "awsService servicePrincipal no no yes",
    ),
    "service and nothing else": (
        {"type": "AWSService"}, {}, "awsService servicePrincipal no no yes",
    ),
    "no type but invokedBy": (
        {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}, {},
        "awsService servicePrincipal no no yes",
    ),
    "service event": (
        {"accountId": ACCOUNT}, {"eventType": "AwsServiceEvent"},
        "awsService servicePrincipal no no yes",
    ),
    "account": (
        {"type": "AWSAccount", "accountId": "444455556666", "principalId": "AIDAX"}, {},
        "awsAccount foreignAccount unknown unknown no",
    ),
    "account, by a service": (
        {"type": "AWSAccount", "invokedBy": "backup.amazonaws.com"}, {},
        "awsAccount foreignAccount unknown unknown yes",
    ),
    "nobody signed": (
        {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}, {},
        "unknown unknown no no no",
    ),
    "directory": ({"type": "Directory"}, {}, "directory unknown no no no"),
    "unknown": ({"type": "Unknown"}, {}, "unknown unknown unknown unknown no"),
    "unknown, root's arn": ({**ROOT, "type": "Unknown"}, {}, "root unknown yes no no"),
    "unknown, a user's arn": ({**USER, "type": "Unknown"}, {}, "iamUser unknown yes no no"),
    "unknown, a session's arn": (
        {"type": "Unknown", "arn": SESSION_ARN}, {}, "assumedRole unknown no yes no",
    ),
    "unknown, a federated user's arn": (
        {"type": "Unknown", "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob"}, {},
        "federatedUser unknown no yes no",
    ),
    "unknown, a role's arn": (
        {"type": "Unknown", "arn": ROLE_ARN}, {}, "role unknown no yes no",
    ),
    "a type of tomorrow": ({"type": "Robot"}, {}, "unknown unknown unknown unknown no"),
    "assumed root": (
        {**ROOT, "sessionContext": {"assumedRoot": "true", **ATTRIBUTES}}, {},
        "root temporary yes yes no",
    ),
    "assumed root, of any type": (
        {"type": "AssumedRole", "sessionContext": {"assumedRoot": True}}, {},
        "root temporary yes yes no",
    ),
    "assumed root, as nobody writes it": (
        {**ROOT, "sessionContext": {"assumedRoot": 1}}, {}, "root session yes no no",
    ),
    "role in China, by a service there": (
        {
            "type": "AssumedRole", "invokedBy": "ec2.amazonaws.com.cn",
            "arn": f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/deploy/i-1",
        }, {}, "assumedRole temporary no yes yes",
    ),
    "unknown, a user's arn in GovCloud": (
        {"type": "Unknown", "arn": f"arn:aws-us-gov:iam::{ACCOUNT}:user/alice"}, {},
        "iamUser unknown yes no no",
    ),
    "software on an instance": (
        {**ASSUMED, "sessionContext": {"sessionIssuer": ISSUER, "ec2RoleDelivery": "2.0"}}, {},
        "assumedRole temporary no yes no",
    ),
    "code of a function": (
        {**ASSUMED, "inScopeOf": {"issuerType": "AWS::Lambda::Function"}}, {},
        "assumedRole temporary no yes no",
    ),
    "a partner by delegation": (
        {**ASSUMED, "invokedByDelegate": {"accountId": "444455556666"}}, {},
        "assumedRole temporary no yes no",
    ),
    "missing": (None, {}, "unknown unknown unknown unknown unknown"),
    "missing, from a service": (
        None, {"sourceIPAddress": "ec2.amazonaws.com"}, "unknown unknown unknown unknown yes",
    ),
    "missing, in the console": (
        None, {"sessionCredentialFromConsole": "true"}, "unknown unknown unknown unknown unknown",
    ),
    "empty": ({}, {}, "unknown unknown unknown unknown unknown"),
    "text": ("AIDAX", {}, "unknown unknown unknown unknown unknown"),
    "text that is an ARN": (USER_ARN, {}, "iamUser unknown yes no unknown"),
    "list": ([USER], {}, "unknown unknown unknown unknown unknown"),
    "members of wrong types": (
        {"type": 7, "arn": [], "accountId": {}, "sessionContext": "x", "invokedBy": 1}, {},
        "unknown unknown unknown unknown no",
    ),
    "inner members of wrong types": (
        {"type": "AssumedRole", "sessionContext": {"sessionIssuer": 1, "attributes": "x"}}, {},
        "assumedRole temporary no yes no",
    ),
    "a service's address": (
        USER, {"sourceIPAddress": "cloudformation.amazonaws.com"}, "iamUser longTerm yes no yes",
    ),
    "a service's agent, which anybody can send": (
        USER, {"userAgent": "autoscaling.amazonaws.com"}, "iamUser longTerm yes no unknown",
    ),
    "an agent of AWS, which anybody can send": (
        USER, {"userAgent": "AWS Internal", "event_time": BEFORE_PROXIES},
        "iamUser longTerm yes no unknown",
    ),
    "the console's agent": (
        USER, {"userAgent": "console.ec2.amazonaws.com"}, "iamUser longTerm yes no no",
    ),
    "internal address before proxies showed it": (
        USER, {"sourceIPAddress": "AWS Internal", "event_time": BEFORE_PROXIES},
        "iamUser longTerm yes no yes",
    ),
    "internal address since": (
        USER, {"sourceIPAddress": "AWS Internal/3", "event_time": AFTER_PROXIES},
        "iamUser longTerm yes no unknown",
    ),
    "internal address, no time": (
        USER, {"userAgent": "AWS Internal", "event_time": None}, "iamUser longTerm yes no unknown",
    ),
    "internal address in the console": (
        USER, {"sourceIPAddress": "AWS Internal", "sessionCredentialFromConsole": "true"},
        "iamUser longTerm yes no no",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_the_three_questions_are_answered_by_the_table(row: str) -> None:
    identity, members, expected = TABLE[row]

    caller = a_caller(identity, **members)

    assert expected.split() == [
        caller.kind,
        caller.credential_kind,
        caller.root_or_iam_user,
        caller.temporary_credentials,
        caller.aws_service,
    ]


NAMES: dict[str, tuple[Any, dict[str, Any], dict[str, object]]] = {
    "user": (USER, {}, {"name": "alice", "user_name": "alice", "account_id": ACCOUNT}),
    "user, by the arn": (
        {"type": "IAMUser", "arn": USER_ARN}, {},
        {"name": "alice", "user_name": "alice", "account_id": ACCOUNT},
    ),
    "root": (ROOT, {}, {"name": "root", "user_name": None, "account_id": ACCOUNT}),
    "root by principal": (
        {"type": "Root", "principalId": ACCOUNT, "userName": "my-alias"}, {},
        {"name": "root", "user_name": "my-alias", "account_id": ACCOUNT},
    ),
    "session": (
        ASSUMED, {},
        {
            "name": "deploy", "role_name": "deploy", "session_name": "build-42",
            "issuer_type": "Role", "issuer_arn": ROLE_ARN, "mfa_authenticated": True,
            "principal_id": "AROAEXAMPLE:build-42", "arn": SESSION_ARN, "user_name": None,
        },
    ),
    "session without issuer": (
        {"type": "AssumedRole", "arn": SESSION_ARN}, {},
        {"name": "deploy", "role_name": "deploy", "session_name": "build-42"},
    ),
    "session by its issuer's arn": (
        {
            "type": "AssumedRole", "principalId": "AROAX:s-1",
            "sessionContext": {"sessionIssuer": {"arn": ROLE_ARN, "accountId": "444455556666"}},
        }, {},
        {
            "name": "deploy", "role_name": "deploy", "session_name": "s-1",
            "account_id": "444455556666", "cross_account": True,
        },
    ),
    "session of a nameless role": (
        {"type": "AssumedRole", "principalId": "AROAX:s-1"}, {},
        {"name": "s-1", "role_name": None, "session_name": "s-1"},
    ),
    "role": ({"type": "Role", "userName": "deploy"}, {}, {"name": "deploy", "role_name": "deploy"}),
    "role in China": (
        {"type": "Role", "arn": f"arn:aws-cn:iam::{ACCOUNT}:role/x/deploy"}, {},
        {"role_name": "deploy", "account_id": ACCOUNT},
    ),
    "session in GovCloud": (
        {"type": "AssumedRole", "arn": f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/deploy/me"}, {},
        {"role_name": "deploy", "session_name": "me", "cross_account": False},
    ),
    "federated user": (
        {"type": "FederatedUser", "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob"}, {},
        {"name": "bob", "session_name": "bob", "user_name": None},
    ),
    "federated user by principal": (
        {"type": "FederatedUser", "principalId": f"{ACCOUNT}:bob"}, {}, {"session_name": "bob"},
    ),
    "SAML": (
        {"type": "SAMLUser", "userName": "carol", "identityProvider": "idp"}, {},
        {"name": "carol", "identity_provider": "idp"},
    ),
    "web identity's session": (
        {
            "type": "AssumedRole",
            "sessionContext": {"webIdFederationData": {"federatedProvider": "accounts.google.com"}},
        }, {}, {"identity_provider": "accounts.google.com"},
    ),
    "Identity Center": (
        {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}}, {}, {"name": "u-1"},
    ),
    "Identity Center signs in": (
        {"type": "IdentityCenterUser"}, {"additionalEventData": {"UserName": "dora"}},
        {"name": "dora", "user_name": "dora"},
    ),
    "service": (
        {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, {},
        {"name": "ec2.amazonaws.com", "invoked_by": "ec2.amazonaws.com", "cross_account": None},
    ),
    "service of the console": (
        {"type": "AWSService", "invokedBy": "signin.amazonaws.com"}, {},
        {"name": "signin.amazonaws.com", "invoked_by": "signin.amazonaws.com"},
    ),
    "service by its role": (
        {**ASSUMED, "sessionContext": {"sessionIssuer": SERVICE_ROLE}}, {},
        {"name": "AWSServiceRoleForX", "invoked_by": "x.amazonaws.com"},
    ),
    "service by its role, by AWS's own word": (
        {
            **ASSUMED, "invokedBy": "AWS Internal",
            "sessionContext": {"sessionIssuer": SERVICE_ROLE},
        }, {}, {"invoked_by": "AWS Internal"},
    ),
    "service tells of itself": (
        {"accountId": ACCOUNT},
        {"eventType": "AwsServiceEvent", "eventSource": "kms.amazonaws.com"},
        {"name": "kms.amazonaws.com", "invoked_by": None, "account_id": ACCOUNT},
    ),
    "service by its address": (
        {"type": "AWSService"}, {"sourceIPAddress": "ec2.amazonaws.com"},
        {"name": "ec2.amazonaws.com", "invoked_by": "ec2.amazonaws.com"},
    ),
    "account": (
        {"type": "AWSAccount", "principalId": "444455556666"}, {},
        {"name": "444455556666", "account_id": "444455556666", "cross_account": True},
    ),
    "account's session": (
        {"type": "AWSAccount", "principalId": "AROAX:s-1", "accountId": "444455556666"}, {},
        {"session_name": "s-1", "name": "444455556666", "cross_account": True},
    ),
    "account that the event was given to": (
        {"type": "AWSAccount", "accountId": ACCOUNT}, {}, {"cross_account": None},
    ),
    "account in digits of another script": (
        {"type": "Root", "principalId": "\u0661" * 12}, {}, {"account_id": None},
    ),
    "nobody": (None, {}, {"name": None, "account_id": None, "cross_account": None}),
    "an arn of another service": (
        {"type": "Unknown", "arn": "arn:aws:s3:::b"}, {}, {"name": "arn:aws:s3:::b"},
    ),
    "only a principal": ({"type": "Unknown", "principalId": "p"}, {}, {"name": "p"}),
    "only an account": ({"type": "Unknown", "accountId": "4"}, {}, {"name": "4"}),
    "directory": ({"type": "Directory", "userName": "erin"}, {}, {"name": "erin"}),
    "empty texts": ({"type": "IAMUser", "userName": "", "accessKeyId": ""}, {}, {"name": None}),
    "a text longer than any name": (
        {"type": "IAMUser", "userName": "x" * 40_000}, {}, {"name": None},
    ),
    "source identity": (
        {"type": "AssumedRole", "sessionContext": {"sourceIdentity": "frank"}}, {},
        {"source_identity": "frank", "mfa_authenticated": None},
    ),
    "signs in with MFA": (
        USER, {**SIGN_IN, "additionalEventData": {"MFAUsed": "Yes"}},
        {"mfa_authenticated": True, "console": True},
    ),
    "MFA as JSON has it": (
        {**USER, "sessionContext": {"attributes": {"mfaAuthenticated": False}}}, {},
        {"mfa_authenticated": False},
    ),
    "MFA of a wrong type": (
        {**USER, "sessionContext": {"attributes": {"mfaAuthenticated": ["true"]}}}, {},
        {"mfa_authenticated": None},
    ),
    "signs in without MFA": (
        USER, {**SIGN_IN, "additionalEventData": {"MFAUsed": "No"}}, {"mfa_authenticated": False},
    ),
    "an account that nobody knows": (USER, {"account_id": "-"}, {"cross_account": None}),
    "an agent that anybody can send": (
        USER, {"userAgent": "cloudformation.amazonaws.com"}, {"invoked_by": None},
    ),
    "console, by invokedBy": (
        {**USER, "invokedBy": "signin.amazonaws.com"}, {}, {"console": True, "invoked_by": None},
    ),
    "console, by the credentials": (
        ASSUMED, {"sessionCredentialFromConsole": "true"}, {"console": True},
    ),
    "console action": (ROOT, {"eventType": "AwsConsoleAction"}, {"console": True}),
    "console, by its address": (
        USER, {"sourceIPAddress": "signin.amazonaws.com"}, {"console": True, "invoked_by": None},
    ),
    "not the console": (ASSUMED, {}, {"console": False}),
    "plain text": ("AIDAX", {}, {"name": "AIDAX", "principal_id": "AIDAX", "arn": None}),
    "plain text that is an ARN": (
        USER_ARN, {}, {"name": "alice", "principal_id": None, "arn": USER_ARN},
    ),
    "a name that AWS hides": (
        {"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS", "accountId": ACCOUNT}, {},
        {"name": ACCOUNT, "user_name": None},
    ),
    "nobody signed": (
        {"type": "AWSAccount", "accountId": "ANONYMOUS_PRINCIPAL"}, {},
        {"name": "ANONYMOUS_PRINCIPAL", "account_id": None, "cross_account": None},
    ),
    "issuer of a federated user": (
        {
            "type": "FederatedUser",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "IAMUser", "userName": "alice", "arn": USER_ARN,
                    "principalId": "AIDAX", "accountId": ACCOUNT,
                }
            },
        }, {},
        {
            "issuer_type": "IAMUser", "issuer_name": "alice", "issuer_arn": USER_ARN,
            "issuer_principal_id": "AIDAX", "issuer_account_id": ACCOUNT, "user_name": None,
        },
    ),
    "issuer named by its arn only": (
        {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": ROLE_ARN}}}, {},
        {"issuer_name": "deploy", "issuer_principal_id": None, "issuer_account_id": None},
    ),
    "assumed root": (
        {**ROOT, "sessionContext": {"assumedRoot": "true"}}, {},
        {"name": "root", "assumed_root": True, "account_id": ACCOUNT},
    ),
    "not assumed root": (ROOT, {}, {"assumed_root": False}),
    "begin of a session": (ASSUMED, {}, {"session_created_at": 1_614_848_400_000}),
    "members of tomorrow's sessions": (
        {
            **ASSUMED,
            "sessionContext": {
                "ec2RoleDelivery": "2.0",
                "signInSessionArn": f"arn:aws:signin:us-east-1:{ACCOUNT}:session/1",
            },
        }, {},
        {
            "ec2_role_delivery": "2.0",
            "sign_in_session_arn": f"arn:aws:signin:us-east-1:{ACCOUNT}:session/1",
        },
    ),
    "Identity Center user behind a role": (
        {
            **ASSUMED, "credentialId": "c-1",
            "onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:identitystore::1:x"},
        }, {},
        {
            "name": "deploy", "credential_id": "c-1", "on_behalf_of_user_id": "u-1",
            "on_behalf_of_identity_store_arn": "arn:aws:identitystore::1:x",
        },
    ),
    "scope of the credentials": (
        {
            **ASSUMED,
            "inScopeOf": {
                "sourceArn": "arn:aws:lambda:us-east-1:1:function:f", "sourceAccount": ACCOUNT,
                "issuerType": "AWS::Lambda::Function", "credentialsIssuedTo": "arn:aws:lambda:x",
            },
        }, {},
        {
            "in_scope_of_source_arn": "arn:aws:lambda:us-east-1:1:function:f",
            "in_scope_of_source_account": ACCOUNT,
            "in_scope_of_issuer_type": "AWS::Lambda::Function",
            "in_scope_of_credentials_issued_to": "arn:aws:lambda:x",
        },
    ),
    "delegate": (
        {**ASSUMED, "invokedByDelegate": {"accountId": "444455556666"}}, {},
        {"invoked_by_delegate_account_id": "444455556666", "cross_account": False},
    ),
    "newer members of wrong types": (
        {**ASSUMED, "inScopeOf": "x", "onBehalfOf": [], "invokedByDelegate": 1, "credentialId": {}},
        {},
        {
            "in_scope_of_source_arn": None, "on_behalf_of_user_id": None,
            "invoked_by_delegate_account_id": None, "credential_id": None,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", NAMES)
def test_names_come_from_wherever_the_record_says_them(row: str) -> None:
    identity, members, expected = NAMES[row]

    caller = a_caller(identity, **members)

    assert expected == {name: getattr(caller, name) for name in expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-11-02T01:06:28Z", 1_383_354_388_000),
        ("20131102T010628Z", 1_383_354_388_000),
        ("2013-11-02T01:06:28.5Z", 1_383_354_388_500),
        ("2013-02-31T01:06:28Z", None),
        ("2013-11-02", None),
        ("...", None),
        (1_383_354_388, None),
    ],
)
def test_a_session_begins_when_the_record_says_it_in_either_format(
    text: object, expected: int | None
) -> None:
    identity = {**USER, "sessionContext": {"attributes": {"creationDate": text}}}

    assert expected == a_caller(identity).session_created_at


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b'{"userIdentity":',
        b'{"userIdentity":' * 5 + b"1" + b"}" * 5,
        b"[" * 100_000,
        b'{"userIdentity":{"type":"IAMUser"},"x":NaN,"additionalEventData":[1]}',
        b'{"userIdentity":{"type":"IAMUser","userName":"\\ud800"}}',
        b'{"userIdentity":{"type":"IAMUser","userName":"\xff"}}',
    ],
)
def test_no_text_is_an_exception(raw: bytes) -> None:
    event = raw_event()

    caller = caller_of(event, view_of(raw))

    (caller.name or "").encode()  # can be written


def test_a_member_that_the_fast_parser_refuses_is_read_all_the_same() -> None:
    raw = b"""{"userIdentity":{"type":"IdentityCenterUser"},
    "additionalEventData":{"UserName":"dora","x":"\\ud800"}}"""

    assert "dora" == caller_of(raw_event(), view_of(raw)).user_name


def test_a_text_that_the_fast_parser_refuses_still_says_who_called() -> None:
    raw = json.dumps({"userIdentity": {**USER, "principalId": "\ud800"}}).encode()

    assert caller_of(raw_event(), view_of(raw)).name == "alice"
