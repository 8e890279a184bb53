"""The shape of an identity: which members it has and in what form, and the signs beside it.

A shape holds no name, no id and no time: two records of one shape differ in nothing that decides
who called. A member that nobody thought of, or one of another type, makes another shape.
"""

import re
from typing import Any

TYPES = (
    "Root", "IAMUser", "AssumedRole", "Role", "FederatedUser", "SAMLUser", "WebIdentityUser",
    "IdentityCenterUser", "AWSAccount", "AWSService", "Directory", "Unknown",
)  # fmt: skip
_ISSUERS = ("Root", "IAMUser", "Role")
_EVENTS = ("AwsApiCall", "AwsServiceEvent", "AwsConsoleAction", "AwsConsoleSignIn")
_SHORT = {
    "accessKeyId": "key",
    "accountId": "account",
    "principalId": "id",
    "sessionContext": "session",
    "sessionIssuer": "issuer",
    "userName": "name",
    "webIdFederationData": "web",
}
_ISSUER_MEMBERS = frozenset(("accountId", "arn", "principalId", "type", "userName"))
_ARN = re.compile(
    r"arn:(aws[a-z-]*):(?:iam|sts)::\d+:"
    r"(root|(?:user|assumed-role|federated-user|role(?:/aws-service-role(?=/.+/))?)(?=/.))"
)
_ID = re.compile(r"(AIDA|AROA)[A-Z0-9]+")
_CONSOLE = re.compile(r"(signin|console)\.([a-z0-9-]+\.)?amazonaws\.com(\.cn)?")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")
_PROXIES_SHOW_INTERNAL = "2022-02-24"


def shape_of(record: dict[str, Any]) -> tuple[str, str]:
    """Return the shape of a record's identity, and that of the signs beside it, as words."""
    identity = record.get("userIdentity")
    return _identity(identity), _signs(record, identity if isinstance(identity, dict) else {})


def account_of(record: dict[str, Any]) -> str:
    """Return the account that got the record, where no object key tells it."""
    identity = record.get("userIdentity")
    given = identity.get("accountId") if isinstance(identity, dict) else None
    return record.get("recipientAccountId") or given or "-"


def _identity(identity: Any) -> str:
    if not isinstance(identity, dict):
        return "nobody" if identity is None else f"a {type(identity).__name__}"
    kind = identity.get("type")
    first = "typeless" if kind is None else kind if kind in TYPES else "another"
    rest = (_member(*item) for item in identity.items() if item[0] not in ("type", "invokedBy"))
    return " ".join((first, *sorted(rest)))


def _member(name: str, value: Any) -> str:
    short = _SHORT.get(name, name)
    if isinstance(value, dict):
        return _object(name, short, value)
    if not isinstance(value, str):
        return f"{short}={type(value).__name__}"
    if not value:
        return f"{short}=empty"
    form = _FORMS[name](value) if name in _FORMS else ""
    return f"{short}={form}" if form else short


def _object(name: str, short: str, value: dict[str, Any]) -> str:
    texts = all(isinstance(inner, str) for inner in value.values())
    if name == "sessionIssuer" and texts and value.keys() == _ISSUER_MEMBERS:
        kind = value["type"] if value["type"] in _ISSUERS else "other"
        return f"issuer={kind}/{_arn(value['arn'])}"
    if name == "attributes" and texts and value.keys() == {"creationDate", "mfaAuthenticated"}:
        return "attributes"
    return f"{short}({','.join(sorted(_member(*item) for item in value.items()))})"


def _arn(text: str) -> str:
    found = _ARN.match(text)
    return f"{found[1]}:{found[2]}" if found else "other"


def _principal(text: str) -> str:
    first, colon, _ = text.partition(":")
    found = _ID.fullmatch(first)
    kind = found[1] if found else "account" if re.fullmatch(r"\d{12}", first) else "other"
    return "service" if _SERVICE.fullmatch(text) else kind + (":session" if colon else "")


def _key(text: str) -> str:
    return text[:4] if text[:4] in ("AKIA", "ASIA") else "other"


def _user(text: str) -> str:
    return "hidden" if text == "HIDDEN_DUE_TO_SECURITY_REASONS" else ""


_FORMS = {"arn": _arn, "principalId": _principal, "accessKeyId": _key, "userName": _user}


def _signs(record: dict[str, Any], identity: dict[str, Any]) -> str:
    hosts = {
        "by": _host(identity.get("invokedBy")),
        "source": _host(record.get("sourceIPAddress")),
        "agent": _host(record.get("userAgent")),
    }
    words = [_event(record)]
    if hosts["by"] is None and "invokedBy" in identity:
        hosts["by"] = "other"
    words += [f"{name}={host}" for name, host in hosts.items() if host]
    if "internal" in (hosts["source"], hosts["agent"]) and hosts["by"] is None:
        time = record.get("eventTime")
        if not isinstance(time, str):
            words.append("undated")
        else:
            words.append("late" if time >= _PROXIES_SHOW_INTERNAL else "early")
    if record.get("sessionCredentialFromConsole") == "true":
        words.append("fromConsole")
    given = identity.get("accountId")
    if given is not None and given != account_of(record):
        words.append("foreign")
    data = record.get("additionalEventData")
    if isinstance(data, dict) and "UserName" in data:
        words.append("UserName")
    return " ".join(words)


def _event(record: dict[str, Any]) -> str:
    kind = record.get("eventType")
    if kind == "AwsConsoleSignin":  # AWS spells it so too
        return "AwsConsoleSignIn"
    if record["eventName"] == "ConsoleLogin" and kind != "AwsConsoleSignIn":
        return "ConsoleLogin"
    return kind if kind in _EVENTS else "event"


def _host(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    if _CONSOLE.fullmatch(text):
        return "console"
    if _SERVICE.fullmatch(text):
        return "service"
    return "internal" if re.fullmatch(r"AWS Internal(/\d+)?", text) else None
