"""Who makes the calls: one `Caller` for each kind and each way of credentials (PURE)."""

from dataclasses import dataclass, replace
from typing import Any

PRODUCTION = "111122223333"
STAGING = "444455556666"
AUDIT = "777788889999"

# None of these keys was ever valid; AWS's own examples use the same ones.
USER_KEY = "AKIAIOSFODNN7EXAMPLE"
SESSION_KEY = "ASIAIOSFODNN7EXAMPLE"


@dataclass(frozen=True, slots=True)
class Caller:
    """A `userIdentity`, with what opstrail should say of it."""

    kind: str
    credentials: str
    identity: dict[str, Any]
    ip: str = "203.0.113.20"
    agent: str = "aws-cli/1.22.34 Python/3.9.5 Linux/5.10"


def _user_arn(account: str, name: str) -> str:
    return f"arn:aws:iam::{account}:user/{name}"


def root(account: str) -> Caller:
    """The account's root with an access key."""
    return Caller(
        "root",
        "longTerm",
        {
            "type": "Root",
            "principalId": account,
            "arn": f"arn:aws:iam::{account}:root",
            "accountId": account,
            "accessKeyId": USER_KEY,
        },
    )


def root_by_password(account: str) -> Caller:
    """The account's root at the sign-in page."""
    identity = {name: value for name, value in root(account).identity.items() if value != USER_KEY}
    return Caller("root", "password", identity, agent="Mozilla/5.0")


def root_by_assume_root(account: str) -> Caller:
    """A short session with root's privileges (STS AssumeRoot)."""
    identity = root(account).identity | {
        "accessKeyId": SESSION_KEY,
        "sessionContext": {
            "assumedRoot": "true",
            "attributes": {
                "creationDate": "2024-04-02T08:00:00Z",
                "mfaAuthenticated": "false",
            },
        },
    }
    return Caller("root", "temporary", identity)


def user(account: str, name: str) -> Caller:
    """An IAM user with an access key."""
    return Caller(
        "iamUser",
        "longTerm",
        {
            "type": "IAMUser",
            "principalId": f"AIDA{name.upper():X<16}",
            "arn": _user_arn(account, name),
            "accountId": account,
            "accessKeyId": USER_KEY,
            "userName": name,
        },
    )


def user_with_mfa(account: str, name: str) -> Caller:
    """An IAM user in the console: `IAMUser` does not mean long-term keys."""
    identity = user(account, name).identity | {
        "accessKeyId": SESSION_KEY,
        "sessionContext": {
            "sessionIssuer": {},
            "attributes": {
                "creationDate": "2021-03-04T08:55:00Z",
                "mfaAuthenticated": "true",
            },
        },
        "invokedBy": "signin.amazonaws.com",
    }
    return Caller("iamUser", "session", identity, agent="signin.amazonaws.com")


def user_by_password(account: str, name: str) -> Caller:
    """An IAM user at the sign-in page."""
    identity = {k: v for k, v in user(account, name).identity.items() if k != "accessKeyId"}
    return Caller("iamUser", "password", identity, agent="Mozilla/5.0")


def role(account: str, name: str, session: str, *, path: str = "") -> Caller:
    """A session of a role."""
    principal = f"AROA{name.upper().replace('-', '')[:16]:X<16}"
    return Caller(
        "assumedRole",
        "temporary",
        {
            "type": "AssumedRole",
            "principalId": f"{principal}:{session}",
            "arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
            "accountId": account,
            "accessKeyId": SESSION_KEY,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": principal,
                    "arn": f"arn:aws:iam::{account}:role/{path}{name}",
                    "accountId": account,
                    "userName": name,
                },
                "webIdFederationData": {},
                "attributes": {
                    "creationDate": "2021-03-04T09:00:00Z",
                    "mfaAuthenticated": "false",
                },
            },
        },
        agent="Boto3/1.17.21 Python/3.8.8 Linux/5.4 Botocore/1.20.21",
    )


def stack_service_role(account: str) -> Caller:
    """OpsWorks at work for a stack: the session of the stack's service role."""
    caller = role(account, "aws-opsworks-service-role", "OpsWorks")
    return replace(
        caller,
        identity=caller.identity | {"invokedBy": "opsworks.amazonaws.com"},
        ip="opsworks.amazonaws.com",
        agent="opsworks.amazonaws.com",
    )


def linked_role(account: str) -> Caller:
    """A service-linked role: a role and an AWS service at once."""
    caller = role(
        account,
        "AWSServiceRoleForAutoScaling",
        "AutoScaling",
        path="aws-service-role/autoscaling.amazonaws.com/",
    )
    return replace(
        caller,
        identity=caller.identity | {"invokedBy": "autoscaling.amazonaws.com"},
        ip="autoscaling.amazonaws.com",
        agent="autoscaling.amazonaws.com",
    )


def role_itself(account: str, name: str) -> Caller:
    """A role without a session."""
    return Caller(
        "role",
        "temporary",
        {
            "type": "Role",
            "principalId": f"AROA{name.upper()[:16]:X<16}",
            "arn": f"arn:aws:iam::{account}:role/{name}",
            "accountId": account,
            "userName": name,
        },
    )


def federated_user(account: str, name: str, issuer: str) -> Caller:
    """A session that an IAM user made for somebody else (GetFederationToken)."""
    return Caller(
        "federatedUser",
        "temporary",
        {
            "type": "FederatedUser",
            "principalId": f"{account}:{name}",
            "arn": f"arn:aws:sts::{account}:federated-user/{name}",
            "accountId": account,
            "accessKeyId": SESSION_KEY,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "IAMUser",
                    "principalId": f"AIDA{issuer.upper():X<16}",
                    "arn": _user_arn(account, issuer),
                    "accountId": account,
                    "userName": issuer,
                },
                "attributes": {
                    "creationDate": "2021-09-01T12:00:00Z",
                    "mfaAuthenticated": "false",
                },
            },
        },
    )


def saml_user(name: str) -> Caller:
    """Somebody with a SAML assertion, about to get credentials."""
    return Caller(
        "samlUser",
        "externalAssertion",
        {
            "type": "SAMLUser",
            "principalId": f"SomeQualifier=:{name}",
            "userName": name,
            "identityProvider": "SomeQualifier=",
        },
    )


def web_identity_user(account: str, subject: str) -> Caller:
    """A build job with a token of its provider, about to get credentials."""
    provider = "token.builds.example.com"
    return Caller(
        "webIdentityUser",
        "externalAssertion",
        {
            "type": "WebIdentityUser",
            "principalId": f"arn:aws:iam::{account}:oidc-provider/{provider}:{subject}",
            "userName": subject,
            "identityProvider": f"arn:aws:iam::{account}:oidc-provider/{provider}",
        },
    )


def identity_center_user(account: str) -> Caller:
    """A user of IAM Identity Center with a bearer token."""
    return Caller(
        "identityCenterUser",
        "bearerToken",
        {
            "type": "IdentityCenterUser",
            "accountId": account,
            "onBehalfOf": {
                "userId": "544894e8-80c1-707f-60e3-3ba6510dfac1",
                "identityStoreArn": f"arn:aws:identitystore::{account}:identitystore/d-9067642ac7",
            },
            "credentialId": "VRO1vgFxnN0wZwTT9gDfa4KF4LsvBdfVPWuvrGRu9QPF",
        },
    )


def foreign_account(account: str) -> Caller:
    """A user of another account, as the account that was called sees it."""
    return Caller(
        "awsAccount",
        "foreignAccount",
        {
            "type": "AWSAccount",
            "principalId": "AIDAANNAXXXXXXXXXXXX",
            "accountId": account,
        },
    )


def service(name: str) -> Caller:
    """An AWS service: no account, no ARN."""
    host = f"{name}.amazonaws.com"
    return Caller(
        "awsService",
        "servicePrincipal",
        {"type": "AWSService", "invokedBy": host},
        host,
        host,
    )


def service_without_type(account: str) -> Caller:
    """A service event: the identity has no type."""
    return Caller(
        "awsService",
        "servicePrincipal",
        {"accountId": account, "invokedBy": "AWS Internal"},
        "AWS Internal",
        "AWS Internal",
    )


def directory_user(account: str) -> Caller:
    """A user of a directory service."""
    identity = {
        "type": "Directory",
        "accountId": account,
        "userName": "reader@corp.example.com",
    }
    return Caller("directory", "unknown", identity)


def nobody_known(account: str) -> Caller:
    """AWS could not tell."""
    identity = {
        "type": "Unknown",
        "principalId": "",
        "accountId": account,
        "userName": "x",
    }
    return Caller("unknown", "unknown", identity)
