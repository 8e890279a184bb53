"""What one can ask for: the filters, each with the fields that it looks at (PURE)."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from opstrail_history import times
from opstrail_history.free_text import Clause, clauses_of
from opstrail_history.refusals import BadQuery

Kind = Literal["word", "source", "address", "reads", "outcome"]
LONGEST_VALUE = 512
MOST_VALUES = 100  # of all filters together


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: its name in links, what it looks at, and what it says."""

    name: str
    fields: tuple[str, ...]
    why: str
    kind: Kind = "word"
    choices: tuple[str, ...] = ()


_CALLER = "opstrail.caller"
_STACK = "opstrail.stack"
_ANSWERS = ("yes", "no", "unknown")

FILTERS = (
    Filter("account", ("opstrail.accountId", "opstrail.account.name"), "Account: number or name."),
    Filter("region", ("awsRegion",), "Region that the request was made to."),
    Filter("name", ("eventName",), "Event name, such as `CreateStack`."),
    Filter("source", ("eventSource",), "Service: `s3`, or `s3.amazonaws.com`.", "source"),
    # As CloudTrail has it, the name of a role's session is a user name too.
    Filter("user", (f"{_CALLER}.userName", f"{_CALLER}.name", f"{_CALLER}.arn",
                    f"{_CALLER}.sessionName"),
           "User: name, ARN of the caller, or name of the session."),
    Filter("role", (f"{_CALLER}.roleName", f"{_CALLER}.issuerArn"), "Role: name or ARN."),
    Filter("session", (f"{_CALLER}.sessionName",), "Name of the role session."),
    Filter("accessKey", ("opstrail.accessKeyId", "opstrail.issuedAccessKeyId"),
           "Access key id that was used, or issued."),
    Filter("callerKind", (f"{_CALLER}.kind",), "Caller kind, such as `assumedRole`."),
    Filter("credentialKind", (f"{_CALLER}.credentialKind",), "Kind of credentials."),
    Filter("rootOrIamUser", (f"{_CALLER}.rootOrIamUser",),
           "With root or IAM user credentials?", choices=_ANSWERS),
    Filter("temporaryCredentials", (f"{_CALLER}.temporaryCredentials",),
           "With temporary credentials of a role or federated user?", choices=_ANSWERS),
    Filter("awsService", (f"{_CALLER}.awsService",), "By another AWS service?", choices=_ANSWERS),
    Filter("resource", ("resources.ARN", f"{_STACK}.id", f"{_STACK}.layerIds",
                        f"{_STACK}.instanceIds", f"{_STACK}.appIds", f"{_STACK}.deploymentId",
                        "requestParameters"),
           "Resource: its ARN, or its id or name as the request says it."),
    Filter("resourceType", ("resources.type", f"{_STACK}.resourceKind"), "Type of the resource."),
    Filter("stack", (f"{_STACK}.id", f"{_STACK}.name"), "OpsWorks stack: id or name."),
    Filter("layer", (f"{_STACK}.layerIds", f"{_STACK}.layerNames"), "Layer: id or name."),
    Filter("instance", (f"{_STACK}.instanceIds", f"{_STACK}.instanceNames"),
           "Instance: id or name."),
    Filter("app", (f"{_STACK}.appIds", f"{_STACK}.appNames"), "App: id or name."),
    Filter("readOnly", ("readOnly",), "`no`: calls that change something.", "reads",
           ("yes", "no")),
    Filter("outcome", ("errorCode",), "Whether the call was let through.", "outcome",
           ("allowed", "denied", "failed")),
    Filter("errorCode", ("errorCode",), "Error code, such as `AccessDenied`."),
    Filter("sourceIP", ("sourceIPAddress",), "Address, CIDR, or host name.", "address"),
    Filter("eventId", ("opstrail.eventID",), "Event id."),
    Filter("sharedEventId", ("sharedEventID",), "Id that joins the records of one call."),
    Filter("requestId", ("requestID",), "Request id."),
    Filter("category", ("eventCategory",), "Management, Data or NetworkActivity."),
    Filter("eventType", ("eventType",), "AwsApiCall, AwsConsoleSignIn and others."),
    Filter("flag", ("opstrail.flags",), "What is odd about the record."),
)  # fmt: skip
BY_NAME: Mapping[str, Filter] = {one.name: one for one in FILTERS}
# Names that may stand before a colon in the free text.
_IN_TEXT = frozenset(BY_NAME)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a filter: `!` before it excludes, `*` behind it asks for a beginning."""

    text: str
    excluded: bool = False
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """One question. Values of one filter are alternatives, filters narrow each other.

    `since_ms` is in it, `until_ms` is not; without either, events without a time belong too.
    `asked_ms` is when it was asked: what `2h` ago was counted from.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    text: tuple[Clause, ...] = ()
    asked_ms: int = 0

    def without(self, *names: str) -> "Filters":
        """Return the question without some filters."""
        kept = {name: values for name, values in self.values.items() if name not in names}
        return replace(self, values=kept)

    def canonical(self) -> str:
        """Return a text that two questions share when they are the same."""
        return repr((self.since_ms, self.until_ms, sorted(self.values.items()), self.text))


def filters_of(
    values: Mapping[str, Sequence[str]],
    *,
    since: str | None,
    until: str | None,
    text: str | None,
    now_ms: int,
) -> Filters:
    """Return the question of a request. Raises BadQuery."""
    since_ms = times.since(since, now_ms=now_ms) if since else None
    until_ms = times.until(until, now_ms=now_ms) if until else None
    if since_ms is not None and until_ms is not None and since_ms > until_ms:
        raise BadQuery("since is later than until", field="since")
    if sum(map(len, values.values())) > MOST_VALUES:
        raise BadQuery(f"at most {MOST_VALUES} values of filters in one question")
    parsed = {
        name: tuple(_value(BY_NAME[name], one) for one in dict.fromkeys(texts))
        for name, texts in values.items()
        if texts
    }
    clauses = tuple(map(_checked, clauses_of(text or "", _IN_TEXT)))
    return Filters(since_ms, until_ms, parsed, clauses, now_ms)


def _checked(clause: Clause) -> Clause:
    """Return a clause whose filter, where it has one, takes its value as it takes any other."""
    if clause.field is None:
        return clause
    value = _value(BY_NAME[clause.field], clause.text + "*" * clause.prefix)
    return replace(
        clause, text=value.text, prefix=value.prefix, excluded=clause.excluded != value.excluded
    )


def _value(one: Filter, text: str) -> Value:
    excluded = text.startswith("!")
    word = text[excluded:]
    if not word or len(word) > LONGEST_VALUE:
        raise BadQuery(f"{one.name}: a value needs 1 to {LONGEST_VALUE} characters", field=one.name)
    if one.choices:
        if word not in one.choices:
            raise BadQuery(f"{one.name} is one of {', '.join(one.choices)}", field=one.name)
        return Value(word, excluded)
    if one.kind == "address" and "/" in word:
        return Value(_network(word), excluded)
    if one.kind == "source" and "." not in word and not word.endswith("*"):
        return Value(f"{word}.amazonaws.com", excluded)
    if word[0] in "*?":
        raise BadQuery(
            f"{one.name}: a value cannot begin with `{word[0]}`; `abc*` finds beginnings",
            field=one.name,
        )
    return Value(word.removesuffix("*"), excluded, prefix=word.endswith("*"))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise BadQuery(f"sourceIP: `{text[:50]}` is no CIDR block", field="sourceIP") from error


def parameters(filters: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return pairs of a link as values by name, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in filters:
        found.setdefault(name, []).append(value)
    return found
