"""Which stack a call was about, as of its own time (PURE).

Of a call of OpsWorks, in this order: the request's stackId, the response's, stackIds with one
element, an ARN, then the link of the most specific id; a creation whose record shows no id, by its
name. Ids that point to different stacks are a conflict: no stack is chosen. CloneStack names two
stacks; it is about the new one. Calls of other services that OpsWorks makes are a stack's where
their role is that of exactly one: `inferred`. A creation whose record shows no id is one user of
its role too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from opstrail_enrich.event_keys import CREATE_STACKS, Named
from opstrail_enrich.opsworks_actions import actions
from opstrail_enrich.stack_catalog import MOVES, Creation, StackCatalog
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import RawEvent, StackInfo

_SUREST_FIRST: Final = ("request", "response", "arn")
_MOST_SPECIFIC_FIRST: Final = (
    "instance", "layer", "app", "deployment", "volume", "ec2Volume", "elasticIp", "loadBalancer",
    "rds", "ecsCluster", "raidArray",
)  # fmt: skip
_NAME_OF: Final = {"layer": "name", "instance": "hostname", "app": "name"}


def stack_info(event: RawEvent, named: Sequence[Named], catalog: StackCatalog) -> StackInfo:
    """Return the stack of a call of OpsWorks, and what else it names."""
    action = actions().get(event.event_name)
    points = list(_points(event, named, catalog))
    pointed = dict.fromkeys(stack_id for stack_id, _ in points)
    only = next(iter(pointed)) if len(pointed) == 1 else None
    source = {one.id for one in named if one.member == "sourceStackId"}
    perhaps = set() if pointed else _perhaps(event, named, catalog)
    deployments = _ids(named, "deployment")
    return msgspec.structs.replace(
        _of_stack(event, only, catalog, _created(event, named, catalog)),
        layer_ids=_ids(named, "layer"),
        layer_names=_names(event, named, "layer", catalog),
        instance_ids=_ids(named, "instance"),
        instance_names=_names(event, named, "instance", catalog),
        app_ids=_ids(named, "app"),
        app_names=_names(event, named, "app", catalog),
        deployment_id=deployments[0] if len(deployments) == 1 else None,
        resource_kind=None if action is None else action.kind,
        access=None if action is None else action.access,
        resolution="none" if only is None else points[0][1],
        candidates=sorted({*pointed, *source, *_listed(named), *perhaps}),
        conflict=len(pointed) > 1,
    )


def stack_of_role(event: RawEvent, arn: str, catalog: StackCatalog) -> StackInfo | None:
    """Return the stack that OpsWorks called another service for; None where the role is none's."""
    users = catalog.users_of_role(event.account_id, arn, event.event_time)
    if not users.any:
        return None
    return msgspec.structs.replace(
        _of_stack(event, users.only, catalog, {}),
        resolution="none" if users.only is None else "inferred",
        candidates=list(users.candidates),
    )


def _of_stack(
    event: RawEvent, stack_id: str | None, catalog: StackCatalog, created: Mapping[str, str]
) -> StackInfo:
    """Return what is known of the stack; of one without id what its creation says."""
    attributes, status = created, "active" if created else None
    if stack_id is not None:
        state = catalog.stack(event.account_id, stack_id, event.event_time)
        attributes, status = state.attributes, state.status
    return StackInfo(
        id=stack_id,
        name=attributes.get("name"),
        region=attributes.get("region"),
        status=status,
        service_role_arn=attributes.get("serviceRoleArn"),
        vpc_id=attributes.get("vpcId"),
        resolution="none",
    )


def _created(event: RawEvent, named: Sequence[Named], catalog: StackCatalog) -> Mapping[str, str]:
    for creation in _creations(event, named, catalog):
        return creation.fact.attributes
    return {}


def _creations(
    event: RawEvent, named: Sequence[Named], catalog: StackCatalog
) -> Iterator[Creation]:
    """Yield what the facts say of a call that makes a stack and shows no id, at most once."""
    for name in _ids(named, "stackName"):
        key = key_of(event.account_id, event.aws_region, "stackName", name)
        creation = catalog.created_by(key, event.event_id)
        if creation is not None:
            yield creation


def _points(
    event: RawEvent, named: Sequence[Named], catalog: StackCatalog
) -> Iterator[tuple[str, str]]:
    """Yield every stack that an id of the event points to, and the way, the surest first."""
    said = set()
    direct = [one for one in named if one.kind == "stack" and one.member != "sourceStackId"]
    listed = _listed(named)
    for one in sorted(direct, key=lambda one: _SUREST_FIRST.index(one.where)):
        if one.member != "stackIds" or len(listed) == 1:
            said.add(one.id)
            yield one.id, one.where
    if event.event_name in CREATE_STACKS:  # the apps that a clone names are the source's
        for creation in _creations(event, named, catalog):
            if creation.stack_id is not None:
                yield creation.stack_id, "name"
        return
    for kind, key in _children(event, named):
        found = catalog.stacks_of(kind, key, event.event_time)
        if kind in MOVES and found & said:  # in the second in which a thing moves it may be in two
            found &= said
        for stack_id in sorted(found):
            yield stack_id, kind


def _perhaps(event: RawEvent, named: Sequence[Named], catalog: StackCatalog) -> set[str]:
    if event.event_name in CREATE_STACKS:
        found = (creation.candidates for creation in _creations(event, named, catalog))
        return set().union(*found)
    return {
        stack_id
        for _, key in _children(event, named)
        for stack_id in catalog.perhaps_stacks_of(key, event.event_time)
    }


def _children(event: RawEvent, named: Sequence[Named]) -> Iterator[tuple[str, str]]:
    for kind in _MOST_SPECIFIC_FIRST:
        for identifier in _ids(named, kind):
            yield kind, key_of(event.account_id, event.aws_region, kind, identifier)


def _listed(named: Sequence[Named]) -> list[str]:
    return [one.id for one in named if one.member == "stackIds"]


def _ids(named: Sequence[Named], kind: str) -> list[str]:
    return list(dict.fromkeys(one.id for one in named if one.kind == kind))


def _names(event: RawEvent, named: Sequence[Named], kind: str, catalog: StackCatalog) -> list[str]:
    keys = (key_of(event.account_id, event.aws_region, kind, one) for one in _ids(named, kind))
    known = (catalog.attributes(key, event.event_time).get(_NAME_OF[kind]) for key in keys)
    return [name for name in known if name is not None]
