"""What a call of OpsWorks Stacks teaches about stacks (PURE).

From requests, and from responses where a record has them: AWS's own sample of a successful
CreateLayer shows none. What a fact depends on decides what it holds: a layer, an instance or an app
never moves, so that a thousand calls that show its stack are one fact; whatever can change is dated
by the event. Keys and links: `opstrail_schemas.facts`. Rules by action: AWS's API model
(opsworks, 2013-02-18), and the user guide on registered resources.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opstrail_enrich.event_keys import LONGEST_ID, Named, named_by
from opstrail_enrich.opsworks_actions import actions
from opstrail_enrich.record_view import RecordView, members, parsed
from opstrail_enrich.redaction import shown
from opstrail_enrich.stack_catalog import MOVES
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import RawEvent, StackFact

_FIXED: Final = frozenset({"layer", "instance", "app", "deployment"})
# Successful calls that name a stack and things: the things are in the stack.
_SHOW_CHILDREN: Final = frozenset(
    {
        "CreateLayer", "CreateInstance", "CreateApp", "CreateDeployment", "RegisterInstance",
        "RegisterVolume", "RegisterElasticIp", "RegisterRdsDbInstance", "RegisterEcsCluster",
        "DescribeRdsDbInstances", "DescribeEcsClusters",
    }
)  # fmt: skip
# Calls that name two things of one stack.
_SAME_STACK: Final = {
    "AssignInstance": ("instance", "layer"),
    "UpdateInstance": ("instance", "layer"),
    "AssignVolume": ("volume", "instance"),
    "AttachElasticLoadBalancer": ("loadBalancer", "layer"),
    "DetachElasticLoadBalancer": ("loadBalancer", "layer"),
    "AssociateElasticIp": ("elasticIp", "instance"),
}
# One page of the guide allows addresses at instances of other stacks.
_WEAK: Final = {"strength": "weak"}
_END_LINKS: Final = frozenset(
    {"DeregisterVolume", "DeregisterElasticIp", "DeregisterRdsDbInstance", "DeregisterEcsCluster"}
)
_DELETE_CHILDREN: Final = frozenset(
    {"DeleteLayer", "DeleteInstance", "DeleteApp", "DeregisterInstance"}
)
_DEFINE_CHILDREN: Final = frozenset(
    {
        "CreateLayer", "UpdateLayer", "CreateApp", "UpdateApp", "CreateInstance", "UpdateInstance",
        "RegisterInstance",
    }
)  # fmt: skip
_CHILD_MEMBERS: Final = {
    "layer": ("name", "shortname"),
    "app": ("name", "shortname"),
    "instance": ("hostname",),
}
# What a document shows of a stack; all else is a detail.
_SHOWN_OF_STACK: Final = frozenset({"name", "region", "vpcId", "serviceRoleArn"})
_STACK_MEMBERS: Final = (
    "name", "region", "vpcId", "serviceRoleArn", "defaultInstanceProfileArn", "defaultOs",
    "hostnameTheme", "defaultAvailabilityZone", "defaultSubnetId", "defaultSshKeyName",
    "defaultRootDeviceType", "agentVersion", "useCustomCookbooks", "useOpsworksSecurityGroups",
    "configurationManager.name", "configurationManager.version",
    "chefConfiguration.manageBerkshelf", "chefConfiguration.berkshelfVersion",
    "customCookbooksSource.type", "customCookbooksSource.url", "customCookbooksSource.revision",
    "attributes.Color",
)  # fmt: skip
_WITH_PASSWORD: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*@")
_MOST_TAGS: Final = 100  # the API takes 40


@dataclass(frozen=True, slots=True)
class _Call:
    """A successful call, and the facts that can be made of it."""

    event: RawEvent
    request: Mapping[str, Any]
    named: Sequence[Named]

    def ids(self, kind: str, where: str | None = None) -> list[str]:
        """Return the ids that it names, markers of redaction left out."""
        found = (n.id for n in self.named if n.kind == kind and where in (None, n.where))
        return [one for one in dict.fromkeys(found) if shown(one)]

    def text(self, path: str) -> str | None:
        """Return a member of the request as a text; a marker is none."""
        value: Any = self.request
        for name in path.split("."):
            value = members(value).get(name)
        if isinstance(value, bool):
            return "true" if value else "false"
        return shown(value)

    def attributes(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the members that are there."""
        found = {path: self.text(path) for path in paths}
        return {
            path: text
            for path, text in found.items()
            if text is not None and not _WITH_PASSWORD.match(text)
        }

    def key(self, kind: str, identifier: str) -> str:
        """Return the key of a thing that it names."""
        return key_of(self.event.account_id, self.event.aws_region, kind, identifier)

    def always(self, kind: str, concerns: Sequence[str], **more: Any) -> StackFact:
        """Return a fact that does not depend on time."""
        return StackFact(
            kind=kind,
            account_id=self.event.account_id,
            concerns=list(concerns),
            source="trail",
            **more,
        )

    def dated(self, kind: str, concerns: Sequence[str], **more: Any) -> Iterator[StackFact]:
        """Yield a fact that holds from the event on; none of an event without a time."""
        if self.event.event_time is not None:
            yield StackFact(
                kind=kind,
                account_id=self.event.account_id,
                aws_region=self.event.aws_region,
                valid_from=self.event.event_time,
                event_id=self.event.event_id,
                concerns=list(concerns),
                source="trail",
                **more,
            )

    def link(
        self, kind: str, of: tuple[str, str], concerns: Sequence[str], **more: Any
    ) -> Iterator[StackFact]:
        """Yield a link of a thing, kind and id: dated where such things can move."""
        subject = {"subject_kind": of[0], "subject_id": of[1]}
        if of[0] in MOVES:
            yield from self.dated(kind, concerns, **subject, **more)
        else:
            yield self.always(kind, concerns, **subject, **more)

    def belongs(self, kind: str, child: str, stack: str) -> Iterator[StackFact]:
        """Yield the link of a thing to its stack."""
        yield from self.link(
            "childBelongs",
            (kind, child),
            [self.key(kind, child)],
            stack_id=stack,
            leads_to=[self.key("stack", stack)],
        )


def facts_of(event: RawEvent, view: RecordView) -> Sequence[StackFact]:
    """Return the facts that a successful call shows, in a fixed order."""
    if event.event_name not in actions():
        return ()
    call = _Call(event, members(parsed(view.request_parameters)), named_by(event, view))
    of_stacks = _OF_STACKS.get(event.event_name)
    return [
        *(of_stacks(call) if of_stacks is not None else ()),
        *_children(call),
        *_same_stack(call),
    ]


def links_of_role(
    account_id: str, stack_id: str, attributes: Mapping[str, str], source: str
) -> Iterator[StackFact]:
    """Yield the link of a stack's service role: whether it holds is the stack's history to say."""
    role = attributes.get("serviceRoleArn")
    if role is not None and len(role) <= LONGEST_ID:
        yield StackFact(
            kind="childBelongs",
            account_id=account_id,
            stack_id=stack_id,
            subject_kind="role",
            subject_id=role,
            concerns=[key_of(account_id, None, "role", role)],
            leads_to=[key_of(account_id, None, "stack", stack_id)],
            source=source,
        )


def shapes_documents(attributes: Mapping[str, str]) -> bool:
    """Return whether a change of these attributes of a stack changes documents."""
    return not _SHOWN_OF_STACK.isdisjoint(attributes)


# Stacks


def _create(call: _Call) -> Iterator[StackFact]:
    yield from _made(call, "stackDefined", [])


def _clone(call: _Call) -> Iterator[StackFact]:
    for source in [n.id for n in call.named if n.member == "sourceStackId"][:1]:
        yield from _made(
            call, "stackCloned", [call.key("stack", source)], object_kind="stack", object_id=source
        )
        for app in call.ids("app"):
            yield from call.belongs("app", app, source)


def _made(call: _Call, kind: str, leads_to: list[str], **more: Any) -> Iterator[StackFact]:
    attributes = call.attributes(_STACK_MEMBERS)
    names = _name_keys(call, attributes)
    stacks = [
        n.id for n in call.named if n.kind == "stack" and n.where == "response" and shown(n.id)
    ]
    if not stacks:
        if names:
            yield from call.dated(kind, names, leads_to=leads_to, attributes=attributes, **more)
        return
    keys = [call.key("stack", stacks[0]), *names]
    yield from call.dated(
        kind, keys, leads_to=[*keys, *leads_to], stack_id=stacks[0], attributes=attributes, **more
    )
    yield from links_of_role(call.event.account_id, stacks[0], attributes, "trail")


def _update(call: _Call) -> Iterator[StackFact]:
    attributes = call.attributes(_STACK_MEMBERS)
    for stack in call.ids("stack", "request") if attributes else ():
        keys = [call.key("stack", stack), *_name_keys(call, attributes)]
        if not shapes_documents(attributes):
            keys = [call.key("details", stack)]
        leads_to = keys if shapes_documents(attributes) else []
        yield from call.dated(
            "stackChanged", keys, leads_to=leads_to, stack_id=stack, attributes=attributes
        )
        yield from links_of_role(call.event.account_id, stack, attributes, "trail")


def _delete(call: _Call) -> Iterator[StackFact]:
    for stack in call.ids("stack", "request"):
        yield from call.dated("stackDeleted", [call.key("stack", stack)], stack_id=stack)


def _permission(call: _Call) -> Iterator[StackFact]:
    user = call.text("iamUserArn")
    for stack in call.ids("stack", "request") if user else ():
        yield from call.dated(
            "permission",
            [call.key("details", stack)],
            stack_id=stack,
            subject_kind="user",
            subject_id=user,
            attributes=call.attributes(("level", "allowSsh", "allowSudo")),
        )


def _tags(call: _Call) -> Iterator[StackFact]:
    tags = {name: shown(value) for name, value in members(call.request.get("tags")).items()}
    removed = call.request.get("tagKeys")
    gone = [name for name in removed if isinstance(name, str)] if isinstance(removed, list) else []
    said = {f"tag:{name}": value for name, value in tags.items() if value is not None}
    said |= {f"tag:{name}": "" for name in gone}
    attributes = {n: v for n, v in list(said.items())[:_MOST_TAGS] if len(n) <= LONGEST_ID}
    for one in call.named if attributes else ():
        if one.where == "arn":
            yield from call.dated(
                "tags",
                [call.key("details", one.id)],
                stack_id=one.id if one.kind == "stack" else None,
                subject_kind=one.kind,
                subject_id=one.id,
                attributes=attributes,
            )


def _name_keys(call: _Call, attributes: Mapping[str, str]) -> list[str]:
    name = attributes.get("name")
    return [call.key("stackName", name)] if name is not None and len(name) <= LONGEST_ID else []


# What belongs to stacks


def _children(call: _Call) -> Iterator[StackFact]:
    name = call.event.event_name
    stacks = call.ids("stack", "request")
    if name in _SHOW_CHILDREN and len(stacks) == 1:
        for kind in sorted(_FIXED | MOVES):
            for child in call.ids(kind):
                yield from call.belongs(kind, child, stacks[0])
    kind = actions()[name].kind
    if name in _DEFINE_CHILDREN:
        attributes = call.attributes(_CHILD_MEMBERS[kind])
        where = "request" if name.startswith("Update") else "response"
        for child in call.ids(kind, where) if attributes else ():
            yield from call.dated(
                "childDefined",
                [call.key(kind, child)],
                subject_kind=kind,
                subject_id=child,
                attributes=attributes,
            )
    if name in _DELETE_CHILDREN:
        for child in call.ids(kind):
            yield from call.dated(
                "childDeleted", [call.key("details", child)], subject_kind=kind, subject_id=child
            )
    if name in _END_LINKS:
        for moving in sorted(MOVES):
            for child in call.ids(moving):
                yield from call.dated(
                    "linkEnds", [call.key(moving, child)], subject_kind=moving, subject_id=child
                )


def _same_stack(call: _Call) -> Iterator[StackFact]:
    kinds = _SAME_STACK.get(call.event.event_name)
    if kinds is None:
        return
    one, other = kinds
    weak = call.event.event_name == "AssociateElasticIp"
    for subject in call.ids(one):
        for object_id in call.ids(other):
            mine, theirs = call.key(one, subject), call.key(other, object_id)
            yield from call.link(
                "sameStack",
                (one, subject),
                [mine] if weak else [mine, theirs],
                object_kind=other,
                object_id=object_id,
                attributes=_WEAK if weak else {},
                leads_to=[theirs] if weak else [mine, theirs],
            )


_OF_STACKS: Final[Mapping[str, Callable[[_Call], Iterator[StackFact]]]] = {
    "CreateStack": _create,
    "CloneStack": _clone,
    "UpdateStack": _update,
    "DeleteStack": _delete,
    "SetPermission": _permission,
    "TagResource": _tags,
    "UntagResource": _tags,
}
