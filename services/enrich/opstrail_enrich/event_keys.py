"""What an event names that a fact can be about (PURE). Keys: see `opstrail_schemas.facts`."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from opstrail_enrich.opsworks_actions import KIND_OF_MEMBER, SOURCE, actions
from opstrail_enrich.record_view import RecordView, members, parsed, text_of
from opstrail_schemas.facts import account_key, key_of
from opstrail_schemas.messages import RawEvent

# Bounds what one record can make of itself: a request of 4 MiB could list 100,000 ids, and the
# enriched message must stay under 8 MiB. The API takes lists of a few dozen.
MOST_NAMED = 1_000
LONGEST_ID = 512
# With and without a slash at the end: AWS's guide shows both.
_ARN = re.compile(
    r"arn:[a-z0-9-]+:opsworks:[a-z0-9-]*:\d*:(?P<kind>stack|layer|instance|app)/(?P<id>[^/]+)/?",
    re.ASCII,
)


class Named(NamedTuple):
    """One thing that an event names, and where it does."""

    kind: str
    id: str
    where: Literal["request", "response", "arn"]
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
    found = [
        *_from_members(action.request, parsed(view.request_parameters), "request"),
        *_from_members(action.response, parsed(view.response_elements), "response"),
        *_from_resources(parsed(view.resources)),
    ]
    return tuple(dict.fromkeys(found))[:MOST_NAMED]


def keys_of(event: RawEvent, named: Iterable[Named]) -> tuple[str, ...]:
    """Return the keys of an event: its account's first, then of each thing once."""
    keys = [] if event.account_id == "-" else [account_key(event.account_id)]
    keys += [key_of(event.account_id, event.aws_region, one.kind, one.id) for one in named]
    return tuple(dict.fromkeys(keys))


def _from_members(
    names: Iterable[str], value: Any, where: Literal["request", "response"]
) -> Iterator[Named]:
    for name in names:
        kind = KIND_OF_MEMBER.get(name)
        if kind is None:  # iamUserArn: of an account, not of a stack
            continue
        for identifier in _ids(_member(value, name)):
            if kind == "arn":
                yield from _from_arn(identifier, name)
            else:
                yield Named(kind, identifier, where, name)


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
