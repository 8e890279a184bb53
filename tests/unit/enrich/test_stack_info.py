"""Which stack a call was about: the order of ways, conflicts, names as of the event's time."""

import json
from collections.abc import Iterable

import pytest

from opstrail_enrich.enrichment import RULES_VERSION, Catalogs, enrich
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.learning import facts_of
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, RawEvent, StackFact, StackInfo
from tests.support.enriching import (
    ACCOUNT,
    INSTANCE,
    LAYER,
    OTHER_STACK,
    STACK,
    T0,
    child_belongs,
    opsworks_event,
    raw_event,
    stack_defined,
)

ARN = f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/"
KNOWN = [
    stack_defined(
        name="shop-prod", region="eu-west-1", vpcId="vpc-1", serviceRoleArn="arn:aws:iam::1:role/r"
    ),
    child_belongs("instance", INSTANCE, region=None, hostname="web1"),
    child_belongs("layer", LAYER, region=None, name="Web"),
    child_belongs("app", "a-1", region=None, name="Shop"),
    child_belongs("instance", "elsewhere", OTHER_STACK, region=None),
]


def catalogs(*facts: StackFact) -> Catalogs:
    known = Catalogs(stack_facts_offset=7, accounts_offset=3)
    for fact in facts:
        known.stacks.facts.add(digest_of(fact), fact)
    return known


def a_stack(name: str) -> StackFact:
    """Return what an inventory tells of a stack."""
    answer = {"Stacks": [{"StackId": STACK, "Name": name, "Region": "us-east-1"}]}
    [fact] = stack_facts([Saved("s.json", json.dumps(answer))], account_id=ACCOUNT)
    return fact


def catalogs_of(facts: Iterable[StackFact | Account]) -> Catalogs:
    return catalogs(*(fact for fact in facts if isinstance(fact, StackFact)))


def stack_of(event: RawEvent, *facts: StackFact) -> StackInfo:
    stack = enrich(event, catalogs(*(facts or KNOWN))).stack
    assert stack is not None
    return stack


@pytest.mark.parametrize(
    ("event", "stack_id", "way", "candidates"),
    [
        (opsworks_event("StopStack", {"stackId": STACK}), STACK, "request", [STACK]),
        (opsworks_event("CreateStack", {"name": "x"}, {"stackId": STACK}), STACK, "response",
         [STACK]),
        (opsworks_event("DescribeStacks", {"stackIds": [STACK]}), STACK, "request", [STACK]),
        (opsworks_event("DescribeStacks", {"stackIds": [STACK, OTHER_STACK]}), None, "none",
         [STACK, OTHER_STACK]),
        (opsworks_event("ListTags", {"resourceArn": ARN}), STACK, "arn", [STACK]),
        (opsworks_event("StopInstance", {"instanceId": INSTANCE}), STACK, "instance", [STACK]),
        (opsworks_event("UpdateLayer", {"layerId": LAYER}), STACK, "layer", [STACK]),
        (opsworks_event("AssignInstance", {"instanceId": INSTANCE, "layerIds": [LAYER]}), STACK,
         "instance", [STACK]),
        (opsworks_event("StopInstance", {"instanceId": "nobody's"}), None, "none", []),
        (opsworks_event("CreateStack", {"name": "x"}), None, "none", []),
        (opsworks_event("CreateUserProfile", {"iamUserArn": "x"}), None, "none", []),
        (opsworks_event("CloneStack", {"sourceStackId": STACK}, {"stackId": OTHER_STACK}),
         OTHER_STACK, "response", [STACK, OTHER_STACK]),
        (opsworks_event("CloneStack", {"sourceStackId": STACK, "cloneAppIds": ["a-1"]}), None,
         "none", [STACK]),
        (opsworks_event("ActionOfTomorrow", {"stackId": STACK}), None, "none", []),
    ],
)  # fmt: skip
def test_a_stack_is_found_by_the_surest_way(
    event: RawEvent, stack_id: str | None, way: str, candidates: list[str]
) -> None:
    stack = stack_of(event)

    assert (stack_id, way, candidates, False) == (
        stack.id,
        stack.resolution,
        stack.candidates,
        stack.conflict,
    )


def test_ids_that_point_to_different_stacks_are_a_conflict_and_no_stack_is_chosen() -> None:
    event = opsworks_event("CreateDeployment", {"stackId": STACK, "instanceIds": ["elsewhere"]})

    stack = stack_of(event)

    assert (None, "none", [STACK, OTHER_STACK], True) == (
        stack.id,
        stack.resolution,
        stack.candidates,
        stack.conflict,
    )
    assert stack.name is None


def test_a_creation_without_id_names_the_stacks_that_it_may_have_made() -> None:
    created = opsworks_event("CreateStack", {"name": "shop", "region": "eu-west-1"})
    first, renamed = (
        opsworks_event(
            "UpdateStack", {"stackId": STACK, "name": name}, event_time=at, event_id=name
        )
        for name, at in (("other", T0 + 1_000), ("shop", T0 + 2_000))
    )
    facts = [fact for event in (created, first, renamed) for fact in facts_of(event)]

    stack = enrich(created, catalogs_of(facts)).stack

    assert stack is not None
    assert (None, "none", [STACK]) == (stack.id, stack.resolution, stack.candidates)
    assert ("shop", "eu-west-1") == (stack.name, stack.region)


ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-opsworks-service-role"
BY_ROLE = raw_event(
    event_time=T0 + 3_600_000,
    eventName="RunInstances",
    userIdentity={
        "type": "AssumedRole",
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
    },
)
NAMED = {"name": "shop", "region": "eu-west-1", "serviceRoleArn": ROLE}


def made_without_id(action: str = "CreateStack", **request: str) -> RawEvent:
    return opsworks_event(action, {"serviceRoleArn": ROLE, **request}, event_id="orphan")


@pytest.mark.parametrize(
    ("calls", "facts", "found"),
    [
        ([made_without_id(name="shop")], [], (None, "none", [])),
        ([made_without_id("CloneStack", sourceStackId="x")], [], (None, "none", [])),
        ([made_without_id(name="shop"),
          opsworks_event("CreateStack", NAMED, {"stackId": OTHER_STACK}, event_id="e-2")], [],
         (None, "none", [OTHER_STACK])),
        ([made_without_id(name="shop"),
          opsworks_event("UpdateStack", {"stackId": STACK, "name": "shop"}, event_id="e-2",
                         event_time=T0 + 1_000)], [], (STACK, "inferred", [STACK])),
        ([made_without_id(name="shop"),
          opsworks_event("CreateStack", NAMED | {"name": "blog"}, {"stackId": OTHER_STACK},
                         event_id="e-2")],
         [a_stack("shop")], (None, "none", [STACK, OTHER_STACK])),
        ([made_without_id(name="shop")], [a_stack("shop")], (STACK, "inferred", [STACK])),
        ([made_without_id(name="shop"),
          opsworks_event("DeleteStack", {"stackId": STACK}, event_id="e-2",
                         event_time=T0 + 1_000),
          opsworks_event("CreateStack", NAMED | {"name": "blog"}, {"stackId": OTHER_STACK},
                         event_id="e-3")],
         [a_stack("shop")], (OTHER_STACK, "inferred", [OTHER_STACK])),
    ],
    ids=["alone", "a clone", "beside one with its id", "named by an update", "two, both known",
         "found by its name", "found by its name and deleted"],
)  # fmt: skip
def test_a_creation_without_id_uses_its_role_too(
    calls: list[RawEvent],
    facts: list[StackFact],
    found: tuple[str | None, str, list[str]],
) -> None:
    known = catalogs_of([*facts, *(fact for call in calls for fact in facts_of(call))])

    stack = enrich(BY_ROLE, known).stack

    assert stack is not None
    assert found == (stack.id, stack.resolution, stack.candidates)


VOLUME, CLUSTER = {"volumeId": "v"}, {"ecsClusterArn": "arn:aws:ecs:us-east-1:1:cluster/c"}
ADDRESS, DATABASE = {"elasticIp": "192.0.2.1"}, {"rdsDbInstanceArn": "arn:aws:rds:us-east-1:1:db:d"}


@pytest.mark.parametrize(
    ("register", "deregister", "thing"),
    [
        ("RegisterVolume", "DeregisterVolume", VOLUME),
        ("RegisterElasticIp", "DeregisterElasticIp", ADDRESS),
        ("RegisterRdsDbInstance", "DeregisterRdsDbInstance", DATABASE),
        ("RegisterEcsCluster", "DeregisterEcsCluster", CLUSTER),
    ],
)
def test_the_call_that_ends_a_link_knows_the_stack(
    register: str, deregister: str, thing: dict[str, str]
) -> None:
    registered = opsworks_event(register, {"stackId": STACK, **thing}, thing, event_time=T0)
    ended = opsworks_event(deregister, thing, event_time=T0 + 60_000, event_id="e-2")
    again = opsworks_event(deregister, thing, event_time=T0 + 120_000, event_id="e-3")
    facts = [*facts_of(registered), *facts_of(ended)]

    found = [enrich(event, catalogs_of(facts)).stack for event in (ended, again)]

    assert [STACK, None] == [stack.id for stack in found if stack is not None]


def test_a_call_that_registers_in_the_second_of_an_end_is_about_its_own_stack() -> None:
    calls = [
        opsworks_event("RegisterVolume", {"stackId": OTHER_STACK}, VOLUME, event_time=T0 - 1_000),
        opsworks_event("DeregisterVolume", VOLUME, event_id="e-2"),
        opsworks_event("RegisterVolume", {"stackId": STACK}, VOLUME, event_id="e-3"),
        opsworks_event("UpdateVolume", VOLUME, event_id="e-4"),
    ]
    facts = [fact for call in calls for fact in facts_of(call)]

    found = [enrich(event, catalogs_of(facts)).stack for event in calls]

    assert [OTHER_STACK, None, STACK, None] == [stack.id for stack in found if stack is not None]
    assert [False, True, False, True] == [stack.conflict for stack in found if stack is not None]


def test_what_is_known_of_the_stack_and_of_what_the_call_names_is_told() -> None:
    event = opsworks_event(
        "CreateDeployment",
        {"stackId": STACK, "appId": "a-1", "instanceIds": [INSTANCE], "layerIds": [LAYER, "new"]},
        {"deploymentId": "d-1"},
    )

    assert StackInfo(
        id=STACK,
        name="shop-prod",
        region="eu-west-1",
        status="active",
        service_role_arn="arn:aws:iam::1:role/r",
        vpc_id="vpc-1",
        layer_ids=[LAYER, "new"],
        layer_names=["Web"],
        instance_ids=[INSTANCE],
        instance_names=["web1"],
        app_ids=["a-1"],
        app_names=["Shop"],
        deployment_id="d-1",
        resource_kind="deployment",
        access="write",
        resolution="request",
        candidates=[STACK],
    ) == stack_of(event)


def test_a_stack_that_nobody_knows_keeps_its_id() -> None:
    stack = stack_of(opsworks_event("StopStack", {"stackId": "unheard-of"}))

    assert ("unheard-of", None, None) == (stack.id, stack.name, stack.status)


def test_access_is_told_where_the_record_does_not() -> None:
    stack = stack_of(opsworks_event("DescribeDeployments", {"deploymentIds": ["1", "2"]}))

    assert ("read", "deployment", None) == (stack.access, stack.resource_kind, stack.deployment_id)


def test_a_renamed_stack_has_the_name_of_the_event_s_time() -> None:
    facts = [stack_defined(name="before"), stack_defined(name="after", since=T0)]
    event = opsworks_event("StopStack", {"stackId": STACK})
    earlier = opsworks_event("StopStack", {"stackId": STACK}, event_time=T0 - 1)

    assert ["before", "after"] == [stack_of(e, *facts).name for e in (earlier, event)]


@pytest.mark.parametrize("source", ["opsworks-cm.amazonaws.com", "ec2.amazonaws.com"])
def test_other_services_have_no_stack(source: str) -> None:
    event = raw_event(eventSource=source, requestParameters={"stackId": STACK})

    enrichment = enrich(event, catalogs(*KNOWN))

    assert enrichment.stack is None
    assert [f"account/{ACCOUNT}"] == enrichment.stack_keys


def test_an_enrichment_says_what_it_was_made_of() -> None:
    known = catalogs(*KNOWN)
    account = Account(account_id=ACCOUNT, name="prod", source="file")
    known.accounts.facts.add(digest_of(account), account)

    enrichment = enrich(opsworks_event("StopInstance", {"instanceId": INSTANCE}), known)

    assert (RULES_VERSION << 32) + 1 + 3 == enrichment.version
    assert (7, 3) == (enrichment.stack_facts_offset, enrichment.accounts_offset)
    assert enrichment.account is not None
    assert "prod" == enrichment.account.name
    assert [
        f"account/{ACCOUNT}",
        f"{ACCOUNT}/instance/{INSTANCE}",
    ] == enrichment.stack_keys
