"""What is known about accounts: a fold over the set of account facts (PURE)."""

from collections.abc import Iterator

from opstrail_enrich.as_of import LATEST, Said, as_of
from opstrail_runtime.fact_table import FactTable
from opstrail_schemas.facts import account_key
from opstrail_schemas.messages import Account, AccountInfo

_TAG = "tag:"


class AccountCatalog:
    """All account facts known, in any order, each once."""

    def __init__(self) -> None:
        self.facts = FactTable(Account, cache_kib=4096)

    def said(self, account_id: str) -> list[Said]:
        """Return all that facts say about an account, whenever they hold."""
        return [
            Said(fact.valid_from, None, _attributes(fact))
            for fact in self.facts.about(account_key(account_id))
        ]

    def contradictions(self, fact: Account) -> list[str]:
        """Return what is known otherwise of the same time: together they leave it unknown."""
        known = as_of(LATEST, (s for s in self.said(fact.account_id) if s.since == fact.valid_from))
        return [
            f"account {fact.account_id}: {name} is {value!r} here, {known[name]!r} is known"
            for name, value in _attributes(fact).items()
            if known.get(name, value) != value
        ]

    def info(self, account_id: str, at: int | None = LATEST) -> AccountInfo | None:
        """Return what is known of an account as of a time; None where that is nothing."""
        said = as_of(at, self.said(account_id))
        if not said:
            return None
        return AccountInfo(
            name=said.get("name"),
            ou_path=said.get("ouPath"),
            state=said.get("state"),
            tags={
                name.removeprefix(_TAG): value
                for name, value in sorted(said.items())
                if name.startswith(_TAG)
            },
        )

    def accounts(self) -> Iterator[tuple[str, AccountInfo]]:
        """Yield every account and what is known of it last, by number."""
        for account_id in sorted({fact.account_id for fact in self.facts.facts()}):
            yield account_id, self.info(account_id) or AccountInfo()


def _attributes(fact: Account) -> dict[str, str]:
    said = {"name": fact.name, "ouPath": fact.ou_path, "state": fact.state}
    return {name: value for name, value in said.items() if value is not None} | {
        _TAG + name: value for name, value in fact.tags.items()
    }
