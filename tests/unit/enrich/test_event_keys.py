"""The actions of OpsWorks, what its calls name, and the keys of such things."""

import pytest

from opstrail_enrich.event_keys import LONGEST_ID, MOST_NAMED, Named, keys_of, named_by
from opstrail_enrich.opsworks_actions import KIND_OF_MEMBER, actions
from opstrail_enrich.record_view import view_of
from opstrail_schemas.messages import RawEvent
from tests.support.enriching import ACCOUNT, INSTANCE, LAYER, STACK, opsworks_event, raw_event

ARN = f"arn:aws:opsworks:us-east-1:{ACCOUNT}"


def named(event: RawEvent) -> list[tuple[str, str, str]]:
    return [one[:3] for one in named_by(event, view_of(event.raw))]


def keys(event: RawEvent) -> list[str]:
    return list(keys_of(event, named_by(event, view_of(event.raw))))


def test_there_are_74_actions_24_of_them_read() -> None:
    assert 74 == len(actions())
    assert 24 == sum(action.access == "read" for action in actions().values())


def test_every_member_that_an_action_lists_is_known_or_of_no_stack() -> None:
    listed = {m for action in actions().values() for m in (*action.request, *action.response)}

    assert {"iamUserArn", "iamUserArns", "serviceErrorIds"} == listed - set(KIND_OF_MEMBER)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            opsworks_event("CreateDeployment", {"stackId": STACK, "instanceIds": [INSTANCE, "i2"]},
                           {"deploymentId": "d"}),
            [("stack", STACK, "request"), ("instance", INSTANCE, "request"),
             ("instance", "i2", "request"), ("deployment", "d", "response")],
        ),
        (
            opsworks_event("GrantAccess", {"instanceId": INSTANCE},
                           {"temporaryCredential": {"instanceId": INSTANCE}}),
            [("instance", INSTANCE, "request"), ("instance", INSTANCE, "response")],
        ),
        (
            opsworks_event("TagResource", {"resourceArn": f"{ARN}:stack/{STACK}/"}),
            [("stack", STACK, "arn")],
        ),
        (
            opsworks_event("TagResource", {"resourceArn": f"{ARN}:layer/{LAYER}"}),
            [("layer", LAYER, "arn")],
        ),
        (opsworks_event("TagResource", {"resourceArn": "arn:aws:s3:::b"}), []),
        (
            opsworks_event("StopStack", None, resources=[{"ARN": f"{ARN}:stack/{STACK}/"}, 7]),
            [("stack", STACK, "arn")],
        ),
        (opsworks_event("CreateUserProfile", {"iamUserArn": "arn:aws:iam::1:user/x"}), []),
        (opsworks_event("StopInstance", {"instanceId": {"x": 1}}), []),
        (opsworks_event("StopInstance", {"instanceId": "x" * (LONGEST_ID + 1)}), []),
        (opsworks_event("StopInstance", "not an object"), []),
        (opsworks_event("ActionOfTomorrow", {"stackId": STACK}), []),
        (opsworks_event("StopStack", {"stackId": STACK}, eventSource="opsworks-cm.amazonaws.com"),
         []),
    ],
)  # fmt: skip
def test_a_call_names_what_its_action_says(
    event: RawEvent, expected: list[tuple[str, str, str]]
) -> None:
    assert expected == named(event)


def test_keys_say_account_kind_and_id_and_the_region_where_ids_are_regional() -> None:
    event = opsworks_event("AssociateElasticIp", {"elasticIp": "1.2.3.4", "instanceId": INSTANCE})

    assert [
        f"account/{ACCOUNT}",
        f"{ACCOUNT}/us-east-1/elasticIp/1.2.3.4",
        f"{ACCOUNT}/instance/{INSTANCE}",
    ] == keys(event)


def test_without_a_region_a_dash_stands_for_it() -> None:
    event = opsworks_event("UpdateElasticIp", {"elasticIp": "1.2.3.4"}, awsRegion=None)

    assert f"{ACCOUNT}/-/elasticIp/1.2.3.4" in keys(event)


def test_an_arn_is_its_own_id() -> None:
    arn = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:shop"

    assert f"{ACCOUNT}/rds/{arn}" in keys(
        opsworks_event("UpdateRdsDbInstance", {"rdsDbInstanceArn": arn})
    )


def test_an_event_of_no_account_names_no_account() -> None:
    event = raw_event(account_id="-")

    assert [] == keys(event)


def test_a_request_cannot_name_without_end() -> None:
    event = opsworks_event("DescribeInstances", {"instanceIds": [str(n) for n in range(5_000)]})

    assert MOST_NAMED == len(named_by(event, view_of(event.raw)))


def test_each_thing_is_named_once() -> None:
    event = opsworks_event("DescribeLayers", {"layerIds": [LAYER, LAYER]})

    assert (Named("layer", LAYER, "request", "layerIds"),) == named_by(event, view_of(event.raw))
