"""The facts topics, followed: everything from their start once, then whatever is newer.

A transaction's own facts count at once, for all its records, and are taken back when it is not
committed (`catch_up` of the next attempt does that).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from opstrail_enrich.enrichment import Catalogs
from opstrail_enrich.telemetry import FactsIgnored, FactsRead
from opstrail_runtime.fact_topics import ACCOUNTS, STACK_FACTS, add_facts
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Output, Pulse, Record
from opstrail_runtime.telemetry import emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName


@dataclass(slots=True)
class FactLog:
    """Keeps `catalogs` up to date. What was read stays: facts are never taken back."""

    log: Log
    stack_facts: Codec[StackFact]
    accounts: Codec[Account]
    catalogs: Catalogs = field(default_factory=Catalogs)
    restored: bool = False
    _learnt: list[StackFact | Account] = field(default_factory=list)

    def restore(self, pulse: Pulse) -> None:
        """Read all facts from the logs' start, once. Raises Unavailable: call again."""
        if self.restored:
            return
        self._stack_facts(self.log.read(STACK_FACTS, pulse))
        self._accounts(self.log.read(ACCOUNTS, pulse))
        self.restored = True

    def catch_up(self, pulse: Pulse) -> None:
        """Forget what was learnt and not committed; read up to the last stable offsets.

        Waits for no transaction: what it misses is repaired.
        """
        self.forget_learnt()
        known = self.catalogs
        self._stack_facts(self.log.read_stable(STACK_FACTS, pulse, start=known.stack_facts_offset))
        self._accounts(self.log.read_stable(ACCOUNTS, pulse, start=known.accounts_offset))

    def learn(self, fact: StackFact | Account) -> Output | None:
        """Add a fact that an event shows; return its message, or None where it is known."""
        digest = digest_of(fact)
        if isinstance(fact, StackFact):
            if not self.catalogs.stacks.facts.add(digest, fact):
                return None
            out = Output(TopicName.STACK_FACTS, digest, self.stack_facts.encode(fact))
        else:
            if not self.catalogs.accounts.facts.add(digest, fact):
                return None
            out = Output(TopicName.ACCOUNTS, digest, self.accounts.encode(fact))
        self._learnt.append(fact)
        return out

    def keep_learnt(self) -> None:
        """The transaction was committed: its facts are on their topics."""
        self._learnt.clear()

    def forget_learnt(self) -> None:
        """The transaction was not committed: its facts are on no topic."""
        for fact in self._learnt:
            if isinstance(fact, StackFact):
                self.catalogs.stacks.facts.remove(digest_of(fact))
            else:
                self.catalogs.accounts.facts.remove(digest_of(fact))
        self._learnt.clear()

    def _stack_facts(self, records: Iterator[Record]) -> None:
        ignored = add_facts(records, self.stack_facts, self.catalogs.stacks.facts)
        self.catalogs.stack_facts_offset = self.log.position(STACK_FACTS)
        _told(TopicName.STACK_FACTS, len(self.catalogs.stacks.facts), ignored)

    def _accounts(self, records: Iterator[Record]) -> None:
        ignored = add_facts(records, self.accounts, self.catalogs.accounts.facts)
        self.catalogs.accounts_offset = self.log.position(ACCOUNTS)
        _told(TopicName.ACCOUNTS, len(self.catalogs.accounts.facts), ignored)


def _told(topic: TopicName, known: int, ignored: int) -> None:
    emit(FactsRead(str(topic), known))
    if ignored:
        emit(FactsIgnored(str(topic), ignored))
