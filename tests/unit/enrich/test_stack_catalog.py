"""What facts of every kind say together of a stack and of what belongs to it, as of a time."""

from typing import Any

import msgspec
import pytest

from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_enrich.stack_timeline import MOST_CHILDREN, timeline
from opstrail_schemas.facts import digest_of, key_of
from opstrail_schemas.messages import StackFact
from tests.support.enriching import ACCOUNT, INSTANCE, LAYER, OTHER_STACK, STACK, T0

ENDPOINT = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/opsworks"


def key(kind: str, identifier: str) -> str:
    return key_of(ACCOUNT, ENDPOINT, kind, identifier)


def a_fact(kind: str, *concerns: str, at: int | None = T0, **more: Any) -> StackFact:
    leads_to = more.pop("leads_to", list(concerns))
    event_id = None if at is None else more.pop("event_id", f"e-{at}")
    return StackFact(
        kind=kind,
        account_id=ACCOUNT,
        aws_region=ENDPOINT,
        valid_from=at,
        event_id=event_id,
        concerns=list(concerns),
        leads_to=leads_to,
        source=more.pop("source", "trail"),
        **more,
    )


def defined(
    stack_id: str | None, name: str, *, at: int | None = T0, **attributes: str
) -> StackFact:
    concerns = [key("stackName", name)] if stack_id is None else [
        key("stack", stack_id), key("stackName", name)
    ]  # fmt: skip
    return a_fact(
        "stackDefined", *concerns, at=at, stack_id=stack_id, attributes={"name": name, **attributes}
    )


def changed(stack_id: str, *, at: int = T0, **attributes: str) -> StackFact:
    names = [key("stackName", attributes["name"])] if "name" in attributes else []
    return a_fact(
        "stackChanged", key("stack", stack_id), *names, at=at, stack_id=stack_id,
        attributes=attributes,
    )  # fmt: skip


def cloned(stack_id: str, source: str, *, at: int = T0, **attributes: str) -> StackFact:
    return a_fact(
        "stackCloned", key("stack", stack_id), at=at, stack_id=stack_id, object_kind="stack",
        object_id=source, attributes=attributes, leads_to=[key("stack", source)],
    )  # fmt: skip


def deleted(stack_id: str, *, at: int = T0) -> StackFact:
    return a_fact("stackDeleted", key("stack", stack_id), at=at, stack_id=stack_id)


def belongs(kind: str, child: str, stack_id: str = STACK, *, at: int | None = None) -> StackFact:
    return a_fact(
        "childBelongs", key(kind, child), at=at, stack_id=stack_id, subject_kind=kind,
        subject_id=child, leads_to=[key("stack", stack_id)],
    )  # fmt: skip


def same(
    one: tuple[str, str], other: tuple[str, str], *, at: int | None = None, **attributes: str
) -> StackFact:
    return a_fact(
        "sameStack", key(*one), key(*other), at=at, subject_kind=one[0], subject_id=one[1],
        object_kind=other[0], object_id=other[1], attributes=attributes,
    )  # fmt: skip


def ends(kind: str, child: str, *, at: int) -> StackFact:
    return a_fact("linkEnds", key(kind, child), at=at, subject_kind=kind, subject_id=child)


def catalog_of(*facts: StackFact) -> StackCatalog:
    catalog = StackCatalog()
    for fact in facts:
        catalog.facts.add(digest_of(fact), fact)
    return catalog


def stacks_of(catalog: StackCatalog, kind: str, child: str, at: int | None = T0) -> set[str]:
    return catalog.stacks_of(kind, key(kind, child), at)


# Inventories and changes


def test_an_inventory_holds_before_a_change_to_something_else() -> None:
    catalog = catalog_of(
        defined(STACK, "shop", at=None, region="eu-west-1"), changed(STACK, name="shop-prod")
    )

    assert [("shop", "eu-west-1"), ("shop-prod", "eu-west-1")] == [
        (state.attributes["name"], state.attributes["region"])
        for state in (catalog.stack(ACCOUNT, STACK, T0 - 1), catalog.stack(ACCOUNT, STACK, T0))
    ]


def test_an_inventory_that_may_be_younger_than_a_rename_says_nothing_of_the_time_before() -> None:
    catalog = catalog_of(defined(STACK, "shop-prod", at=None), changed(STACK, name="shop-prod"))

    assert "name" not in catalog.stack(ACCOUNT, STACK, T0 - 1).attributes
    assert "shop-prod" == catalog.stack(ACCOUNT, STACK, T0).attributes["name"]


# Clones


def test_a_clone_has_what_its_source_had_then_and_what_it_was_given() -> None:
    catalog = catalog_of(
        defined(STACK, "shop", region="eu-west-1", serviceRoleArn=ROLE),
        changed(STACK, at=T0 + 50, serviceRoleArn="later"),
        cloned(OTHER_STACK, STACK, at=T0 + 10, vpcId="vpc-2"),
    )

    assert {"region": "eu-west-1", "serviceRoleArn": ROLE, "vpcId": "vpc-2"} == catalog.stack(
        ACCOUNT, OTHER_STACK
    ).attributes


def test_clones_in_a_circle_end_and_agree_from_wherever_one_asks() -> None:
    facts = [
        cloned(STACK, OTHER_STACK, at=T0, vpcId="v"),
        cloned(OTHER_STACK, STACK, at=T0, region="r"),
    ]
    one, other = catalog_of(*facts), catalog_of(*facts)

    first = (one.stack(ACCOUNT, STACK), one.stack(ACCOUNT, OTHER_STACK))
    second = (other.stack(ACCOUNT, OTHER_STACK), other.stack(ACCOUNT, STACK))

    assert first == second[::-1]
    assert {"vpcId": "v", "region": "r"} == first[0].attributes


# Creations whose record shows no id


def made_by(catalog: StackCatalog, name: str = "shop") -> tuple[str | None, list[str]]:
    """Return the stack that the creation of that name made, and those that it may have made."""
    creation = catalog.created_by(key("stackName", name), f"e-{T0}")
    assert creation is not None
    return creation.stack_id, list(creation.candidates)


def test_a_creation_without_id_is_found_by_its_name() -> None:
    catalog = catalog_of(defined(None, "shop", region="eu-west-1"), defined(STACK, "shop", at=None))

    assert {"name": "shop", "region": "eu-west-1"} == catalog.stack(ACCOUNT, STACK, T0).attributes
    assert "active" == catalog.stack(ACCOUNT, STACK, T0).status
    assert (STACK, [STACK]) == made_by(catalog)


def test_a_name_that_an_update_brought_may_be_another_stacks() -> None:
    renamed = [defined(None, "shop", region="eu-west-1"), changed(STACK, at=T0 + 10, name="shop")]
    catalog = catalog_of(*renamed)
    younger = catalog_of(*renamed, defined(STACK, "shop", at=None))
    dated = catalog_of(
        *renamed, defined(STACK, "shop", at=None, createdAt="2021-03-04T10:00:00+00:00")
    )

    assert [(None, [STACK]), (None, [STACK]), (STACK, [STACK])] == [
        made_by(one) for one in (catalog, younger, dated)
    ]
    assert {"name": "shop"} == catalog.stack(ACCOUNT, STACK).attributes


@pytest.mark.parametrize(
    ("more", "candidates"),
    [
        ([defined(None, "shop", at=T0 + 1)], [STACK]),
        ([changed(OTHER_STACK, at=T0 + 20, name="shop")], [STACK, OTHER_STACK]),
        ([defined(STACK, "first-name", at=T0 - 5)], []),
        ([defined(STACK, "shop", at=T0 - 10, region="own")], []),
        ([changed(STACK, at=T0 - 1, serviceRoleArn=ROLE)], []),
        ([deleted(STACK, at=T0 - 1)], []),
        ([changed(STACK, at=T0 + 20, vpcId="vpc-2")], []),
        ([defined(STACK, "shop", at=None, createdAt="2020-03-04T10:00:00+00:00")], []),
    ],
    ids=[
        "two creations", "two stacks", "a creation of its own", "one of that name",
        "changed before", "deleted before", "in another VPC", "made at another time",
    ],
)  # fmt: skip
def test_a_creation_without_id_that_could_be_anothers_is_nobodys(
    more: list[StackFact], candidates: list[str]
) -> None:
    catalog = catalog_of(
        defined(None, "shop", region="eu-west-1", vpcId="vpc-1"),
        defined(STACK, "shop", at=None),
        *more,
    )

    assert "eu-west-1" != catalog.stack(ACCOUNT, STACK).attributes.get("region")
    assert (None, candidates) == made_by(catalog)


def test_of_two_creations_the_time_in_an_inventory_tells_which() -> None:
    inventory = defined(STACK, "shop", at=None, createdAt="2021-03-04T10:00:03+00:00")
    catalog = catalog_of(
        defined(None, "shop", region="eu-west-1"),
        defined(None, "shop", at=T0 + 86_400_000, region="us-west-2"),
        inventory,
    )

    assert "eu-west-1" == catalog.stack(ACCOUNT, STACK).attributes["region"]


# Links


def test_a_layer_is_known_by_an_instance_and_circles_end() -> None:
    catalog = catalog_of(
        same(("instance", INSTANCE), ("layer", LAYER)),
        same(("instance", "other"), ("layer", LAYER)),
        belongs("instance", "other"),
    )

    assert {STACK} == stacks_of(catalog, "layer", LAYER)
    assert {STACK} == stacks_of(catalog, "instance", INSTANCE)
    assert set() == stacks_of(catalog, "instance", "unknown")


def test_two_links_of_an_instance_are_a_contradiction() -> None:
    catalog = catalog_of(belongs("instance", INSTANCE), belongs("instance", INSTANCE, OTHER_STACK))

    assert {STACK, OTHER_STACK} == stacks_of(catalog, "instance", INSTANCE)


def test_a_volume_is_where_it_was_registered_last_until_it_is_not() -> None:
    catalog = catalog_of(
        belongs("volume", "v", STACK, at=10),
        ends("volume", "v", at=20),
        belongs("volume", "v", OTHER_STACK, at=30),
    )

    assert [set(), {STACK}, {STACK}, set(), {OTHER_STACK}, set()] == [
        stacks_of(catalog, "volume", "v", at) for at in (9, 10, 20, 21, 30, None)
    ]


def test_in_the_second_in_which_a_volume_moves_it_may_be_in_either_stack() -> None:
    catalog = catalog_of(
        belongs("volume", "v", STACK, at=10),
        ends("volume", "v", at=20),
        a_fact("childBelongs", key("volume", "v"), at=20, event_id="e-21", stack_id=OTHER_STACK,
               subject_kind="volume", subject_id="v", leads_to=[key("stack", OTHER_STACK)]),
    )  # fmt: skip

    assert [{STACK}, {STACK, OTHER_STACK}, {OTHER_STACK}] == [
        stacks_of(catalog, "volume", "v", at) for at in (19, 20, 21)
    ]


def test_a_volume_at_an_instance_is_in_its_stack_and_the_instance_in_the_volumes() -> None:
    catalog = catalog_of(
        same(("volume", "v"), ("instance", INSTANCE), at=20), belongs("instance", INSTANCE)
    )
    backwards = catalog_of(
        same(("volume", "v"), ("instance", INSTANCE), at=20), belongs("volume", "v", at=10)
    )

    assert [set(), {STACK}] == [stacks_of(catalog, "volume", "v", at) for at in (19, 20)]
    assert {STACK} == stacks_of(backwards, "instance", INSTANCE, 5)


def test_with_its_stack_all_registrations_end_yet_an_instance_stays_its_own() -> None:
    catalog = catalog_of(
        belongs("elasticIp", "192.0.2.1", at=10),
        belongs("instance", INSTANCE),
        deleted(STACK, at=20),
    )

    assert [{STACK}, {STACK}, set()] == [
        stacks_of(catalog, "elasticIp", "192.0.2.1", at) for at in (19, 20, 21)
    ]
    assert {STACK} == stacks_of(catalog, "instance", INSTANCE, 30)
    assert ["active", "deleted"] == [
        catalog_of(changed(STACK, at=5, name="a"), deleted(STACK, at=20))
        .stack(ACCOUNT, STACK, at)
        .status
        for at in (19, 20)
    ]


def test_an_address_at_an_instance_says_only_perhaps() -> None:
    catalog = catalog_of(
        same(("elasticIp", "192.0.2.1"), ("instance", INSTANCE), at=10, strength="weak"),
        belongs("instance", INSTANCE),
    )
    address = key("elasticIp", "192.0.2.1")

    assert set() == stacks_of(catalog, "elasticIp", "192.0.2.1")
    assert {STACK} == catalog.perhaps_stacks_of(address, T0)
    assert set() == catalog.perhaps_stacks_of(address, 9)


# Roles


def test_a_role_is_its_stacks_while_they_have_it() -> None:
    role = key("role", ROLE)
    catalog = catalog_of(
        belongs("role", ROLE),
        belongs("role", ROLE, OTHER_STACK),
        defined(STACK, "a", at=10, serviceRoleArn=ROLE),
        changed(STACK, at=20, serviceRoleArn="another"),
        defined(OTHER_STACK, "b", at=15, serviceRoleArn=ROLE),
        deleted(OTHER_STACK, at=30),
    )

    assert [set(), {STACK}, {STACK, OTHER_STACK}, {OTHER_STACK}, set()] == [
        set(catalog.users_of_role(ACCOUNT, role, ROLE, at).candidates) for at in (9, 10, 15, 20, 30)
    ]


# For people


def test_a_timeline_tells_a_life_in_order() -> None:
    catalog = catalog_of(
        deleted(STACK, at=T0 + 2_000),
        changed(STACK, at=T0 + 1_000, name="shop-prod"),
        defined(STACK, "shop", region="eu-west-1"),
        belongs("layer", LAYER),
        a_fact("permission", key("details", STACK), at=T0 + 500, stack_id=STACK,
               subject_kind="user", subject_id="ada", attributes={"level": "manage"}),
    )  # fmt: skip

    assert [
        ("always", "layer", f"{LAYER} belongs to it", "trail"),
        ("2021-03-04T10:00:00Z", "created", "name: shop, region: eu-west-1", f"event e-{T0}"),
        ("2021-03-04T10:00:00.500000Z", "permission", "ada, level: manage", f"event e-{T0 + 500}"),
        ("2021-03-04T10:00:01Z", "changed", "name: shop → shop-prod", f"event e-{T0 + 1_000}"),
        ("2021-03-04T10:00:02Z", "deleted", "", f"event e-{T0 + 2_000}"),
    ] == [tuple(row) for row in timeline(catalog, ACCOUNT, STACK)]
    assert [STACK] == [state.stack_id for state in catalog.called("shop")]
    assert {
        "name": "shop-prod", "region": "eu-west-1", "permission:ada": "level manage"
    } == catalog.everything(ACCOUNT, STACK)  # fmt: skip


@pytest.mark.parametrize(("detail_at", "shown"), [(T0 - 1, "new"), (T0 + 1, "old")])
def test_of_a_setting_that_is_a_detail_and_came_with_a_name_the_later_is_shown(
    detail_at: int, shown: str
) -> None:
    catalog = catalog_of(
        changed(STACK, at=T0, name="shop", defaultOs="new"),
        a_fact("stackChanged", key("details", STACK), at=detail_at, stack_id=STACK,
               attributes={"defaultOs": "old"}),
    )  # fmt: skip

    assert {"name": "shop", "defaultOs": shown} == catalog.everything(ACCOUNT, STACK)


def test_an_id_that_two_accounts_have_is_no_accounts() -> None:
    foreign = msgspec.structs.replace(defined(STACK, "shop"), account_id="444455556666")
    catalog = catalog_of(defined(STACK, "shop"), defined(OTHER_STACK, "blog"), foreign)

    assert {OTHER_STACK: ACCOUNT} == catalog.accounts_of_stacks()


def test_a_timeline_counts_what_are_many() -> None:
    many = [belongs("deployment", f"d-{n}") for n in range(MOST_CHILDREN + 1)]
    catalog = catalog_of(defined(STACK, "shop"), belongs("layer", LAYER), *many)

    assert [
        ("always", "deployment", f"{len(many)} of them belong to it", "trail"),
        ("always", "layer", f"{LAYER} belongs to it", "trail"),
        ("2021-03-04T10:00:00Z", "created", "name: shop", f"event e-{T0}"),
    ] == [tuple(row) for row in timeline(catalog, ACCOUNT, STACK)]


def test_a_region_that_contradicts_the_trail_is_named() -> None:
    catalog = catalog_of(defined(STACK, "shop", region="eu-west-1"))

    assert [f"{key('stack', STACK)}: region is 'us-west-2' here, 'eu-west-1' is known"] == (
        catalog.contradictions(defined(STACK, "shop", at=None, region="us-west-2"))
    )
    assert [] == catalog.contradictions(defined(STACK, "other", at=None, region="eu-west-1"))
