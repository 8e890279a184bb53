"""What an event names that a fact can be about (PURE). Keys: see `opstrail_schemas.facts`."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from opstrail_enrich.opsworks_actions import KIND_OF_MEMBER, SOURCE, actions
from opstrail_enrich.record_view import RecordView, members, parsed, text_of
from opstrail_schemas.facts import account_key, key_of
from opstrail_schemas.messages import Caller, RawEvent

# Bounds what one record can make of itself: a request of 4 MiB could list 100,000 ids, and the
# enriched message must stay under 8 MiB. The API takes lists of a few dozen.
MOST_NAMED = 1_000
LONGEST_ID = 512
CREATE_STACKS = frozenset({"CreateStack", "CloneStack"})
# With and without a slash at the end: AWS's guide shows both.
_ARN = re.compile(
    r"arn:[a-z0-9-]+:opsworks:[a-z0-9-]*:\d*:(?P<kind>stack|layer|instance|app)/(?P<id>[^/]+)/?",
    re.ASCII,
)


Where = Literal["request", "response", "arn", "caller"]


class Named(NamedTuple):
    """One thing that an event names, and where it does."""

    kind: str
    id: str
    where: Where
    member: str


def is_opsworks(event: RawEvent) -> bool:
    """Return whether it is a call of OpsWorks Stacks."""
    return event.event_source == SOURCE


def named_by(event: RawEvent, view: RecordView) -> tuple[Named, ...]:
    """Return what a call of OpsWorks Stacks names, each once, in the action's own order."""
    if not is_opsworks(event):
        return ()
    action = actions().get(event.event_name)
    if action is None:
        return ()
    request = parsed(view.request_parameters)
    found = [
        *_from_members(action.request, request, "request"),
        *_from_members(action.response, parsed(view.response_elements), "response"),
        *_from_resources(parsed(view.resources)),
    ]
    if event.event_name in CREATE_STACKS and not any(one.where == "response" for one in found):
        # The record does not show which stack came of it: its name is all there is.
        found += (Named("stackName", name, "request", "name") for name in _ids(_name(request)))
    return tuple(dict.fromkeys(found))[:MOST_NAMED]


def role_named_by(caller: Caller) -> Named | None:
    """Return the role that a call of another service was made with: it may be a stack's.

    Roles of other services (`/aws-service-role/`) are none that OpsWorks could use.
    """
    arn = caller.issuer_arn
    if arn is None or len(arn) > LONGEST_ID or ":role/" not in arn:
        return None
    return None if ":role/aws-service-role/" in arn else Named("role", arn, "caller", "issuerArn")


def keys_of(event: RawEvent, named: Iterable[Named]) -> tuple[str, ...]:
    """Return the keys of an event: its account's first, then of each thing once."""
    keys = [] if event.account_id == "-" else [account_key(event.account_id)]
    keys += [key_of(event.account_id, event.aws_region, one.kind, one.id) for one in named]
    return tuple(dict.fromkeys(keys))


def _from_members(names: Iterable[str], value: Any, where: Where) -> Iterator[Named]:
    for name in names:
        kind = KIND_OF_MEMBER.get(name)
        if kind is None:  # iamUserArn: of an account, not of a stack
            continue
        for identifier in _ids(_member(value, name)):
            if kind == "arn":
                yield from _from_arn(identifier, name)
            else:
                yield Named(kind, identifier, where, name)


def _name(request: Any) -> Any:
    return members(request).get("name")


def _member(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = members(value).get(name)
    return value


def _ids(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for one in values if (text := text_of(one)) and len(text) <= LONGEST_ID]


def _from_arn(arn: str, member: str) -> Iterator[Named]:
    found = _ARN.fullmatch(arn)
    if found is not None:
        yield Named(found["kind"], found["id"], "arn", member)


def _from_resources(value: Any) -> Iterator[Named]:
    for resource in value if isinstance(value, list) else ():
        for arn in _ids(members(resource).get("ARN")):
            yield from _from_arn(arn, "resources")
