"""What AWS Organizations' answer adds to what is known about accounts (PURE)."""

from collections.abc import Sequence
from dataclasses import dataclass

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_enrich.account_history import TAG, is_gone, says, text_in
from opstrail_enrich.as_of import LATEST, as_of
from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account
from opstrail_schemas.topics import TopicName


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """A sync before it is done. `changes` say, a line each, what is otherwise than it was."""

    listed: int
    new: int
    changed: int
    facts: Sequence[Account]
    changes: Sequence[str]

    def outputs(self, codec: Codec[Account]) -> list[Output]:
        """Return the messages to write."""
        return [
            Output(TopicName.ACCOUNTS, digest_of(fact), codec.encode(fact)) for fact in self.facts
        ]


def plan_sync(listed: Sequence[Account], catalog: AccountCatalog, *, now_ms: int) -> SyncPlan:
    """Plan to write what is not known yet.

    What was never known is written without a time, for it may have been so for long; what was
    known otherwise is written as from now on, so that the old value keeps its time.
    """
    new = changed = 0
    facts: list[Account] = []
    changes: list[str] = []
    for account in listed:
        added, lines = _difference(account, catalog, now_ms)
        if added:
            known = bool(catalog.said(account.account_id))
            new, changed = new + (not known), changed + known
        facts += added
        changes += lines
    return SyncPlan(len(listed), new, changed, facts, changes)


def _difference(
    account: Account, catalog: AccountCatalog, now_ms: int
) -> tuple[list[Account], list[str]]:
    said = catalog.said(account.account_id)
    known, seen = as_of(LATEST, said), says(account)
    ever = {
        name for one in said for name, value in one.attributes.items() if text_in(value) is not None
    }
    differs = {name for name, value in seen.items() if known.get(name) != value}
    removed = {
        name
        for name, value in known.items()
        if name.startswith(TAG) and name not in seen and not is_gone(value)
    }
    facts = []
    if first := differs - ever:
        facts.append(_fact(account, first, set(), valid_from=None, seen_at=now_ms))
    if later := (differs & ever) | removed:
        facts.append(_fact(account, later, removed, valid_from=now_ms, seen_at=now_ms))
    return facts, [
        f"account {account.account_id}: {name} is {text_in(seen.get(name))!r}, "
        f"{text_in(known.get(name))!r} is known"
        for name in sorted(later)
    ]


def _fact(
    account: Account, names: set[str], removed: set[str], *, valid_from: int | None, seen_at: int
) -> Account:
    return Account(
        account_id=account.account_id,
        name=account.name if "name" in names else None,
        arn=account.arn,
        email=account.email,
        ou_path=account.ou_path if "ouPath" in names else None,
        state=account.state if "state" in names else None,
        tags={key: value for key, value in account.tags.items() if TAG + key in names},
        valid_from=valid_from,
        source="organizations",
        removed_tags=sorted(name.removeprefix(TAG) for name in removed),
        seen_at=seen_at,
    )
