"""Accounts as of a time: what the trail saw change, what files say, what AWS answered."""

import itertools
from typing import Any

import pytest

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, AccountInfo
from tests.support.enriching import ACCOUNT, T0

HOUR = 3_600_000


def catalog(*facts: Account) -> AccountCatalog:
    found = AccountCatalog()
    for fact in facts:
        found.facts.add(digest_of(fact), fact)
    return found


def by_file(**says: Any) -> Account:
    return Account(account_id=ACCOUNT, source="file", **says)


def by_aws(at: int, *, first: bool = True, **says: Any) -> Account:
    since = None if first else at
    return Account(account_id=ACCOUNT, source="organizations", seen_at=at, valid_from=since, **says)


def by_trail(at: int, event_id: str = "e", **says: Any) -> Account:
    return Account(account_id=ACCOUNT, source="trail", valid_from=at, event_id=event_id, **says)


def infos(*facts: Account, at: tuple[int | None, ...]) -> list[AccountInfo | None]:
    """Return what is known at these times, having seen that the facts' order does not matter."""
    found = [
        [catalog(*order).info(ACCOUNT, time) for time in at]
        for order in itertools.permutations(facts)
    ]
    assert all(one == found[0] for one in found)
    return found[0]


def names(*facts: Account, at: tuple[int | None, ...]) -> list[str | None]:
    return [None if info is None else info.name for info in infos(*facts, at=at)]


AROUND = (T0 - 1, T0, T0 + HOUR, None)


def test_a_rename_that_the_trail_shows_takes_effect_at_its_time() -> None:
    facts = by_file(name="old"), by_trail(T0, name="new")

    assert ["old", "new", "new", "old"] == names(*facts, at=AROUND)


def test_a_file_with_the_new_name_says_nothing_of_the_time_before() -> None:
    facts = by_file(name="new"), by_trail(T0, name="new")

    assert [None, "new", "new", None] == names(*facts, at=AROUND)


def test_after_a_rename_to_a_hidden_name_a_file_says_nothing_for_sure() -> None:
    facts = by_file(name="one"), by_trail(T0, hidden=["name"])

    assert [None, None, None, None] == names(*facts, at=AROUND)


def test_what_aws_answers_has_been_so_since_the_last_change_before() -> None:
    facts = by_trail(T0, hidden=["name"]), by_aws(T0 + HOUR, name="new")

    assert [None, "new", "new", None] == names(*facts, at=AROUND)


def test_what_aws_answered_before_a_change_held_until_then() -> None:
    facts = by_aws(T0 - HOUR, name="old"), by_trail(T0, hidden=["name"])

    assert ["old", None, None, None] == names(*facts, at=AROUND)


def test_a_second_answer_says_what_a_hidden_change_between_the_two_led_to() -> None:
    facts = (
        by_aws(T0 - HOUR, name="old"),
        by_trail(T0, hidden=["name"]),
        by_aws(T0 + HOUR, first=False, name="new"),
    )

    assert ["old", "new", "new", None] == names(*facts, at=AROUND)


def test_a_change_that_no_record_shows_is_known_from_the_answer_on() -> None:
    facts = by_trail(T0 - HOUR, name="old"), by_aws(T0, name="new")

    assert ["old", "new", "new", None] == names(*facts, at=AROUND)


def test_an_answer_that_a_change_says_already_adds_nothing() -> None:
    facts = by_trail(T0, name="new"), by_aws(T0 + HOUR, name="new")

    assert [None, "new", "new", None] == names(*facts, at=AROUND)


def test_without_any_change_an_answer_holds_for_all_times() -> None:
    assert ["one"] * 4 == names(by_aws(T0, name="one"), at=AROUND)


def test_two_answers_that_contradict_each_other_leave_a_name_unknown() -> None:
    facts = by_aws(T0, first=False, name="a"), by_aws(T0, first=False, name="b")

    assert [None, None, None, None] == names(*facts, at=AROUND)


def test_tags_that_are_taken_away_are_gone_and_empty_ones_are_not() -> None:
    facts = (
        by_file(tags={"team": "shop", "owner": "me", "empty": ""}),
        by_trail(T0, removed_tags=["owner"]),
    )

    assert [
        {"empty": "", "owner": "me", "team": "shop"},
        {"empty": "", "team": "shop"},
    ] == [info.tags for info in infos(*facts, at=(T0 - 1, T0)) if info]


def test_an_account_that_left_has_no_path_state_and_tags_but_its_name() -> None:
    facts = (
        by_file(name="shop", ou_path="Root/Prod", state="ACTIVE", tags={"team": "shop"}),
        by_trail(T0, ou_path="", state="", removed_tags=["*"]),
    )

    assert [
        AccountInfo(name="shop", ou_path="Root/Prod", state="ACTIVE", tags={"team": "shop"}),
        AccountInfo(name="shop"),
    ] == infos(*facts, at=(T0 - 1, T0))


@pytest.mark.parametrize(("asked", "done"), [("a", "b"), ("b", "a")])
def test_an_account_closed_within_a_second_is_suspended(asked: str, done: str) -> None:
    facts = by_trail(T0, asked, state="PENDING_CLOSURE"), by_trail(T0, done, state="SUSPENDED")

    assert [AccountInfo(state="SUSPENDED")] == infos(*facts, at=(T0,))


def test_two_changes_of_one_second_are_ordered_by_their_events() -> None:
    facts = by_trail(T0, "b", name="last"), by_trail(T0, "a", name="first")

    assert ["last"] == names(*facts, at=(T0,))


def test_a_new_fact_is_seen_at_once() -> None:
    found = catalog(by_file(name="old"))
    before = found.info(ACCOUNT)
    fact = by_trail(T0, name="new")
    found.facts.add(digest_of(fact), fact)

    assert (AccountInfo(name="old"), AccountInfo(name="new")) == (before, found.info(ACCOUNT))


def test_a_list_says_since_when_an_account_is_as_it_is() -> None:
    found = catalog(
        by_aws(T0 - HOUR, name="old", state="ACTIVE"),
        by_trail(T0, hidden=["name"]),
        by_aws(T0 + HOUR, first=False, name="new"),
    )

    assert [(ACCOUNT, AccountInfo(name="new", state="ACTIVE"), T0)] == list(found.accounts())
