"""What else happens in the three accounts: at least one call of every kind of caller (PURE)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from opstrail_cli.sample import callers
from opstrail_cli.sample.callers import AUDIT, PRODUCTION, STAGING, Caller
from opstrail_cli.sample.records import Event, Place, event, made_id

PRODUCTION_EU = Place(PRODUCTION, "eu-west-1")
PRODUCTION_US = Place(PRODUCTION, "us-east-1")
STAGING_US = Place(STAGING, "us-west-2")
AUDIT_AP = Place(AUDIT, "ap-southeast-2")


def other_events() -> list[Event]:
    """Return all other events."""
    return [
        *_sign_ins(),
        *_credentials(),
        *_across_accounts(),
        *_services(),
        *_routine(),
        *_audit(),
    ]


def _sign_in(at: str, caller: Caller, outcome: str, **more: Any) -> Event:
    account = str(caller.identity["accountId"])
    return event(
        "signin:ConsoleLogin",
        at,
        Place(account, "us-east-1"),
        caller,
        response={"ConsoleLogin": outcome},
        eventType="AwsConsoleSignIn",
        additionalEventData={
            "LoginTo": "https://console.aws.amazon.com/",
            "MFAUsed": "Yes",
        },
        **more,
    )


def _sign_ins() -> Iterator[Event]:
    anna = callers.user_by_password(PRODUCTION, "anna")
    for day in (
        "2021-03-04",
        "2021-03-05",
        "2021-12-24",
        "2022-08-19",
        "2023-06-01",
        "2023-10-02",
    ):
        yield _sign_in(f"{day}T07:55", anna, "Success")
    yield _sign_in("2021-07-04T23:58", callers.root_by_password(PRODUCTION), "Success")
    hidden = callers.user_by_password(PRODUCTION, "HIDDEN_DUE_TO_SECURITY_REASONS")
    identity = {k: v for k, v in hidden.identity.items() if k not in {"arn", "principalId"}}
    yield _sign_in(
        "2023-06-01T23:41",
        replace(hidden, identity=identity, ip="198.51.100.99"),
        "Failure",
        errorMessage="No username found in supplied account",
    )


def _credentials() -> Iterator[Event]:
    """Each way to come by credentials, and a call with each of them."""
    yield event("iam:ListUsers", "2021-07-05T00:02", PRODUCTION_US, callers.root(PRODUCTION))
    yield event(
        "iam:DeleteLoginProfile",
        "2024-04-02T08:01",
        PRODUCTION_US,
        callers.root_by_assume_root(PRODUCTION),
        {"userName": "former-employee"},
    )
    yield event(
        "sts:GetSessionToken",
        "2021-03-04T08:55",
        PRODUCTION_US,
        callers.user(PRODUCTION, "anna"),
        response={
            "credentials": {
                "accessKeyId": callers.SESSION_KEY,
                "sessionToken": "this-session-token-must-be-masked",
                "expiration": "Mar 4, 2021, 8:55:00 PM",
            }
        },
    )
    yield event(
        "sts:AssumeRoleWithSAML",
        "2022-03-01T08:00",
        PRODUCTION_US,
        callers.saml_user("anna@corp.example.com"),
        {"roleArn": f"arn:aws:iam::{PRODUCTION}:role/support", "durationSeconds": 3600},
        response={"credentials": {"accessKeyId": "ASIASUPPORTSESSION00"}},
    )
    support = callers.role(PRODUCTION, "support", "anna@corp.example.com")
    support = replace(support, identity=support.identity | {"accessKeyId": "ASIASUPPORTSESSION00"})
    for minute in range(4):
        yield event(
            "ec2:DescribeVolumes",
            f"2022-03-01T08:{10 + minute}",
            PRODUCTION_EU,
            support,
        )
    yield event(
        "sts:AssumeRoleWithWebIdentity",
        "2021-05-10T09:59",
        STAGING_US,
        callers.web_identity_user(STAGING, "repo:shop/storefront"),
        {
            "roleArn": f"arn:aws:iam::{STAGING}:role/deploy",
            "roleSessionName": "build-77",
        },
        response={"credentials": {"accessKeyId": callers.SESSION_KEY}},
    )
    yield event(
        "s3:ListBuckets",
        "2021-09-01T12:30",
        STAGING_US,
        callers.federated_user(STAGING, "visitor", "bela"),
    )
    yield event(
        "sts:GetCallerIdentity",
        "2021-09-02T12:30",
        STAGING_US,
        callers.role_itself(STAGING, "old"),
    )
    yield event(
        "workdocs:GetDocument",
        "2022-02-02T10:00",
        STAGING_US,
        callers.directory_user(STAGING),
    )
    yield event(
        "kms:Decrypt",
        "2022-02-03T10:00",
        STAGING_US,
        callers.nobody_known(STAGING),
        readOnly=True,
    )
    yield event(
        "codecatalyst:ListSpaces",
        "2024-03-03T10:00",
        AUDIT_AP,
        callers.identity_center_user(AUDIT),
        version="1.09",
    )


def _across_accounts() -> Iterator[Event]:
    """One call, seen by both accounts: two events, joined by `sharedEventID`."""
    for at in ("2021-08-12T13:00", "2022-08-12T13:00"):
        shared = made_id("shared", at)
        request = {
            "roleArn": f"arn:aws:iam::{PRODUCTION}:role/read-only",
            "roleSessionName": "bela-looks",
        }
        yield event(
            "sts:AssumeRole",
            at,
            Place(STAGING, "us-east-1"),
            callers.user(STAGING, "bela"),
            request,
            sharedEventID=shared,
        )
        yield event(
            "sts:AssumeRole",
            at,
            PRODUCTION_US,
            callers.foreign_account(STAGING),
            request,
            sharedEventID=shared,
        )


def _services() -> Iterator[Event]:
    for month in (1, 3, 5, 7, 9, 11):
        yield event(
            "sts:AssumeRole",
            f"2022-{month:02}-02T04:00",
            PRODUCTION_EU,
            callers.service("ec2"),
            {"roleArn": f"arn:aws:iam::{PRODUCTION}:role/aws-opsworks-ec2-role"},
            sharedEventID=made_id("shared by ec2", str(month)),
        )
        yield event(
            "autoscaling:SetInstanceHealth",
            f"2022-{month:02}-02T04:30",
            PRODUCTION_EU,
            callers.linked_role(PRODUCTION),
            {"instanceId": "i-0a15e8f1a2b3c4d5e"},
        )
        yield event(
            "kms:RotateKey",
            f"2022-{month:02}-02T05:00",
            STAGING_US,
            callers.service_without_type(STAGING),
            eventType="AwsServiceEvent",
            serviceEventDetails={"keyId": made_id("key")},
        )
    yield event(
        "opsworks:DescribeMyUserProfile",
        "2014-02-01T12:00",
        PRODUCTION_EU,
        callers.user(PRODUCTION, "founder"),
        version="1.0",
        eventID=...,  # eventVersion 1.0 has none
        eventType=...,
        managementEvent=...,
        readOnly=...,
        recipientAccountId=...,
        eventCategory=...,
    )


def _routine() -> Iterator[Event]:
    """What fills most trails: programs that look around."""
    program = callers.role(PRODUCTION, "inventory", "i-0c25e8f1a2b3c4d5e")
    refused: dict[str, Any] = {
        "errorCode": "AccessDenied",
        "errorMessage": "not authorized",
    }
    calls = ("ec2:DescribeInstances", "rds:DescribeDBInstances", "s3:ListBuckets")
    for year in (2021, 2022, 2023):
        for month, outcome in ((4, {}), (8, refused), (12, {})):
            for hour, call in enumerate(calls):
                yield event(call, f"{year}-{month:02}-03T0{hour}:00", PRODUCTION_EU, program)
            yield event(
                "kms:Decrypt",
                f"{year}-{month:02}-03T04:00",
                PRODUCTION_EU,
                program,
                {"encryptionContext": {"service": "shop"}},
                readOnly=True,
                **outcome,
            )
            yield event(
                "ec2:DescribeInstances",
                f"{year}-{month:02}-04T05:00",
                STAGING_US,
                callers.role(STAGING, "inventory", "i-0d35e8f1a2b3c4d5e"),
            )


def _audit() -> Iterator[Event]:
    auditor = callers.role(AUDIT, "auditor", "carla")
    for year in (2021, 2022, 2023, 2024):
        for month in (2, 5):
            yield event(
                "organizations:ListAccounts",
                f"{year}-{month:02}-20T10:00",
                AUDIT_AP,
                auditor,
            )
            yield event(
                "cloudtrail:LookupEvents",
                f"{year}-{month:02}-20T10:05",
                AUDIT_AP,
                auditor,
                {"lookupAttributes": [{"attributeKey": "Username", "attributeValue": "anna"}]},
            )
            yield event(
                "config:DescribeConfigRules",
                f"{year}-{month:02}-20T10:10",
                AUDIT_AP,
                auditor,
            )
    yield event(
        "iam:CreateAccessKey",
        "2023-02-20T11:00",
        AUDIT_AP,
        auditor,
        {"userName": "carla"},
        response={"accessKey": {"accessKeyId": "AKIAI44QH8DHBEXAMPLE", "status": "Active"}},
    )
    # In the audit account's file, and yet it says that production received it.
    yield event(
        "iam:GetRole",
        "2023-02-20T11:05",
        AUDIT_AP,
        auditor,
        {"roleName": "read-only"},
        recipientAccountId=PRODUCTION,
    )
