"""What a call of OpsWorks Stacks teaches about stacks (PURE).

From requests, and from responses where a record has them: AWS's own sample of a successful
CreateLayer shows none. What a fact depends on decides what it holds: a layer, an instance or an app
never moves, so that a thousand calls that show its stack are one fact; whatever can change is dated
by the event, and what a description shows of it by the day. Keys and links:
`opstrail_schemas.facts`. Rules by action, at the end: AWS's API model (opsworks, 2013-02-18), and
the user guide on registered resources.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from opstrail_enrich.event_keys import LONGEST_ID, Where
from opstrail_enrich.opsworks_actions import KIND_OF_MEMBER
from opstrail_enrich.opsworks_call import OpsWorksCall, call_of
from opstrail_enrich.record_view import RecordView, members, text_of
from opstrail_enrich.redaction import shown
from opstrail_enrich.stack_members import CHILD_TEXTS, SHOWN_OF_STACK, STACK_FLAGS, STACK_TEXTS
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import RawEvent, StackFact

Rule = Callable[[OpsWorksCall], Iterator[StackFact]]
_MOST_TAGS: Final = 100  # the API takes 40


def facts_of(event: RawEvent, view: RecordView) -> Sequence[StackFact]:
    """Return the facts that a successful call shows, each once, in a fixed order."""
    rules = _RULES.get(event.event_name, ())
    # Nobody knows whose things an event without an account names.
    if not rules or event.account_id == "-":
        return ()
    call = call_of(event, view)
    return [fact for rule in rules for fact in rule(call)]


def links_of_role(
    account_id: str, stack_id: str, attributes: Mapping[str, str]
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
            source="trail",
        )


# Stacks


def _created(call: OpsWorksCall) -> Iterator[StackFact]:
    yield from _made(call, "stackDefined", [])


def _cloned(call: OpsWorksCall) -> Iterator[StackFact]:
    source = call.one("sourceStackId")
    if source is not None:
        of_source = {"object_kind": "stack", "object_id": source}
        yield from _made(call, "stackCloned", [call.key("stack", source)], **of_source)
        for app in call.things("cloneAppIds"):
            yield from call.belongs(app, source)


def _made(
    call: OpsWorksCall, kind: str, leads_to: Sequence[str], **more: Any
) -> Iterator[StackFact]:
    attributes = call.said(STACK_TEXTS, STACK_FLAGS)
    names, roles = call.name_keys(attributes), call.role_keys(attributes)
    stack = call.one("stackId", "response")
    if stack is not None:
        keys = [call.key("stack", stack), *names]
        yield from call.dated(
            kind, keys, leads_to=[*keys, *leads_to], stack_id=stack, attributes=attributes, **more
        )
        yield from links_of_role(call.event.account_id, stack, attributes)
    elif names or roles:
        # Kept by its name until something says which stack it is; its role has one user more.
        yield from call.dated(
            kind,
            [*names, *roles],
            leads_to=[*names, *leads_to],
            attributes=attributes,
            **more,
        )


def _changed(call: OpsWorksCall) -> Iterator[StackFact]:
    stack, attributes = call.one("stackId"), call.said(STACK_TEXTS, STACK_FLAGS)
    if stack is None or not attributes:
        return
    says = {"stack_id": stack, "attributes": attributes}
    if attributes.keys().isdisjoint(SHOWN_OF_STACK):
        yield from call.dated("stackChanged", [call.key("details", stack)], **says)
        return
    keys = [call.key("stack", stack), *call.name_keys(attributes)]
    yield from call.dated("stackChanged", keys, leads_to=keys, **says)
    yield from links_of_role(call.event.account_id, stack, attributes)


def _deleted(call: OpsWorksCall) -> Iterator[StackFact]:
    stack = call.one("stackId")
    if stack is not None:
        yield from call.dated("stackDeleted", [call.key("stack", stack)], stack_id=stack)


def _permitted(call: OpsWorksCall) -> Iterator[StackFact]:
    stack, user = call.one("stackId"), shown(call.request.get("iamUserArn"))
    if stack is not None and user is not None and len(user) <= LONGEST_ID:
        yield from call.about(
            "permission",
            ("user", user),
            [call.key("details", stack)],
            stack_id=stack,
            attributes=call.said(("level",), ("allowSsh", "allowSudo")),
        )


def _tagged(call: OpsWorksCall) -> Iterator[StackFact]:
    tags = members(call.request.get("tags"))
    # A tag may have no value; one whose value is held back says nothing.
    yield from _tags(call, {n: "" if v == "" else shown(v) for n, v in tags.items()})


def _untagged(call: OpsWorksCall) -> Iterator[StackFact]:
    names = call.request.get("tagKeys")
    yield from _tags(
        call, {name: "" for name in names if text_of(name)} if isinstance(names, list) else {}
    )


def _tags(call: OpsWorksCall, tags: Mapping[str, str | None]) -> Iterator[StackFact]:
    attributes = {
        f"tag:{name}": value
        for name, value in tags.items()
        if value is not None and shown(name) and len(name) <= LONGEST_ID
    }
    things = call.things("resourceArn")
    if len(things) == 1 and 0 < len(attributes) <= _MOST_TAGS:
        kind, identifier = things[0]
        yield from call.about(
            "tags",
            things[0],
            [call.key("details", identifier)],
            stack_id=identifier if kind == "stack" else None,
            attributes=attributes,
        )


# What belongs to stacks


def _in_stack(call: OpsWorksCall) -> Iterator[StackFact]:
    stack = call.one("stackId")
    if stack is not None:
        for child in call.children():
            yield from call.belongs(child, stack)


def _seen_in_stack(call: OpsWorksCall) -> Iterator[StackFact]:
    stack = call.one("stackId")
    if stack is not None:
        for child in call.children():
            yield from call.seen(child, stack)


def _named(member: str, where: Where = "request") -> Rule:
    """Return the rule that a call says what its layer, instance or app is called."""
    kind = KIND_OF_MEMBER[member]

    def rule(call: OpsWorksCall) -> Iterator[StackFact]:
        child, attributes = call.one(member, where), call.said(CHILD_TEXTS[kind])
        if child is not None and attributes:
            yield from call.about("childDefined", (kind, child), attributes=attributes)

    return rule


def _gone(member: str) -> Rule:
    """Return the rule that a call deletes what never moves: a detail, its stack stays its stack."""
    kind = KIND_OF_MEMBER[member]

    def rule(call: OpsWorksCall) -> Iterator[StackFact]:
        child = call.one(member)
        if child is not None:
            yield from call.about("childDeleted", (kind, child), [call.key("details", child)])

    return rule


def _ends(member: str) -> Rule:
    """Return the rule that a call ends the link of what can move to another stack."""
    kind = KIND_OF_MEMBER[member]

    def rule(call: OpsWorksCall) -> Iterator[StackFact]:
        child = call.one(member)
        if child is not None:
            yield from call.about("linkEnds", (kind, child))

    return rule


def _same_stack(subject_member: str, object_member: str, *, weak: bool = False) -> Rule:
    """Return the rule that a call names two things of one stack: each tells of the other.

    A weak one tells of the subject only: one page of the guide allows addresses at instances of
    other stacks.
    """

    def rule(call: OpsWorksCall) -> Iterator[StackFact]:
        for subject, other in product(call.things(subject_member), call.things(object_member)):
            mine, theirs = call.key(*subject), call.key(*other)
            yield from call.link(
                "sameStack",
                subject,
                [mine] if weak else [mine, theirs],
                object_kind=other[0],
                object_id=other[1],
                attributes={"strength": "weak"} if weak else {},
                leads_to=[theirs] if weak else [mine, theirs],
            )

    return rule


# By action; what is not here teaches nothing.
_RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "CreateStack": (_created,),
    "CloneStack": (_cloned,),
    "UpdateStack": (_changed,),
    "DeleteStack": (_deleted,),
    "SetPermission": (_permitted,),
    "TagResource": (_tagged,),
    "UntagResource": (_untagged,),
    "CreateLayer": (_in_stack, _named("layerId", "response")),
    "CreateInstance": (_in_stack, _named("instanceId", "response")),
    "CreateApp": (_in_stack, _named("appId", "response")),
    "CreateDeployment": (_in_stack,),
    "UpdateLayer": (_named("layerId"),),
    "UpdateInstance": (_named("instanceId"), _same_stack("instanceId", "layerIds")),
    "UpdateApp": (_named("appId"),),
    "DeleteLayer": (_gone("layerId"),),
    "DeleteInstance": (_gone("instanceId"),),
    "DeleteApp": (_gone("appId"),),
    "AssignInstance": (_same_stack("instanceId", "layerIds"),),
    "RegisterInstance": (_in_stack, _named("instanceId", "response")),
    "DeregisterInstance": (_gone("instanceId"),),
    "RegisterVolume": (_in_stack,),
    "AssignVolume": (_same_stack("volumeId", "instanceId"),),
    "DeregisterVolume": (_ends("volumeId"),),
    "RegisterElasticIp": (_in_stack,),
    "AssociateElasticIp": (_same_stack("elasticIp", "instanceId", weak=True),),
    "DeregisterElasticIp": (_ends("elasticIp"),),
    "AttachElasticLoadBalancer": (_same_stack("elasticLoadBalancerName", "layerId"),),
    "DetachElasticLoadBalancer": (_same_stack("elasticLoadBalancerName", "layerId"),),
    # A description of what is registered with a stack succeeds only where it is so.
    "RegisterRdsDbInstance": (_in_stack,),
    "DescribeRdsDbInstances": (_seen_in_stack,),
    "DeregisterRdsDbInstance": (_ends("rdsDbInstanceArn"),),
    "RegisterEcsCluster": (_in_stack,),
    "DescribeEcsClusters": (_seen_in_stack,),
    "DeregisterEcsCluster": (_ends("ecsClusterArn"),),
}
