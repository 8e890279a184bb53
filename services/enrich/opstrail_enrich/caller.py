"""Who called: AWS's three questions, the kind of caller and of credentials, and the names (PURE).

The three questions are not exclusive: a service that acts for a user answers the first and the
third, a service-linked role the second and the third. One row of `_ROWS` per identity type.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from opstrail_enrich.record_view import RecordView, members, parsed, text_of
from opstrail_enrich.redaction import shown
from opstrail_schemas.messages import Answer, Caller, CallerKind, CredentialKind, RawEvent

# From this day on console proxies show `AWS Internal` too (CloudTrail's document history).
_PROXIES_SHOW_INTERNAL_MS: Final = 1_645_660_800_000  # 2022-02-24
_INTERNAL = "AWS Internal"  # also `AWS Internal/3`
_SERVICE_HOST = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", re.ASCII)
# `signin.amazonaws.com`, `console.amazonaws.com`, and old agents: `console.ec2.amazonaws.com`
_CONSOLE_HOST = re.compile(r"(signin|console)\.([a-z0-9.-]+\.)?amazonaws\.com(\.cn)?", re.ASCII)
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts):[a-z0-9-]*:(?P<account>\d*):"
    r"(?:(?P<root>root)|(?P<kind>user|role|assumed-role|federated-user)/(?P<rest>.+))",
    re.ASCII | re.DOTALL,
)

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
# Only its service can use such a role; the path names the service.
_SERVICE_LINKED = re.compile(
    r"arn:aws[a-z-]*:iam::\d*:role/aws-service-role/(?P<service>[^/]+)/.+", re.ASCII
)
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z|\d{8}T\d{6}Z", re.ASCII)
_YES_OR_NO: Final = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class _Row:
    """What an identity type says by itself; `service` is None where other signs decide."""

    kind: CallerKind
    credential: CredentialKind
    user: Answer
    temporary: Answer
    service: Answer | None = None


_ROWS: Final = {
    "Root": _Row("root", "longTerm", "yes", "no"),
    "IAMUser": _Row("iamUser", "longTerm", "yes", "no"),
    "AssumedRole": _Row("assumedRole", "temporary", "no", "yes"),
    "Role": _Row("role", "temporary", "no", "yes"),
    "FederatedUser": _Row("federatedUser", "temporary", "no", "yes"),
    "SAMLUser": _Row("samlUser", "externalAssertion", "no", "yes", "no"),
    "WebIdentityUser": _Row("webIdentityUser", "externalAssertion", "no", "yes", "no"),
    "IdentityCenterUser": _Row("identityCenterUser", "bearerToken", "no", "yes"),
    "AWSService": _Row("awsService", "servicePrincipal", "no", "no", "yes"),
    # The principal's id only hints at what it is in the other account.
    "AWSAccount": _Row("awsAccount", "foreignAccount", "unknown", "unknown"),
    "Directory": _Row("directory", "unknown", "no", "no"),
}
_BY_ARN: Final = {
    "root": _Row("root", "unknown", "yes", "no"),
    "user": _Row("iamUser", "unknown", "yes", "no"),
    "assumed-role": _Row("assumedRole", "unknown", "no", "yes"),
    "federated-user": _Row("federatedUser", "unknown", "no", "yes"),
    "role": _Row("role", "unknown", "no", "yes"),
}
_ASSUMED_ROOT: Final = _Row("root", "temporary", "yes", "yes")
# S3 says so of a request that nobody signed.
_ANONYMOUS: Final = _Row("unknown", "unknown", "no", "no")
_ANONYMOUS_ACCOUNTS: Final = frozenset({"ANONYMOUS_PRINCIPAL", "anonymous"})
_NOBODY: Final = _Row("unknown", "unknown", "unknown", "unknown")


@dataclass(frozen=True, slots=True)
class _Named:
    """What an ARN names."""

    kind: str | None = None
    account_id: str | None = None
    path: str = ""

    @property
    def name(self) -> str | None:
        """The user or role, without its path; of a session the role."""
        if self.kind in ("user", "role"):
            return self.path.rpartition("/")[2] or None
        return (self.path.partition("/")[0] or None) if self.kind == "assumed-role" else None

    @property
    def session(self) -> str | None:
        """The session, or the federated user."""
        if self.kind == "assumed-role":
            return self.path.partition("/")[2] or None
        return self.path if self.kind == "federated-user" else None


@dataclass(frozen=True, slots=True)
class _Signs:
    """What a record shows beside the identity's type."""

    invoked_by: str | None
    host: str | None
    linked: str | None
    console: bool
    internal: bool
    # The client writes its agent itself: anybody may give himself out for a service.
    claimed: bool

    @property
    def service(self) -> str | None:
        """The service that is named; the console is none."""
        invoked_by = None if _is_console(self.invoked_by) else self.invoked_by
        return invoked_by or self.host or self.linked


def caller_of(event: RawEvent, view: RecordView) -> Caller:
    """Return who made the call. Whatever the record lacks stays None or `unknown`."""
    identity = _identity(view.user_identity)
    session = members(identity.get("sessionContext"))
    issuer = members(session.get("sessionIssuer"))
    arn = text_of(identity.get("arn"))
    named = _named(arn)
    signs = _signs(event, view, identity, issuer)
    row = _row(event, identity, session, named, signs)
    principal = text_of(identity.get("principalId"))
    account = _account(row.kind, identity, issuer, named, principal)
    user_name = _user_name(row.kind, view, identity, named)
    role_name = _role_name(row.kind, identity, issuer, named)
    session_name = _session_name(row.kind, named, principal)
    # A service that calls by itself is named, also where it is the console's.
    invoked_by = signs.invoked_by if row.kind == "awsService" else None
    invoked_by = invoked_by or signs.service
    scope = members(identity.get("inScopeOf"))
    user = members(identity.get("onBehalfOf"))
    return Caller(
        kind=row.kind,
        credential_kind=row.credential,
        root_or_iam_user=row.user,
        temporary_credentials=row.temporary,
        aws_service=row.service or _service(event, view, signs),
        name=_name(
            row.kind,
            user=user_name,
            role=role_name,
            session=session_name,
            account=account,
            invoked_by=invoked_by or _source_of_service_event(event),
        )
        or _other_name(identity, arn, principal, account),
        account_id=account,
        principal_id=principal,
        arn=arn,
        user_name=user_name,
        role_name=role_name,
        session_name=session_name,
        issuer_type=text_of(issuer.get("type")),
        issuer_arn=text_of(issuer.get("arn")),
        invoked_by=invoked_by,
        identity_provider=text_of(identity.get("identityProvider"))
        or text_of(members(session.get("webIdFederationData")).get("federatedProvider")),
        source_identity=text_of(session.get("sourceIdentity")),
        mfa_authenticated=_mfa(event, view, session),
        console=signs.console,
        cross_account=_is_other_account(event, row.kind, account),
        assumed_root=_is_true(session.get("assumedRoot")),
        issuer_name=text_of(issuer.get("userName")) or _named(text_of(issuer.get("arn"))).name,
        issuer_principal_id=text_of(issuer.get("principalId")),
        issuer_account_id=text_of(issuer.get("accountId")),
        session_created_at=_time(members(session.get("attributes")).get("creationDate")),
        sign_in_session_arn=text_of(session.get("signInSessionArn")),
        ec2_role_delivery=text_of(session.get("ec2RoleDelivery")),
        credential_id=text_of(identity.get("credentialId")),
        on_behalf_of_user_id=text_of(user.get("userId")),
        on_behalf_of_identity_store_arn=text_of(user.get("identityStoreArn")),
        in_scope_of_source_arn=text_of(scope.get("sourceArn")),
        in_scope_of_source_account=text_of(scope.get("sourceAccount")),
        in_scope_of_issuer_type=text_of(scope.get("issuerType")),
        in_scope_of_credentials_issued_to=text_of(scope.get("credentialsIssuedTo")),
        invoked_by_delegate_account_id=text_of(
            members(identity.get("invokedByDelegate")).get("accountId")
        ),
    )


def _identity(value: Any) -> dict[str, Any]:
    """Return the identity's members; a plain string is an ARN or some other id."""
    if isinstance(value, str):
        return {"arn" if value.startswith("arn:") else "principalId": value}
    return members(value)


def _named(arn: str | None) -> _Named:
    found = _ARN.fullmatch(arn or "")
    if found is None:
        return _Named()
    return _Named(found["root"] or found["kind"], found["account"] or None, found["rest"] or "")


# The row: type first, then what the ARN says, then service events.


def _row(
    event: RawEvent,
    identity: dict[str, Any],
    session: dict[str, Any],
    named: _Named,
    signs: _Signs,
) -> _Row:
    if _is_true(session.get("assumedRoot")):
        return _ASSUMED_ROOT
    kind = text_of(identity.get("type"))
    if kind == "AWSAccount" and text_of(identity.get("accountId")) in _ANONYMOUS_ACCOUNTS:
        return _ANONYMOUS
    if kind in ("Root", "IAMUser"):
        return _user_row(_ROWS[kind], event, identity, session, signs)
    if kind in _ROWS:
        return _ROWS[kind]
    if named.kind is not None:
        return _BY_ARN[named.kind]
    if event.event_type == "AwsServiceEvent" or (kind is None and signs.invoked_by):
        return _ROWS["AWSService"]
    return _NOBODY


def _user_row(
    row: _Row,
    event: RawEvent,
    identity: dict[str, Any],
    session: dict[str, Any],
    signs: _Signs,
) -> _Row:
    if _is_sign_in(event):
        return _Row(row.kind, "password", row.user, row.temporary, "no")
    if _says_something(session) or event.event_type == "AwsConsoleAction":
        # GetSessionToken, MFA and console sessions keep the identity of the user behind them.
        return _Row(row.kind, "session", row.user, row.temporary)
    if (text_of(identity.get("accessKeyId")) or "").startswith("ASIA"):
        # A temporary key without a session: the two contradict each other, save in the console.
        credential: CredentialKind = "session" if signs.console else "unknown"
        return _Row(row.kind, credential, row.user, row.temporary)
    return row


def _says_something(session: dict[str, Any]) -> bool:
    """Some writers leave all members in, each of them empty."""
    return any(any(v.values()) if isinstance(v, dict) else v for v in session.values())


def _is_sign_in(event: RawEvent) -> bool:
    # `AwsConsoleSignin` and ConsoleLogin as AwsApiCall occur in AWS's own samples.
    return (event.event_type or "").lower() == "awsconsolesignin" or (
        event.event_source == "signin.amazonaws.com" and event.event_name == "ConsoleLogin"
    )


# The third question.


def _signs(
    event: RawEvent, view: RecordView, identity: dict[str, Any], issuer: dict[str, Any]
) -> _Signs:
    invoked_by = text_of(identity.get("invokedBy"))
    address, agent = text_of(event.source_ip_address), text_of(view.user_agent)
    linked = _SERVICE_LINKED.fullmatch(text_of(issuer.get("arn")) or "")
    return _Signs(
        invoked_by=invoked_by,
        host=address if _is_service_host(address) else None,
        linked=linked["service"] if linked else None,
        console=_is_true(view.session_credential_from_console)
        or _is_console(invoked_by)
        or _is_console(address)
        or _is_console(agent)
        or _is_sign_in(event)
        or event.event_type == "AwsConsoleAction",
        internal=_is_internal(address),
        claimed=_is_service_host(agent) or _is_internal(agent),
    )


def _service(event: RawEvent, view: RecordView, signs: _Signs) -> Answer:
    if signs.linked is not None:
        return "yes"
    if signs.invoked_by is not None:
        if _is_console(signs.invoked_by):
            return "no"
        known = _is_internal(signs.invoked_by) or _is_service_host(signs.invoked_by)
        return "yes" if known else "unknown"
    if signs.host is not None:
        return "yes"
    if signs.internal and not signs.console:
        time = event.event_time
        return "yes" if time is not None and time < _PROXIES_SHOW_INTERNAL_MS else "unknown"
    if signs.claimed and not signs.console:
        return "unknown"
    # That no service is named says nothing where nobody is.
    return "no" if members(view.user_identity) else "unknown"


def _source_of_service_event(event: RawEvent) -> str | None:
    """Return the service where a service tells of itself: many such events name nobody."""
    return event.event_source or None if event.event_type == "AwsServiceEvent" else None


def _is_console(text: str | None) -> bool:
    return text is not None and _CONSOLE_HOST.fullmatch(text) is not None


def _is_service_host(text: str | None) -> bool:
    if text is None or _SERVICE_HOST.fullmatch(text) is None:
        return False
    return not _is_console(text)


def _is_internal(text: str | None) -> bool:
    return text is not None and text.partition("/")[0] == _INTERNAL


# Names and accounts.


def _account(
    kind: CallerKind,
    identity: dict[str, Any],
    issuer: dict[str, Any],
    named: _Named,
    principal: str | None,
) -> str | None:
    given = text_of(identity.get("accountId"))
    if given in _ANONYMOUS_ACCOUNTS:
        return None
    return (
        given
        or text_of(issuer.get("accountId"))
        or named.account_id
        or (
            principal
            if kind in ("root", "awsAccount") and _ACCOUNT.fullmatch(principal or "")
            else None
        )
    )


def _user_name(
    kind: CallerKind, view: RecordView, identity: dict[str, Any], named: _Named
) -> str | None:
    if kind in ("assumedRole", "role", "federatedUser", "awsService"):
        return None
    # The name tried at a failed sign-in is hidden: it may be a password.
    given = shown(identity.get("userName"))
    if given is None and kind == "identityCenterUser":
        # Only its sign-in events say the name, and they say it elsewhere.
        return text_of(members(parsed(view.additional_event_data)).get("UserName"))
    return given or (named.name if named.kind == "user" else None)


def _role_name(
    kind: CallerKind, identity: dict[str, Any], issuer: dict[str, Any], named: _Named
) -> str | None:
    if kind not in ("assumedRole", "role"):
        return None
    return (
        text_of(issuer.get("userName"))
        or _named(text_of(issuer.get("arn"))).name
        or named.name
        or (text_of(identity.get("userName")) if kind == "role" else None)
    )


def _session_name(kind: CallerKind, named: _Named, principal: str | None) -> str | None:
    if named.session is not None or kind not in ("assumedRole", "federatedUser", "awsAccount"):
        return named.session
    return (principal or "").partition(":")[2] or None


def _name(
    kind: CallerKind,
    *,
    user: str | None,
    role: str | None,
    session: str | None,
    account: str | None,
    invoked_by: str | None,
) -> str | None:
    match kind:
        case "root":
            return "root"
        case "assumedRole" | "role":
            return role or session
        case "federatedUser":
            return session
        case "awsAccount":
            return account
        case "awsService":
            return invoked_by
        case _:
            return user


def _other_name(
    identity: dict[str, Any], arn: str | None, principal: str | None, account: str | None
) -> str | None:
    """Return what can stand for a name that the record does not say."""
    return (
        text_of(members(identity.get("onBehalfOf")).get("userId"))
        or arn
        or principal
        or account
        or text_of(identity.get("accountId"))
    )


def _mfa(event: RawEvent, view: RecordView, session: dict[str, Any]) -> bool | None:
    answer = _yes_or_no(members(session.get("attributes")).get("mfaAuthenticated"))
    if answer is None and _is_sign_in(event):
        answer = _yes_or_no(members(parsed(view.additional_event_data)).get("MFAUsed"))
    return answer


def _yes_or_no(value: Any) -> bool | None:
    return value if isinstance(value, bool) else _YES_OR_NO.get((text_of(value) or "").lower())


def _is_true(value: Any) -> bool:
    """CloudTrail writes these members as the string; JSON has a better way."""
    return value is True or value == "true"


def _time(value: Any) -> int | None:
    """Read `2013-11-02T01:06:28Z` and `20131102T010628Z`: both occur, against the reference."""
    text = text_of(value)
    if text is None or _UTC_TIME.fullmatch(text) is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:  # the 31st of February
        return None


def _is_other_account(event: RawEvent, kind: CallerKind, account: str | None) -> bool | None:
    if account is None or event.account_id == "-":
        return None
    if kind == "awsAccount" and account == event.account_id:
        # By its type the caller is of another account: the event's own is then known from
        # nowhere but the caller.
        return None
    return account != event.account_id
