"""One event on one line: when, who, from where, did what, to what, in which account (PURE)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from opstrail_history import times
from opstrail_history.query import DENIED_CODES, SIGN_IN
from opstrail_history.stored_document import below, text, texts

Json = Mapping[str, Any]
Outcome = Literal["allowed", "denied", "failed"]

# What a row is made of: the rest of a document, which may have 4 MiB, stays where it is.
ROW_FIELDS = (
    "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "errorCode",
    "errorMessage", "readOnly", "resources", "requestParameters", "userIdentity.type",
    "userIdentity.arn", "userIdentity.invokedBy", "opstrail.accountId", "opstrail.eventID",
    "opstrail.account", "opstrail.caller", "opstrail.stack", "opstrail.accessKeyId",
    "opstrail.flags", "opstrail.corrects", "opstrail.delivery.storedAt",
)  # fmt: skip
_LONGEST = 300
_MOST_TARGETS = 20
# What requests call the thing that they are about, the likeliest first.
_TARGETS = (
    "bucketName", "roleName", "userName", "roleArn", "functionName", "tableName", "instanceId",
    "groupName", "groupId", "policyName", "policyArn", "keyId", "secretId", "topicArn", "queueUrl",
    "stackName", "stackId", "layerId", "appId", "clusterName", "cluster", "dBInstanceIdentifier",
    "dbInstanceIdentifier", "domainName", "trailName", "resourceArn", "resourceId", "resource",
    "vpcId", "subnetId", "volumeId", "name", "id", "arn",
)  # fmt: skip
# Invisible, or able to turn the text around them: C0, DEL, C1, zero-width, bidi, BOM, tags.
_TRICKS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Who:
    """The caller as a row shows it."""

    name: str
    kind: str
    arn: str | None = None
    role: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """The OpsWorks stack as a row shows it."""

    id: str | None
    name: str | None
    layers: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One event on one line. `time` is ISO 8601 in UTC, as far as the record has one."""

    id: str
    event_id: str
    time: str | None
    who: Who
    address: str | None
    action: str
    source: str
    targets: tuple[str, ...]
    account: str
    account_name: str | None
    region: str | None
    stack: Stack | None
    outcome: Outcome
    error_code: str | None
    read_only: bool | None
    access_key: str | None
    flags: tuple[str, ...]
    corrects: str | None
    stored_at: int | None


def row_of(document_id: str, document: Json) -> Row:
    """Return the row of a document, of which ROW_FIELDS are enough."""
    ours = below(document, "opstrail")
    error_code = text(document.get("errorCode"))
    return Row(
        id=document_id,
        event_id=text(ours.get("eventID")) or "",
        time=_time(document.get("eventTime")),
        who=_who(document, below(ours, "caller")),
        address=text(document.get("sourceIPAddress")),
        action=text(document.get("eventName")) or "",
        source=text(document.get("eventSource")) or "",
        targets=tuple(dict.fromkeys(_targets(document, below(ours, "stack"))))[:_MOST_TARGETS],
        account=text(ours.get("accountId")) or "-",
        account_name=text(below(ours, "account").get("name")),
        region=text(document.get("awsRegion")),
        stack=_stack(below(ours, "stack")),
        outcome=outcome_of(document),
        error_code=error_code,
        read_only=_boolean(document.get("readOnly")),
        access_key=text(ours.get("accessKeyId")),
        flags=tuple(texts(ours.get("flags"))),
        corrects=text(ours.get("corrects")),
        stored_at=_integer(below(ours, "delivery").get("storedAt")),
    )


def outcome_of(document: Json) -> Outcome:
    """Return whether a call was let through, by its error's code; a sign-in's has words alone."""
    code = text(document.get("errorCode"))
    if code is not None:
        return "denied" if code in DENIED_CODES else "failed"
    if text(document.get("errorMessage")) is None:
        return "allowed"
    return "denied" if document.get("eventSource") == SIGN_IN else "failed"


def plain(value: object) -> str:
    """Return text in which nothing is invisible, and nothing turns the text around it.

    What would is shown as its code point: U+202E lets `gpj.exe` look like `exe.jpg`.
    """
    shown = value if isinstance(value, str) else str(value)
    shown = _TRICKS.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", shown)
    return _SURROGATE.sub("\ufffd", shown)


def shortened(value: str, most: int = _LONGEST) -> str:
    """Return at most so many characters of a text."""
    return value if len(value) <= most else f"{value[: most - 1]}…"


def _who(document: Json, caller: Json) -> Who:
    identity = below(document, "userIdentity")
    arn = text(caller.get("arn")) or text(identity.get("arn"))
    kind = text(caller.get("kind")) or "unknown"
    name = (
        text(caller.get("name"))
        or text(caller.get("invokedBy"))
        or text(identity.get("invokedBy"))
        or arn
        or text(identity.get("type"))
        or kind
    )
    return Who(name, kind, arn, text(caller.get("roleName")), text(caller.get("sessionName")))


def _stack(stack: Json) -> Stack | None:
    if not stack:
        return None

    def named(kind: str) -> tuple[str, ...]:
        return tuple(texts(stack.get(f"{kind}Names")) or texts(stack.get(f"{kind}Ids")))

    found = Stack(
        text(stack.get("id")),
        text(stack.get("name")),
        named("layer"),
        named("instance"),
        named("app"),
    )
    return found if found.id or found.name else None


def _targets(document: Json, stack: Json) -> Iterable[str]:
    """Yield what a call was about, the most telling first."""
    shown = {stack.get("id")}
    for kind in ("instance", "app", "layer"):
        shown.update(texts(stack.get(f"{kind}Ids")))
        yield from texts(stack.get(f"{kind}Names")) or texts(stack.get(f"{kind}Ids"))
    resources = document.get("resources")
    if isinstance(resources, list):
        for resource in resources[:_MOST_TARGETS]:
            if isinstance(resource, dict) and (arn := text(resource.get("ARN"))):
                yield shortened(arn)
    request = document.get("requestParameters")
    if isinstance(request, dict):
        for name in _TARGETS:
            target = text(request.get(name))
            if target is not None and target not in shown:
                yield shortened(target)
                return


def _time(value: object) -> str | None:
    """Return a record's time as all others are written, where it is one."""
    written = text(value)
    if written is None:
        return None
    try:
        return times.iso(times.milliseconds(datetime.fromisoformat(written)))
    except (ValueError, OverflowError):
        return shortened(written, 40)


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
