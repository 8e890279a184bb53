"""The table of facts: a set, what hangs together in it, and what is taken back."""

import random

import pytest

from opstrail_runtime.errors import Refused
from opstrail_runtime.fact_table import FactTable
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, StackFact
from tests.support.full_disk import full_disk


def link(one: str, *others: str) -> StackFact:
    """Return a fact about `one` that leads to others."""
    return StackFact(
        kind="childBelongs", account_id="1", concerns=[one], leads_to=list(others), source="trail"
    )


def table_of(*facts: StackFact) -> FactTable[StackFact]:
    table = FactTable(StackFact)
    for fact in facts:
        assert table.add(digest_of(fact), fact)
    return table


def test_a_fact_is_there_once() -> None:
    fact = link("instance", "stack")
    table = table_of(fact)

    assert not table.add(digest_of(fact), fact)
    assert (1, True) == (len(table), digest_of(fact) in table)
    assert (fact,) == table.about("instance")
    assert () == table.about("stack")


def test_facts_are_reached_over_links_and_circles_end() -> None:
    table = table_of(
        link("instance", "layer"), link("layer", "instance", "stack"), link("stack"), link("other")
    )

    assert 3 == table.reach(["instance"])
    assert 1 == table.reach(["stack"])
    assert 4 == table.reach(["instance", "other", "instance"])
    assert 0 == table.reach(["unknown"])


def test_keys_that_reach_a_thing_are_found_backwards() -> None:
    table = table_of(
        link("instance", "layer"), link("layer", "instance", "stack"), link("stack"), link("other")
    )

    assert {"stack", "layer", "instance"} == table.reaching(["stack"])
    assert {"other"} == table.reaching(["other"])


def test_backwards_and_forwards_agree() -> None:
    rng = random.Random(7)
    keys = [str(number) for number in range(30)]
    facts = {
        digest_of(fact): fact
        for _ in range(60)
        for fact in [link(rng.choice(keys), *rng.sample(keys, rng.randrange(3)))]
    }
    table = table_of(*facts.values())

    for fact in facts.values():
        reaching = table.reaching(fact.concerns)
        without = FactTable(StackFact)
        for digest, other in facts.items():
            if other != fact:
                without.add(digest, other)
        for key in keys:
            assert (table.reach([key]) > without.reach([key])) == (key in reaching)


def test_what_is_taken_back_leaves_no_trace() -> None:
    there, tried = link("instance", "stack"), link("stack", "clone")
    table = table_of(there)
    before = (table.about("instance"), table.about("stack"), table.reach(["instance"]), len(table))

    table.add(digest_of(tried), tried)
    assert 2 == table.reach(["instance"])
    table.remove(digest_of(tried))
    table.remove(digest_of(tried))

    assert before == (
        table.about("instance"),
        table.about("stack"),
        table.reach(["instance"]),
        len(table),
    )
    assert {"stack", "instance"} == table.reaching(["stack"])
    assert table.add(digest_of(tried), tried)


def test_answers_do_not_depend_on_the_order_of_arrival() -> None:
    facts = [link("stack", str(number)) for number in range(20)]
    other_way = list(reversed(facts))

    assert table_of(*facts).about("stack") == table_of(*other_way).about("stack")
    assert list(table_of(*facts).facts()) == list(table_of(*other_way).facts())


def test_a_table_larger_than_its_cache_goes_to_disk_and_knows_all() -> None:
    table = FactTable(StackFact, cache_kib=64)
    facts = [link(f"instance/{number}", f"stack/{number % 7}") for number in range(5_000)]
    for fact in facts:
        table.add(digest_of(fact), fact)

    assert len(facts) == len(table)
    assert all((fact,) == table.about(fact.concerns[0]) for fact in facts[::97])
    assert 715 == sum(key.startswith("instance/") for key in table.reaching(["stack/0"]))


def test_accounts_concern_their_own_key() -> None:
    table = FactTable(Account)
    fact = Account(account_id="111122223333", name="shop", source="file")
    table.add(digest_of(fact), fact)

    assert (fact,) == table.about("account/111122223333")
    assert 1 == table.reach(["account/111122223333", "111122223333/stack/x"])


def test_a_full_disk_is_no_fault_of_an_input() -> None:
    table = FactTable(StackFact, cache_kib=16)

    def fill() -> None:
        for number in range(3_000):
            fact = link(f"instance-{number}", "stack")
            table.add(digest_of(fact), fact)

    # Refused: the loop clears its marks, so that no event becomes a dead letter by it.
    with full_disk(), pytest.raises(Refused, match=r"facts: .*SQLITE_TMPDIR"):
        fill()
