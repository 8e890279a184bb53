"""What an answer of AWS Organizations adds to what is known."""

from typing import Any

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_enrich.account_sync import SyncPlan, plan_sync
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, AccountInfo
from tests.support.enriching import ACCOUNT, AN_ACCOUNT, T0

NOW, DAY = T0 + 10_000, 86_400_000


def listed(**says: Any) -> Account:
    shop = {"name": "shop", "ou_path": "Root/Prod", "state": "ACTIVE"}
    return Account(account_id=ACCOUNT, source="organizations", **(shop | says))


def synced(catalog: AccountCatalog, account: Account, *, now_ms: int = NOW) -> SyncPlan:
    """Return the plan, done."""
    plan = plan_sync([account], catalog, now_ms=now_ms)
    for fact in plan.facts:
        catalog.facts.add(digest_of(fact), fact)
    return plan


def test_what_was_never_known_is_written_without_a_time() -> None:
    catalog = AccountCatalog()

    plan = synced(catalog, listed(tags={"team": "shop"}, email="a@example.com", arn="arn:x"))

    assert [
        listed(tags={"team": "shop"}, email="a@example.com", arn="arn:x", seen_at=NOW)
    ] == plan.facts
    assert (1, 1, 0, []) == (plan.listed, plan.new, plan.changed, plan.changes)
    assert catalog.info(ACCOUNT, 0) == catalog.info(ACCOUNT) != AccountInfo()


def test_a_sync_that_finds_nothing_new_writes_nothing() -> None:
    catalog = AccountCatalog()
    account = listed(tags={"team": "", "owner": "me"})
    synced(catalog, account)
    renamed = listed(name="new", tags={"team": "x"})
    synced(catalog, renamed, now_ms=NOW + DAY)

    again = synced(catalog, renamed, now_ms=NOW + 2 * DAY)

    assert ([], 0, 0) == (again.facts, again.new, again.changed)


def test_an_old_name_keeps_its_time() -> None:
    catalog = AccountCatalog()
    synced(catalog, listed(tags={"team": "a", "owner": "me"}))

    plan = synced(catalog, listed(name="new", tags={"team": "b"}), now_ms=NOW + DAY)

    assert [
        Account(
            account_id=ACCOUNT,
            name="new",
            tags={"team": "b"},
            removed_tags=["owner"],
            valid_from=NOW + DAY,
            seen_at=NOW + DAY,
            source="organizations",
        )
    ] == plan.facts
    assert [
        f"account {ACCOUNT}: name is 'new', 'shop' is known",
        f"account {ACCOUNT}: tag:owner is None, 'me' is known",
        f"account {ACCOUNT}: tag:team is 'b', 'a' is known",
    ] == plan.changes
    before, after = (catalog.info(ACCOUNT, at) for at in (NOW + DAY - 1, NOW + DAY))
    assert ("shop", {"owner": "me", "team": "a"}) == (before and (before.name, before.tags))
    assert ("new", {"team": "b"}) == (after and (after.name, after.tags))


def test_what_the_trail_hid_is_filled_in_since_its_change() -> None:
    catalog = AccountCatalog()
    moved = Account(
        account_id=ACCOUNT, valid_from=T0, event_id="e", hidden=["ouPath"], source="trail"
    )
    catalog.facts.add(digest_of(moved), moved)

    plan = synced(catalog, listed())

    assert [listed(seen_at=NOW)] == plan.facts
    assert (0, 1) == (plan.new, plan.changed)
    paths = [info and info.ou_path for info in (catalog.info(ACCOUNT, at) for at in (T0 - 1, T0))]
    assert [None, "Root/Prod"] == paths


def test_one_account_may_have_news_of_both_kinds() -> None:
    catalog = AccountCatalog()
    old = Account(account_id=ACCOUNT, name="old", source="file")
    catalog.facts.add(digest_of(old), old)

    first, later = synced(catalog, listed()).facts

    assert (None, "Root/Prod", None) == (first.name, first.ou_path, first.valid_from)
    assert ("shop", None, NOW) == (later.name, later.ou_path, later.valid_from)


def test_the_messages_are_the_facts_under_their_digests() -> None:
    plan = synced(AccountCatalog(), listed())

    (output,) = plan.outputs(AN_ACCOUNT)

    assert digest_of(plan.facts[0]) == output.key
    assert plan.facts[0] == AN_ACCOUNT.decode(output.value or b"")
