"""What facts of every kind say together of a stack and of what belongs to it, as of a time."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_enrich.as_of import holds
from opstrail_enrich.role_users import MOST_CANDIDATES, Use, Users, UsersByTime
from opstrail_enrich.stack_catalog import DAY_MS, StackCatalog
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


def test_the_first_name_that_an_event_gives_with_an_id_finds_it_and_no_later_one() -> None:
    orphan = defined(None, "shop", region="eu-west-1")
    first = catalog_of(orphan, changed(STACK, at=T0 + 10, name="shop"))
    later = catalog_of(
        orphan,
        changed(STACK, at=T0 + 10, name="other"),
        changed(STACK, at=T0 + 20, name="shop"),
    )

    assert [(STACK, [STACK]), (None, [STACK])] == [made_by(one) for one in (first, later)]
    assert {"name": "shop", "region": "eu-west-1"} == first.stack(ACCOUNT, STACK).attributes
    assert {"name": "shop"} == later.stack(ACCOUNT, STACK).attributes


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


def seen(stack_id: str, *, day: int) -> StackFact:
    fact = a_fact(
        "childSeen", key("rds", "d"), at=day * DAY_MS, stack_id=stack_id, subject_kind="rds",
        subject_id="d", leads_to=[key("stack", stack_id)],
    )  # fmt: skip
    return msgspec.structs.replace(fact, event_id=None)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ([], [set(), {STACK}, {STACK}, {STACK}]),
        ([belongs("rds", "d", OTHER_STACK, at=7)],
         [{OTHER_STACK}, {STACK, OTHER_STACK}, {STACK, OTHER_STACK}, {STACK}]),
        ([belongs("rds", "d", STACK, at=7)], [{STACK}, {STACK}, {STACK}, {STACK}]),
        ([belongs("rds", "d", at=2 * DAY_MS + 9)], [set(), set(), {STACK}, {STACK}]),
        ([ends("rds", "d", at=2 * DAY_MS + 9)], [set(), set(), set(), set()]),
        ([belongs("rds", "d", at=7), ends("rds", "d", at=2 * DAY_MS + 9)],
         [{STACK}, {STACK}, set(), set()]),
        ([ends("rds", "d", at=3 * DAY_MS)], [set(), {STACK}, {STACK}, {STACK}]),
        ([ends("rds", "d", at=3 * DAY_MS - 1)], [set(), set(), set(), set()]),
        ([seen(OTHER_STACK, day=2)], [set(), *[{STACK, OTHER_STACK}] * 3]),
        ([seen(OTHER_STACK, day=3)], [set(), {STACK}, {STACK}, {STACK, OTHER_STACK}]),
    ],
    ids=["alone", "elsewhere before", "there before", "registered that day", "ended that day",
         "there before, ended that day", "ended the next day", "ended in the last millisecond",
         "elsewhere too", "elsewhere the next day"],
)  # fmt: skip
def test_a_database_seen_in_a_stack_on_a_day_is_there_from_then_on(
    facts: list[StackFact], found: list[set[str]]
) -> None:
    catalog = catalog_of(seen(STACK, day=2), *facts)
    times = (2 * DAY_MS - 1, 2 * DAY_MS, 3 * DAY_MS - 1, 3 * DAY_MS)

    assert found == [stacks_of(catalog, "rds", "d", at) for at in times]
    assert set() == stacks_of(catalog, "rds", "d", None)


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
    catalog = catalog_of(
        belongs("role", ROLE),
        belongs("role", ROLE, OTHER_STACK),
        belongs("role", ROLE, "of which nothing else is known"),
        defined(STACK, "a", at=10, serviceRoleArn=ROLE),
        changed(STACK, at=20, serviceRoleArn="another"),
        defined(OTHER_STACK, "b", at=15, serviceRoleArn=ROLE),
        deleted(OTHER_STACK, at=30),
    )

    assert {
        9: [], 10: [STACK], 15: [STACK, OTHER_STACK], 20: [STACK, OTHER_STACK], 21: [OTHER_STACK],
        30: [OTHER_STACK], 31: [], None: [],
    } == {
        at: list(catalog.users_of_role(ACCOUNT, ROLE, at).candidates)
        for at in (9, 10, 15, 20, 21, 30, 31, None)
    }  # fmt: skip


def test_a_role_that_contradicts_itself_is_nobodys() -> None:
    catalog = catalog_of(
        belongs("role", ROLE),
        defined(STACK, "a", at=None, serviceRoleArn=ROLE),
        defined(STACK, "a", at=None, serviceRoleArn="another"),
    )

    assert not catalog.users_of_role(ACCOUNT, ROLE, T0).any


def test_many_stacks_of_a_role_are_a_few_candidates_and_new_facts_count() -> None:
    many = [f"s-{n:03}" for n in range(400)]
    catalog = catalog_of(
        *(belongs("role", ROLE, one) for one in many),
        *(defined(one, one, at=n, serviceRoleArn=ROLE) for n, one in enumerate(many)),
    )
    before = catalog.users_of_role(ACCOUNT, ROLE, T0)
    for one in many[1:]:
        gone = deleted(one, at=1_000)
        catalog.facts.add(digest_of(gone), gone)

    assert (None, many[:MOST_CANDIDATES]) == (before.only, list(before.candidates))
    assert [many[0], None, many[0]] == [
        catalog.users_of_role(ACCOUNT, ROLE, at).only for at in (0, 1_000, 1_001)
    ]


A_USE = st.builds(
    Use,
    st.lists(st.sampled_from("abc"), max_size=2, unique=True),
    certain=st.just(value=False),
    since=st.none() | st.integers(0, 9),
    until=st.integers(0, 9),
) | st.builds(
    Use,
    st.lists(st.sampled_from("abc"), min_size=1, max_size=1),
    certain=st.just(value=True),
    since=st.none() | st.integers(0, 9),
    until=st.integers(0, 9),
)


@given(st.lists(A_USE, max_size=8), st.none() | st.integers(-1, 11))
def test_users_of_a_role_are_those_whose_time_it_is(uses: list[Use], at: int | None) -> None:
    uses = [use for use in uses if use.since is None or use.since <= use.until]
    now = [use for use in uses if holds(use.since, at) and (at is None or at <= use.until)]
    ids = sorted({one for use in now for one in use.stack_ids})
    certain = all(use.certain for use in now)

    assert Users(ids[0] if len(ids) == 1 and certain else None, tuple(ids), bool(now)) == (
        UsersByTime(uses).at(at)
    )


# Bounds


def test_ids_that_nobody_knows_fill_no_memory() -> None:
    catalog = StackCatalog(most_remembered=4)
    fact = defined(STACK, "shop")
    catalog.facts.add(digest_of(fact), fact)

    names = [
        catalog.stack(ACCOUNT, one).attributes.get("name")
        for number in range(20)
        for one in (f"unknown-{number}", STACK)
    ]
    for number in range(20):
        catalog.attributes(key("instance", f"i-{number}"))
        catalog.users_of_role(ACCOUNT, f"role-{number}", T0)

    assert [None, "shop"] * 20 == names
    assert 0 < catalog.remembered <= 4


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


def test_a_timeline_tells_once_where_a_thing_was_seen() -> None:
    catalog = catalog_of(*(seen(STACK, day=day) for day in (7, 5, 6)))

    assert [("1970-01-06T00:00:00Z", "rds", "d belongs to it", "trail")] == [
        tuple(row) for row in timeline(catalog, ACCOUNT, STACK)
    ]


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
