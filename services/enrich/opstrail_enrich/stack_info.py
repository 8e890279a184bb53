"""Which stack a call of OpsWorks was about, as of its own time (PURE).

In this order: the request's stackId, the response's, stackIds with one element, an ARN, then the
link of the most specific id. Ids that point to different stacks are a conflict: no stack is
chosen. CloneStack names two stacks; it is about the new one, which only the response shows.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from opstrail_enrich.event_keys import Named
from opstrail_enrich.opsworks_actions import actions
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import RawEvent, StackInfo

_MOST_SPECIFIC_FIRST: Final = (
    "instance", "layer", "app", "deployment", "volume", "elasticIp", "loadBalancer", "rds",
    "ecsCluster", "raidArray",
)  # fmt: skip
_NAME_OF: Final = {"layer": "name", "instance": "hostname", "app": "name"}


def stack_info(event: RawEvent, named: Sequence[Named], catalog: StackCatalog) -> StackInfo:
    """Return the stack of a call of OpsWorks, and what else it names."""
    action = actions().get(event.event_name)
    points = list(_points(event, named, catalog))
    source = {one.id for one in named if one.member == "sourceStackId"}
    pointed = dict.fromkeys(stack_id for stack_id, _ in points)
    conflict = len(pointed) > 1
    only = next(iter(pointed)) if len(pointed) == 1 else None
    state = None if only is None else catalog.stack(event.account_id, only, event.event_time)
    attributes = {} if state is None else state.attributes
    deployments = _ids(named, "deployment")
    return StackInfo(
        id=only,
        name=attributes.get("name"),
        region=attributes.get("region"),
        status=None if state is None else state.status,
        service_role_arn=attributes.get("serviceRoleArn"),
        vpc_id=attributes.get("vpcId"),
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
        candidates=sorted({*pointed, *source, *_listed(named)}),
        conflict=conflict,
    )


def _points(
    event: RawEvent, named: Sequence[Named], catalog: StackCatalog
) -> Iterator[tuple[str, str]]:
    """Yield every stack that an id of the event points to, and the way, the surest first."""
    direct = [one for one in named if one.kind == "stack" and one.member != "sourceStackId"]
    listed = _listed(named)
    for one in sorted(direct, key=lambda one: ("request", "response", "arn").index(one.where)):
        if one.member != "stackIds" or len(listed) == 1:
            yield one.id, one.where
    if event.event_name == "CloneStack":  # the apps that it names are the source's
        return
    for kind in _MOST_SPECIFIC_FIRST:
        for identifier in _ids(named, kind):
            key = key_of(event.account_id, event.aws_region, kind, identifier)
            for stack_id in sorted(catalog.stacks_of(kind, key, event.event_time)):
                yield stack_id, kind


def _listed(named: Sequence[Named]) -> list[str]:
    return [one.id for one in named if one.member == "stackIds"]


def _ids(named: Sequence[Named], kind: str) -> list[str]:
    return list(dict.fromkeys(one.id for one in named if one.kind == kind))


def _names(event: RawEvent, named: Sequence[Named], kind: str, catalog: StackCatalog) -> list[str]:
    keys = (key_of(event.account_id, event.aws_region, kind, one) for one in _ids(named, kind))
    known = (catalog.attributes(key, event.event_time).get(_NAME_OF[kind]) for key in keys)
    return [name for name in known if name is not None]
