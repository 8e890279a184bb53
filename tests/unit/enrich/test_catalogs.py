"""Catalogs are folds over the set of facts: in any order, each once, as of a time."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_schemas.facts import account_key, digest_of, key_of, version_of
from opstrail_schemas.messages import Account, AccountInfo, Enrichment, StackFact
from tests.support.enriching import (
    ACCOUNT,
    INSTANCE,
    LAYER,
    OTHER_STACK,
    STACK,
    T0,
    child_belongs,
    opsworks_event,
    stack_defined,
)

INSTANCE_KEY = key_of(ACCOUNT, None, "instance", INSTANCE)
STACK_KEY = key_of(ACCOUNT, None, "stack", STACK)
EIP_KEY = key_of(ACCOUNT, "us-east-1", "elasticIp", "1.2.3.4")


def stacks(*facts: StackFact) -> StackCatalog:
    catalog = StackCatalog()
    for fact in facts:
        catalog.facts.add(digest_of(fact), fact)
    return catalog


def accounts(*facts: Account) -> AccountCatalog:
    catalog = AccountCatalog()
    for fact in facts:
        catalog.facts.add(digest_of(fact), fact)
    return catalog


def named(name: str, since: int | None = None, **more: Any) -> Account:
    return Account(account_id=ACCOUNT, name=name, valid_from=since, source="file", **more)


# Digests


def test_a_digest_is_that_of_what_is_said_in_whatever_order() -> None:
    one = stack_defined(name="shop", region="eu-west-1")
    same = stack_defined(region="eu-west-1", name="shop")

    assert digest_of(one) == digest_of(same)
    assert digest_of(one) != digest_of(stack_defined(name="shop"))
    assert digest_of(one) != digest_of(stack_defined(name="shop", region="eu-west-1", since=1))


def test_a_digest_never_changes() -> None:
    assert "2c0cf660" == digest_of(named("prod")).hex()[:8]
    assert "56e9b1c0" == digest_of(stack_defined(name="shop")).hex()[:8]


# Stacks


def test_a_stack_is_what_it_was_at_the_time() -> None:
    renamed = StackFact(
        kind="stackChanged",
        account_id=ACCOUNT,
        stack_id=STACK,
        attributes={"name": "shop-prod"},
        valid_from=T0,
        concerns=[STACK_KEY],
        source="trail",
    )
    catalog = stacks(renamed, stack_defined(name="shop", region="eu-west-1"))

    assert {"name": "shop", "region": "eu-west-1"} == catalog.attributes(STACK_KEY, T0 - 1)
    assert {"name": "shop-prod", "region": "eu-west-1"} == catalog.attributes(STACK_KEY, T0)
    assert {"name": "shop", "region": "eu-west-1"} == catalog.attributes(STACK_KEY, None)


def test_facts_of_one_moment_are_ordered_by_their_events() -> None:
    def changed(name: str, event_id: str) -> StackFact:
        return StackFact(
            kind="stackChanged", account_id=ACCOUNT, stack_id=STACK, attributes={"name": name},
            valid_from=T0, concerns=[STACK_KEY], source="trail", event_id=event_id,
        )  # fmt: skip

    catalog = stacks(changed("last", "b"), changed("first", "a"))

    assert {"name": "last"} == catalog.attributes(STACK_KEY)


def test_two_inventories_that_contradict_each_other_leave_a_name_unknown() -> None:
    catalog = stacks(
        stack_defined(name="a", region="r"),
        stack_defined(name="b", region="r"),
        stack_defined(name="a", vpcId="v", region="r"),
    )

    assert {"region": "r", "vpcId": "v"} == catalog.attributes(STACK_KEY)


def test_a_stack_is_active_until_it_is_deleted_and_unknown_ones_are_neither() -> None:
    deleted = StackFact(
        kind="stackDeleted", account_id=ACCOUNT, stack_id=STACK, valid_from=T0,
        concerns=[STACK_KEY], source="trail",
    )  # fmt: skip
    catalog = stacks(deleted, stack_defined(name="shop"))

    assert "active" == catalog.stack(ACCOUNT, STACK, T0 - 1).status
    assert "deleted" == catalog.stack(ACCOUNT, STACK, T0).status
    assert catalog.stack(ACCOUNT, OTHER_STACK).status is None


def test_an_instance_never_moves_so_its_link_holds_before_it_was_learnt() -> None:
    catalog = stacks(child_belongs("instance", INSTANCE, since=T0))

    assert {STACK} == catalog.stacks_of("instance", INSTANCE_KEY, T0 - 1)


def test_an_address_belongs_to_the_stack_that_registered_it_last() -> None:
    catalog = stacks(
        child_belongs("elasticIp", "1.2.3.4", STACK, since=10),
        child_belongs("elasticIp", "1.2.3.4", None, fact="linkEnds", since=20),
        child_belongs("elasticIp", "1.2.3.4", OTHER_STACK, since=30),
    )

    assert [set(), {STACK}, {STACK}, set(), {OTHER_STACK}] == [
        catalog.stacks_of("elasticIp", EIP_KEY, at) for at in (9, 10, 20, 21, 30)
    ]
    assert set() == catalog.stacks_of("elasticIp", EIP_KEY, None)


def test_an_event_hangs_on_what_it_names_and_on_what_that_leads_to() -> None:
    catalog = stacks(
        child_belongs("instance", INSTANCE),
        child_belongs("instance", "another"),
        stack_defined(name="shop"),
        stack_defined(OTHER_STACK, name="other"),
    )

    assert 2 == catalog.facts.reach([INSTANCE_KEY])
    assert 1 == catalog.facts.reach([STACK_KEY, STACK_KEY])


def test_links_in_a_circle_end() -> None:
    layer_key = key_of(ACCOUNT, None, "layer", LAYER)
    same = StackFact(
        kind="sameStack", account_id=ACCOUNT, subject_kind="instance", subject_id=INSTANCE,
        object_kind="layer", object_id=LAYER, concerns=[INSTANCE_KEY, layer_key],
        leads_to=[INSTANCE_KEY, layer_key], source="trail",
    )  # fmt: skip
    facts = stacks(same).facts

    assert 1 == facts.reach([INSTANCE_KEY])
    assert {INSTANCE_KEY, layer_key} == facts.reaching([INSTANCE_KEY])


def test_stacks_are_listed_by_account_and_id() -> None:
    catalog = stacks(
        stack_defined(OTHER_STACK, name="b"),
        child_belongs("instance", INSTANCE),
        child_belongs("instance", "x", None),
    )

    assert [STACK, OTHER_STACK] == [stack.stack_id for stack in catalog.stacks()]


def test_a_contradiction_is_named() -> None:
    catalog = stacks(stack_defined(name="a"), child_belongs("layer", LAYER, region=None))

    assert [] == catalog.contradictions(stack_defined(name="a", region="r"))
    assert [] == catalog.contradictions(stack_defined(name="b", since=T0))
    assert [f"{STACK_KEY}: name is 'b' here, 'a' is known"] == catalog.contradictions(
        stack_defined(name="b")
    )
    assert [
        f"{ACCOUNT}/layer/{LAYER}: stackId is '{OTHER_STACK}' here, '{STACK}' is known"
    ] == catalog.contradictions(child_belongs("layer", LAYER, OTHER_STACK))


# Accounts


def test_an_account_has_the_name_of_the_time() -> None:
    catalog = accounts(
        named("new", since=T0, tags={"team": "x"}),
        named("old", ou_path="Root/Prod", state="ACTIVE"),
    )

    assert AccountInfo(name="old", ou_path="Root/Prod", state="ACTIVE") == catalog.info(
        ACCOUNT, T0 - 1
    )
    assert AccountInfo(
        name="new", ou_path="Root/Prod", state="ACTIVE", tags={"team": "x"}
    ) == catalog.info(ACCOUNT, T0)


def test_of_an_unknown_account_there_is_nothing() -> None:
    assert accounts().info(ACCOUNT) is None
    assert [] == list(accounts().accounts())


def test_accounts_are_listed_even_when_their_names_are_contradicted() -> None:
    catalog = accounts(named("a"), named("b"))

    assert [(ACCOUNT, AccountInfo(), None)] == list(catalog.accounts())


def test_a_contradicted_name_of_an_account_is_named() -> None:
    assert [f"account {ACCOUNT}: name is 'b' here, 'a' is known"] == accounts(
        named("a")
    ).contradictions(named("b"))


# Order, repeats, versions

KEYS = st.sampled_from(["1", "2"])
TIMES = st.sampled_from([None, T0 - 1, T0, T0 + 1])
STACK_FACTS = st.one_of(
    st.builds(
        lambda stack, name, since: stack_defined(stack, since=since, name=name), KEYS, KEYS, TIMES
    ),
    st.builds(
        lambda kind, child, stack, since, fact: child_belongs(
            kind, child, stack, since=since, fact=fact, region=None, name=stack, hostname=stack
        ),
        st.sampled_from(["instance", "layer", "volume"]),
        KEYS,
        KEYS,
        TIMES,
        st.sampled_from(["childBelongs", "linkEnds"]),
    ),
)
ACCOUNT_FACTS = st.builds(named, KEYS, TIMES)
EVENTS = [
    opsworks_event("StopInstance", {"instanceId": "1"}),
    opsworks_event(
        "CreateDeployment", {"stackId": "1", "instanceIds": ["1", "2"], "layerIds": ["2"]}
    ),
    opsworks_event("AssignVolume", {"volumeId": "1", "instanceId": "2"}),
    opsworks_event("UpdateVolume", {"volumeId": "2"}, event_time=None),
    opsworks_event("DescribeStacks", {"stackIds": ["1", "2"]}),
]


def enriched(facts: list[StackFact | Account]) -> list[Enrichment]:
    catalogs = Catalogs()
    for fact in facts:
        if isinstance(fact, StackFact):
            catalogs.stacks.facts.add(digest_of(fact), fact)
        else:
            catalogs.accounts.facts.add(digest_of(fact), fact)
    return [enrich(event, catalogs) for event in EVENTS]


@given(st.lists(st.one_of(STACK_FACTS, ACCOUNT_FACTS), max_size=12), st.randoms())
def test_the_order_and_the_number_of_arrivals_of_facts_do_not_matter(
    facts: list[StackFact | Account], rng: random.Random
) -> None:
    again = facts + rng.sample(facts, len(facts) // 2)
    rng.shuffle(again)

    assert enriched(facts) == enriched(again)


@given(st.lists(st.one_of(STACK_FACTS, ACCOUNT_FACTS), max_size=12, unique_by=digest_of))
def test_a_version_only_grows_and_other_content_has_another_version(
    facts: list[StackFact | Account],
) -> None:
    steps = [enriched(facts[:number]) for number in range(len(facts) + 1)]

    for before, after in pairwise(steps):
        for one, other in zip(before, after, strict=True):
            assert one.version <= other.version
            assert one.stack_keys == other.stack_keys
            if one != other:
                assert one.version < other.version


@given(st.lists(st.one_of(STACK_FACTS, ACCOUNT_FACTS), max_size=8), STACK_FACTS)
def test_events_that_a_fact_changes_are_found_by_the_keys_that_they_name(
    facts: list[StackFact | Account], newer: StackFact
) -> None:
    with_newer = stacks(*(fact for fact in [*facts, newer] if isinstance(fact, StackFact)))
    reaching = with_newer.facts.reaching(newer.concerns)

    for one, other in zip(enriched(facts), enriched([*facts, newer]), strict=True):
        if one != other:
            assert reaching & set(one.stack_keys)


def test_rules_come_before_facts() -> None:
    assert 2**32 + 1 == version_of(1, 0)
    assert version_of(2, 0) > version_of(1, 2**31)


def test_what_is_there_can_be_asked_for() -> None:
    fact, account = stack_defined(name="a"), named("a")
    catalog, known = stacks(fact), accounts(account)

    assert digest_of(fact) in catalog.facts
    assert digest_of(account) in known.facts
    assert (1, 1) == (len(catalog.facts), len(known.facts))
    assert not catalog.facts.add(digest_of(fact), fact)
    assert not known.facts.add(digest_of(account), account)
    assert account_key(ACCOUNT) == f"account/{ACCOUNT}"
