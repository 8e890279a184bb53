"""What each call of OpsWorks teaches, by hand; and that nothing foreign teaches or breaks."""

import csv
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_enrich.event_keys import MOST_NAMED
from opstrail_enrich.learning import facts_of
from opstrail_enrich.opsworks_actions import KIND_OF_MEMBER, actions
from opstrail_schemas.messages import StackFact
from tests.support.corpora import CORPORA, corpora
from tests.support.enriching import (
    ACCOUNT,
    INSTANCE,
    LAYER,
    OTHER_STACK,
    STACK,
    STACK_FACT,
    T0,
    opsworks_event,
)

ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-opsworks-service-role"
RDS = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:shop"
ECS = f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/shop"
S, LB = f"{ACCOUNT}/stack/{STACK}", f"{ACCOUNT}/us-east-1/loadBalancer/lb"
NAME = f"{ACCOUNT}/us-east-1/stackName/shop"
I_KEY, L = f"{ACCOUNT}/instance/{INSTANCE}", f"{ACCOUNT}/layer/{LAYER}"


def learnt(name: str, request: Any = None, response: Any = None, **more: Any) -> list[str]:
    """Return the facts of a call, each in a line: kind, when, concerns > leads to, what it says."""
    return [line(fact) for fact in stack_facts(name, request, response, **more)]


def stack_facts(name: str, request: Any = None, response: Any = None, **more: Any) -> list[Any]:
    error_code = more.pop("error_code", None)
    event = opsworks_event(name, request, response, **more)
    return list(facts_of(msgspec.structs.replace(event, error_code=error_code)))


def line(fact: StackFact) -> str:
    when = "always" if fact.valid_from is None else "dated"
    if fact.kind == "childSeen":
        when = "daily"
        assert fact.event_id is None
    else:
        assert (fact.event_id is None) == (fact.valid_from is None)
    says = " ".join(f"{name}={value}" for name, value in sorted(fact.attributes.items()))
    words = (fact.kind, when, ",".join(fact.concerns), ">", ",".join(fact.leads_to), says)
    return " ".join(word for word in words if word)


def belongs(key: str, *, when: str = "always") -> str:
    return f"childBelongs {when} {key} > {S}"


# Stacks


def test_a_creation_with_its_id() -> None:
    request = {
        "name": "shop", "region": "eu-west-1", "vpcId": "vpc-1", "serviceRoleArn": ROLE,
        "configurationManager": {"name": "Chef", "version": "12"}, "useCustomCookbooks": True,
        "customCookbooksSource": {"type": "git", "url": "https://u:secret@h/x", "sshKey": "secret"},
        "attributes": {"Color": "red"}, "customJson": '{"a": 1}', "defaultOs": "**redacted**",
    }  # fmt: skip

    assert [
        (
            f"stackDefined dated {S},{NAME} > {S},{NAME} attributes.Color=red "
            "configurationManager.name=Chef configurationManager.version=12 "
            "customCookbooksSource.type=git name=shop region=eu-west-1 "
            f"serviceRoleArn={ROLE} useCustomCookbooks=true vpcId=vpc-1"
        ),
        f"childBelongs always {ACCOUNT}/role/{ROLE} > {S}",
    ] == learnt("CreateStack", request, {"stackId": STACK})


def test_a_creation_whose_record_shows_no_id_is_kept_by_its_name() -> None:
    [fact] = stack_facts("CreateStack", {"name": "shop", "region": "eu-west-1"})

    assert f"stackDefined dated {NAME} > {NAME} name=shop region=eu-west-1" == line(fact)
    assert fact.stack_id is None
    assert [] == stack_facts("CreateStack", {"region": "eu-west-1"})
    role = f"{ACCOUNT}/role/{ROLE}"
    assert [
        [f"stackDefined dated {NAME},{role} > {NAME} name=shop serviceRoleArn={ROLE}"],
        [f"stackCloned dated {role} > {S} serviceRoleArn={ROLE}"],
    ] == [
        learnt("CreateStack", {"name": "shop", "serviceRoleArn": ROLE}),
        learnt("CloneStack", {"sourceStackId": STACK, "serviceRoleArn": ROLE}),
    ]


def test_a_clone_leads_to_its_source() -> None:
    request = {"sourceStackId": OTHER_STACK, "vpcId": "vpc-2", "cloneAppIds": ["a"]}
    source = f"{ACCOUNT}/stack/{OTHER_STACK}"

    assert [
        f"stackCloned dated {S} > {S},{source} vpcId=vpc-2",
        f"childBelongs always {ACCOUNT}/app/a > {source}",
    ] == learnt("CloneStack", request, {"stackId": STACK})
    assert [f"stackCloned dated {NAME} > {NAME},{source} name=shop"] == learnt(
        "CloneStack", {"sourceStackId": OTHER_STACK, "name": "shop"}
    )


def test_a_change_says_what_it_sets_and_a_setting_changes_no_document() -> None:
    assert [f"stackChanged dated {S},{NAME} > {S},{NAME} defaultOs=x name=shop"] == learnt(
        "UpdateStack", {"stackId": STACK, "name": "shop", "defaultOs": "x"}
    )
    assert [f"stackChanged dated {ACCOUNT}/details/{STACK} > defaultOs=x"] == learnt(
        "UpdateStack", {"stackId": STACK, "defaultOs": "x"}
    )
    assert [] == learnt("UpdateStack", {"stackId": STACK})
    assert [] == learnt("UpdateStack", {"stackId": STACK, "name": "**redacted**"})
    assert [f"stackDeleted dated {S} >"] == learnt("DeleteStack", {"stackId": STACK})


def test_rights_and_tags_are_details() -> None:
    details = f"{ACCOUNT}/details/{STACK}"
    arn = f"arn:aws:opsworks:us-east-1:{ACCOUNT}:stack/{STACK}/"

    assert [f"permission dated {details} > allowSsh=true level=manage"] == learnt(
        "SetPermission",
        {"stackId": STACK, "iamUserArn": "arn:u", "level": "manage", "allowSsh": True},
    )
    assert [f"tags dated {details} > tag:team=x"] == learnt(
        "TagResource", {"resourceArn": arn, "tags": {"team": "x"}}
    )
    assert [f"tags dated {details} > tag:team="] == learnt(
        "UntagResource", {"resourceArn": arn, "tagKeys": ["team"]}
    )


# Children


@pytest.mark.parametrize(
    ("name", "request_", "response", "expected"),
    [
        ("CreateLayer", {"stackId": STACK, "name": "web"}, {"layerId": LAYER},
         [belongs(L), f"childDefined dated {L} > name=web"]),
        ("CreateLayer", {"stackId": STACK, "name": "web"}, None, []),
        ("CreateInstance", {"stackId": STACK, "layerIds": [LAYER], "hostname": "h"},
         {"instanceId": INSTANCE},
         [belongs(I_KEY), belongs(L), f"childDefined dated {I_KEY} > hostname=h"]),
        ("CreateInstance", {"stackId": STACK, "layerIds": [LAYER]}, None, [belongs(L)]),
        ("CreateApp", {"stackId": STACK, "name": "a", "shortname": "s"}, {"appId": "1"},
         [belongs(f"{ACCOUNT}/app/1"),
          f"childDefined dated {ACCOUNT}/app/1 > name=a shortname=s"]),
        ("CreateDeployment",
         {"stackId": STACK, "appId": "1", "instanceIds": [INSTANCE], "layerIds": [LAYER]},
         {"deploymentId": "d"},
         [belongs(f"{ACCOUNT}/app/1"), belongs(f"{ACCOUNT}/deployment/d"), belongs(I_KEY),
          belongs(L)]),
        ("RegisterInstance", {"stackId": STACK, "hostname": "h"}, {"instanceId": INSTANCE},
         [belongs(I_KEY), f"childDefined dated {I_KEY} > hostname=h"]),
        ("RegisterVolume", {"stackId": STACK, "ec2VolumeId": "vol-1"}, {"volumeId": "v"},
         [belongs(f"{ACCOUNT}/ec2Volume/vol-1", when="dated"),
          belongs(f"{ACCOUNT}/volume/v", when="dated")]),
        ("RegisterElasticIp", {"stackId": STACK, "elasticIp": "192.0.2.1"}, None,
         [belongs(f"{ACCOUNT}/us-east-1/elasticIp/192.0.2.1", when="dated")]),
        ("RegisterRdsDbInstance", {"stackId": STACK, "rdsDbInstanceArn": RDS}, None,
         [belongs(f"{ACCOUNT}/rds/{RDS}", when="dated")]),
        ("RegisterEcsCluster", {"stackId": STACK, "ecsClusterArn": ECS}, {"ecsClusterArn": ECS},
         [belongs(f"{ACCOUNT}/ecsCluster/{ECS}", when="dated")]),
        ("DescribeRdsDbInstances", {"stackId": STACK, "rdsDbInstanceArns": [RDS]}, None,
         [f"childSeen daily {ACCOUNT}/rds/{RDS} > {S}"]),
        ("DescribeEcsClusters", {"ecsClusterArns": [ECS]}, None, []),
        ("DescribeInstances", {"stackId": STACK, "instanceIds": [INSTANCE]}, None, []),
        ("UpdateInstance", {"instanceId": INSTANCE, "hostname": "new"}, None,
         [f"childDefined dated {I_KEY} > hostname=new"]),
        ("UpdateLayer", {"layerId": LAYER, "name": "new"}, None,
         [f"childDefined dated {L} > name=new"]),
        ("UpdateApp", {"appId": "1", "name": "new"}, None,
         [f"childDefined dated {ACCOUNT}/app/1 > name=new"]),
        ("DeleteLayer", {"layerId": LAYER}, None,
         [f"childDeleted dated {ACCOUNT}/details/{LAYER} >"]),
        ("DeregisterInstance", {"instanceId": INSTANCE}, None,
         [f"childDeleted dated {ACCOUNT}/details/{INSTANCE} >"]),
        ("DeregisterVolume", {"volumeId": "v"}, None,
         [f"linkEnds dated {ACCOUNT}/volume/v >"]),
        ("DeregisterElasticIp", {"elasticIp": "192.0.2.1"}, None,
         [f"linkEnds dated {ACCOUNT}/us-east-1/elasticIp/192.0.2.1 >"]),
        ("DeregisterRdsDbInstance", {"rdsDbInstanceArn": RDS}, None,
         [f"linkEnds dated {ACCOUNT}/rds/{RDS} >"]),
        ("DeregisterEcsCluster", {"ecsClusterArn": ECS}, None,
         [f"linkEnds dated {ACCOUNT}/ecsCluster/{ECS} >"]),
        ("AssignInstance", {"instanceId": INSTANCE, "layerIds": [LAYER]}, None,
         [f"sameStack always {I_KEY},{L} > {I_KEY},{L}"]),
        ("UpdateInstance", {"instanceId": INSTANCE, "layerIds": [LAYER]}, None,
         [f"sameStack always {I_KEY},{L} > {I_KEY},{L}"]),
        ("AssignVolume", {"volumeId": "v", "instanceId": INSTANCE}, None,
         [f"sameStack dated {ACCOUNT}/volume/v,{I_KEY} > {ACCOUNT}/volume/v,{I_KEY}"]),
        ("AttachElasticLoadBalancer", {"elasticLoadBalancerName": "lb", "layerId": LAYER}, None,
         [f"sameStack dated {LB},{L} > {LB},{L}"]),
        ("DetachElasticLoadBalancer", {"elasticLoadBalancerName": "lb", "layerId": LAYER}, None,
         [f"sameStack dated {LB},{L} > {LB},{L}"]),
        ("AssociateElasticIp", {"elasticIp": "192.0.2.1", "instanceId": INSTANCE}, None,
         [f"sameStack dated {ACCOUNT}/us-east-1/elasticIp/192.0.2.1 > {I_KEY} strength=weak"]),
        ("UnassignInstance", {"instanceId": INSTANCE}, None, []),
        ("UnassignVolume", {"volumeId": "v"}, None, []),
        ("DisassociateElasticIp", {"elasticIp": "192.0.2.1"}, None, []),
        ("StopInstance", {"instanceId": INSTANCE}, None, []),
        ("StartStack", {"stackId": STACK}, None, []),
        ("CreateUserProfile", {"iamUserArn": "arn:u"}, {"iamUserArn": "arn:u"}, []),
    ],
)  # fmt: skip
def test_a_call_teaches(
    name: str, request_: Any, response: Any, expected: list[str]
) -> None:  # fmt: skip
    assert sorted(expected) == sorted(learnt(name, request_, response))


# Every action, called with all that it takes: kinds of facts, and in brackets those that only a
# response brings. What is not here teaches nothing.
FULL = {
    "name": "shop", "shortname": "s", "hostname": "h", "level": "manage", "serviceRoleArn": ROLE,
    "tags": {"team": "x"}, "tagKeys": ["team"], "iamUserArn": "arn:u",
    "resourceArn": f"arn:aws:opsworks:us-east-1:{ACCOUNT}:stack/{STACK}/",
}  # fmt: skip
TEACHES = {
    "AssignInstance": "sameStack sameStack",
    "AssignVolume": "sameStack",
    "AssociateElasticIp": "sameStack",
    "AttachElasticLoadBalancer": "sameStack",
    "CloneStack": "stackCloned belongs belongs [belongs]",
    "CreateApp": "[belongs childDefined]",
    "CreateDeployment": "belongs belongs belongs belongs belongs [belongs]",
    "CreateInstance": "belongs belongs [belongs childDefined]",
    "CreateLayer": "[belongs childDefined]",
    "CreateStack": "stackDefined [belongs]",
    "DeleteApp": "childDeleted",
    "DeleteInstance": "childDeleted",
    "DeleteLayer": "childDeleted",
    "DeleteStack": "stackDeleted",
    "DeregisterEcsCluster": "linkEnds",
    "DeregisterElasticIp": "linkEnds",
    "DeregisterInstance": "childDeleted",
    "DeregisterRdsDbInstance": "linkEnds",
    "DeregisterVolume": "linkEnds",
    "DescribeEcsClusters": "childSeen childSeen",
    "DescribeRdsDbInstances": "childSeen childSeen",
    "DetachElasticLoadBalancer": "sameStack",
    "RegisterEcsCluster": "belongs",
    "RegisterElasticIp": "belongs",
    "RegisterInstance": "[belongs childDefined]",
    "RegisterRdsDbInstance": "belongs",
    "RegisterVolume": "belongs [belongs]",
    "SetPermission": "permission",
    "TagResource": "tags",
    "UntagResource": "tags",
    "UpdateApp": "childDefined",
    "UpdateInstance": "childDefined sameStack sameStack",
    "UpdateLayer": "childDefined",
    "UpdateStack": "stackChanged belongs",
}


@pytest.mark.parametrize("name", sorted(actions()))
def test_an_action_teaches_so_much_with_and_without_a_response(name: str) -> None:
    action = actions()[name]
    request = FULL | {
        member: [f"{member}-1", f"{member}-2"] if member.endswith("s") else f"{member}-1"
        for member in action.request
        if member not in FULL
    }
    # A response repeats what the request named, and names what was made.
    response = {member: f"{member}-1" for member in action.response}
    without, _, more = TEACHES.get(name, "").partition("[")

    assert sorted(without.split()) == kinds(name, request)
    assert sorted(without.split() + more.rstrip("]").split()) == kinds(name, request, response)
    assert [] == learnt(name, request, response, error_code="AccessDenied")
    assert [] == learnt(name, request, response, eventSource="opsworks-cm.amazonaws.com")
    assert [] == learnt(name, None, None) == learnt(name, "text", [1])


def kinds(name: str, request: Any, response: Any = None) -> list[str]:
    return sorted(f.kind.replace("childB", "b") for f in stack_facts(name, request, response))


def test_a_thousand_calls_that_show_a_link_are_one_fact() -> None:
    request = {"stackId": STACK, "instanceIds": [INSTANCE]}

    facts = [
        stack_facts("CreateDeployment", request, event_id=f"e-{number}", event_time=T0 + number)
        for number in range(3)
    ]

    assert facts[0] == facts[1] == facts[2]


def test_descriptions_of_one_day_are_one_fact_and_of_the_next_another() -> None:
    midnight = 1_614_816_000_000  # 2021-03-04
    request = {"stackId": STACK, "rdsDbInstanceArns": [RDS]}

    facts = [
        stack_facts("DescribeRdsDbInstances", request, event_id=f"e-{at}", event_time=at)
        for at in (midnight, T0, midnight + 86_399_000, midnight + 86_400_000)
    ]

    assert facts[0] == facts[1] == facts[2] != facts[3]
    assert [midnight, midnight + 86_400_000] == [facts[n][0].valid_from for n in (0, 3)]
    assert [] == stack_facts("DescribeRdsDbInstances", request, event_time=None)


# What teaches nothing


def test_a_failed_call_teaches_nothing() -> None:
    request = {"stackId": STACK, "instanceIds": [INSTANCE]}

    assert [] == learnt("CreateDeployment", request, error_code="AccessDenied")
    assert [] != learnt("CreateDeployment", request)


def test_another_source_teaches_nothing_of_stacks() -> None:
    for source in ("opsworks-cm.amazonaws.com", "opsworks", "xopsworks.amazonaws.com"):
        assert [] == learnt("DeleteStack", {"stackId": STACK}, eventSource=source)


def test_an_event_without_time_teaches_only_what_always_holds() -> None:
    assert [belongs(I_KEY)] == learnt(
        "RegisterInstance", {"stackId": STACK, "hostname": "h"}, {"instanceId": INSTANCE},
        event_time=None,
    )  # fmt: skip
    assert [] == learnt("DeleteStack", {"stackId": STACK}, event_time=None)


def test_an_event_without_an_account_teaches_nothing() -> None:
    assert [] == learnt("DeleteStack", {"stackId": STACK}, account_id="-")


@pytest.mark.parametrize(
    "marker",
    ["**redacted**", "***", "*** Redacted ***", "***masked by opstrail***",
     "HIDDEN_DUE_TO_SECURITY_REASONS", "<sensitiveDataRemoved>"],
)  # fmt: skip
def test_a_marker_becomes_no_id_no_value_and_no_tag(marker: str) -> None:
    assert [] == learnt("DeleteStack", {"stackId": marker})
    assert [] == learnt("CloneStack", {"sourceStackId": marker, "name": "x"}, {"stackId": STACK})
    assert [] == learnt("CreateStack", {"name": marker, "vpcId": "v"}, {"stackId": marker})
    assert [] == learnt("UpdateLayer", {"layerId": LAYER, "name": marker})
    assert [] == learnt("SetPermission", {"stackId": STACK, "iamUserArn": marker})
    assert [f"stackChanged dated {S} > {S} vpcId=v"] == learnt(
        "UpdateStack", {"stackId": STACK, "name": marker, "serviceRoleArn": marker, "vpcId": "v"}
    )
    arn = f"arn:aws:opsworks:us-east-1:{ACCOUNT}:layer/{LAYER}"
    tags = {"a": marker, marker: "b"}
    assert [] == learnt("TagResource", {"resourceArn": arn, "tags": tags})
    assert [belongs(L)] == learnt(
        "CreateDeployment", {"stackId": STACK, "instanceIds": [marker], "layerIds": [LAYER]}
    )


def test_a_tag_without_value_is_a_tag_and_a_layers_tags_are_its_own() -> None:
    arn = f"arn:aws:opsworks:us-east-1:{ACCOUNT}:layer/{LAYER}"

    [fact] = stack_facts("TagResource", {"resourceArn": arn, "tags": {"a": "", "b": None, "c": 1}})

    assert f"tags dated {ACCOUNT}/details/{LAYER} > tag:a=" == line(fact)
    assert ("layer", LAYER, None) == (fact.subject_kind, fact.subject_id, fact.stack_id)


@pytest.mark.parametrize(
    "url", ["https://u:pa/ss@host/x", "https://b.s3.amazonaws.com/x?X-Amz-Signature=secret"]
)
def test_a_url_with_a_secret_is_not_kept(url: str) -> None:
    request = {"stackId": STACK, "customCookbooksSource": {"url": url}}

    assert [] == learnt("UpdateStack", request)
    assert [] != learnt("UpdateStack", request | {"customCookbooksSource": {"url": "git@h:x"}})


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("DeleteStack", {"stackId": [STACK, OTHER_STACK]}),
        ("DeleteStack", {"stackId": {"stackId": STACK}}),
        ("DeleteStack", {"stackId": 7}),
        ("DeleteStack", {"stackId": ""}),
        ("DeleteStack", {"stackId": "x" * 513}),
        ("UpdateStack", {"stackId": STACK, "name": True, "useCustomCookbooks": "yes"}),
        ("UpdateStack", {"stackId": STACK, "attributes": [["Color", "red"]]}),
        ("AssignVolume", {"volumeId": ["v", "w"], "instanceId": INSTANCE}),
        ("SetPermission", {"stackId": STACK, "iamUserArn": "x" * 513}),
        ("UntagResource", {"resourceArn": f"arn:aws:opsworks:r:1:stack/{STACK}", "tagKeys": "ab"}),
        ("TagResource", {"resourceArn": "arn:aws:s3:::bucket", "tags": {"a": "b"}}),
        ("TagResource", {"resourceArn": f"arn:aws:opsworks:r:1:stack/{STACK}",
                         "tags": {f"t{number}": "x" for number in range(101)}}),
    ],
)  # fmt: skip
def test_junk_teaches_nothing(name: str, request_: Any) -> None:
    assert [] == learnt(name, request_)


def test_a_name_that_makes_no_key_is_a_value_all_the_same() -> None:
    name = "x" * 513

    assert [f"stackChanged dated {S} > {S} name={name}"] == learnt(
        "UpdateStack", {"stackId": STACK, "name": name}
    )
    assert [] == learnt("CreateStack", {"name": name})
    assert ["stackChanged"] == kinds("UpdateStack", {"stackId": STACK, "serviceRoleArn": name})


def test_a_huge_list_makes_no_more_facts_than_an_event_may_name() -> None:
    ids = [f"i-{number}" for number in range(100_000)]

    facts = learnt("CreateDeployment", {"stackId": STACK, "instanceIds": ids, "layerIds": ids})
    same = learnt("AssignInstance", {"instanceId": INSTANCE, "layerIds": ids})

    assert (MOST_NAMED - 1, MOST_NAMED - 1) == (len(facts), len(same))


def test_half_characters_can_be_written() -> None:
    for fact in stack_facts("UpdateStack", {"stackId": STACK, "name": "a\ud800b"}):
        assert STACK_FACT.decode(STACK_FACT.encode(fact)) == fact


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.just("x" * 3_000),
        st.text(st.characters(), max_size=8),  # lone surrogates too
        st.just("**redacted**"), st.just(STACK),
        st.just(f"arn:aws:opsworks:us-east-1:{ACCOUNT}:stack/{STACK}/"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(sorted({*KIND_OF_MEMBER, *FULL, "configurationManager", "attributes"})),
            inner,
            max_size=8,
        ),
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.sampled_from(sorted(actions())), JUNK, JUNK)
def test_nothing_foreign_breaks_it(name: str, request: Any, response: Any) -> None:
    for fact in stack_facts(name, request, response):
        assert STACK_FACT.decode(STACK_FACT.encode(fact)) == fact
        assert fact.concerns
        assert all(len(key) < 700 for key in (*fact.concerns, *fact.leads_to))
        assert "**redacted**" not in json.dumps(msgspec.to_builtins(fact))


@corpora[0]
@corpora[1]
def test_all_actions_are_known_with_their_access_and_ids() -> None:
    text = (CORPORA.parent / "domain" / "opsworks_actions.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))

    assert 74 == len(rows) == len(actions())
    for row in rows:
        action = actions()[row["action"]]
        assert row["access"] == action.access, row
        assert set(filter(None, row["request_ids"].split(";"))) == set(action.request), row
        assert set(filter(None, row["response_ids"].split(";"))) == set(action.response), row
