"""The facts topics, followed: everything from their start once, then whatever is newer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from opstrail_enrich.enrichment import Catalogs
from opstrail_enrich.facts import FACT_VERSION
from opstrail_enrich.telemetry import FactsIgnored, FactsRead
from opstrail_runtime.codecs import decoded
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.log import Log
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_runtime.telemetry import emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName

STACK_FACTS = Partition(TopicName.STACK_FACTS, 0)
ACCOUNTS = Partition(TopicName.ACCOUNTS, 0)
Fact = TypeVar("Fact", StackFact, Account)


@dataclass(slots=True)
class FactLog:
    """Keeps `catalogs` up to date. What was read stays: facts are never taken back."""

    log: Log
    stack_facts: Codec[StackFact]
    accounts: Codec[Account]
    catalogs: Catalogs = field(default_factory=Catalogs)
    restored: bool = False

    def restore(self, pulse: Pulse) -> None:
        """Read all facts from the logs' start, once. Raises Unavailable: call again."""
        if self.restored:
            return
        self._stack_facts(self.log.read(STACK_FACTS, pulse))
        self._accounts(self.log.read(ACCOUNTS, pulse))
        self.restored = True

    def catch_up(self, pulse: Pulse) -> None:
        """Read what is newer, up to the last stable offsets: waits for no transaction."""
        known = self.catalogs
        self._stack_facts(self.log.read_stable(STACK_FACTS, pulse, start=known.stack_facts_offset))
        self._accounts(self.log.read_stable(ACCOUNTS, pulse, start=known.accounts_offset))

    def _stack_facts(self, records: Iterator[Record]) -> None:
        _add_all(records, self.stack_facts, self.catalogs.stacks.add)
        self.catalogs.stack_facts_offset = self.log.position(STACK_FACTS)
        emit(FactsRead(str(TopicName.STACK_FACTS), len(self.catalogs.stacks)))

    def _accounts(self, records: Iterator[Record]) -> None:
        _add_all(records, self.accounts, self.catalogs.accounts.add)
        self.catalogs.accounts_offset = self.log.position(ACCOUNTS)
        emit(FactsRead(str(TopicName.ACCOUNTS), len(self.catalogs.accounts)))


def _add_all(
    records: Iterator[Record], codec: Codec[Fact], add: Callable[[bytes, Fact], bool]
) -> None:
    """Add each fact under its message key, which is its digest."""
    ignored, topic = 0, ""
    for record in records:
        fact = _fact(record, codec)
        if fact is None or record.key is None:
            ignored, topic = ignored + 1, str(record.partition.topic)
        else:
            add(record.key, fact)
    if ignored:
        emit(FactsIgnored(topic, ignored))


def _fact(record: Record, codec: Codec[Fact]) -> Fact | None:
    """Return the fact; None for what is none, and for a version that this code does not know."""
    try:
        fact = decoded(codec, record)
    except InvalidRecord:
        return None
    return fact if fact.fact_version == FACT_VERSION else None
