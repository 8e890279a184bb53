"""What is known about accounts: a fold over the set of account facts (PURE)."""

from collections.abc import Iterator
from typing import NamedTuple

from opstrail_enrich.account_history import TAG, history, last_change, says, text_in
from opstrail_enrich.as_of import LATEST, Said, as_of
from opstrail_runtime.fact_table import FactTable
from opstrail_schemas.facts import account_key
from opstrail_schemas.messages import Account, AccountInfo


class KnownAccount(NamedTuple):
    """An account as it was last known, and the time of its last change that is known."""

    account_id: str
    info: AccountInfo
    since: int | None


class AccountCatalog:
    """All account facts known, in any order, each once."""

    def __init__(self) -> None:
        self.facts = FactTable(Account, cache_kib=4096)
        self._said: dict[str, tuple[tuple[Account, ...], list[Said]]] = {}

    def said(self, account_id: str) -> list[Said]:
        """Return all that facts say about an account, whenever it holds."""
        facts = self.facts.about(account_key(account_id))
        if not facts:  # so that only accounts are remembered that are known
            return []
        held = self._said.get(account_id)
        # The table hands out the same tuple until there is another fact about the account.
        if held is None or held[0] is not facts:
            held = self._said[account_id] = (facts, history(facts))
        return held[1]

    def contradictions(self, fact: Account) -> list[str]:
        """Return what is known otherwise of the same time: together they leave it unknown."""
        same_time = (
            Said(None, None, says(other))
            for other in self.facts.about(account_key(fact.account_id))
            if other.valid_from == fact.valid_from
        )
        known = as_of(LATEST, same_time)
        return [
            f"account {fact.account_id}: {name} is {text_in(value)!r} here, "
            f"{text_in(known[name])!r} is known"
            for name, value in says(fact).items()
            if known.get(name, value) != value
        ]

    def info(self, account_id: str, at: int | None = LATEST) -> AccountInfo | None:
        """Return what is known of an account as of a time; None where that is nothing."""
        said = as_of(at, self.said(account_id))
        texts = {name: text for name, value in said.items() if (text := text_in(value)) is not None}
        if not texts:
            return None
        return AccountInfo(
            name=texts.get("name"),
            ou_path=texts.get("ouPath"),
            state=texts.get("state"),
            tags={
                name.removeprefix(TAG): text
                for name, text in sorted(texts.items())
                if name.startswith(TAG)
            },
        )

    def accounts(self) -> Iterator[KnownAccount]:
        """Yield every account and what is known of it last, by number."""
        for account_id in sorted({fact.account_id for fact in self.facts.facts()}):
            yield KnownAccount(
                account_id,
                self.info(account_id) or AccountInfo(),
                last_change(self.said(account_id)),
            )
