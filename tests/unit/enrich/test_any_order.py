"""In whatever order files and facts come, and whatever is aborted: the same documents.

Two instances of enrich on a broker in memory, a store that keeps to the version rule, and repair.
What comes out is compared with one enrichment of each event that knows all facts from the start.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from opstrail_enrich.enrich_stage import EnrichStage
from opstrail_enrich.enrichment import Catalogs
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.learning import facts_of
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_schemas.facts import concerned_by, digest_of, facts_in
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import Account, RawEvent, StackFact
from opstrail_schemas.topics import TopicName
from tests.support.enriching import (
    AN_ACCOUNT,
    ENRICHED,
    PARTITIONS,
    STACK_FACT,
    Bench,
    stack_defined,
)
from tests.support.figures import Summed
from tests.support.memory_kafka import MemoryLog, StillPulse
from tests.support.stack_story import ACCOUNTS, files_of, story
from tests.support.story_events import Document, event_of, expected, without_delivery

STORIES, ORDERS = 30, 10
_READS = (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD)
STACK_FACTS, ACCOUNT_FACTS = Partition(TopicName.STACK_FACTS, 0), Partition(TopicName.ACCOUNTS, 0)


class LaggingLog(MemoryLog):
    """The facts that others wrote last are not stable yet: their transactions are under way.

    What was stable once stays so: `stable` is what a repair has seen.
    """

    rng: random.Random
    stable: dict[Partition, int]

    def read_stable(self, partition: Partition, pulse: Pulse, *, start: int) -> Iterator[Record]:
        records = list(super().read_stable(partition, pulse, start=start))
        least = min(len(records), max(0, self.stable.get(partition, 0) - start))
        seen = records[: self.rng.randint(least, len(records))]
        self._positions[partition] = start + len(seen)
        return iter(seen)


@dataclass(slots=True)
class World:
    """All that runs, driven by a seed."""

    rng: random.Random
    bench: Bench = field(default_factory=lambda: Bench(transaction_bytes=4_000))
    stages: list[EnrichStage] = field(default_factory=list)
    positions: Counter[Partition] = field(default_factory=Counter)
    store: dict[str, Document] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    stable: dict[Partition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = [self.started(number) for number in range(PARTITIONS)]

    def started(self, number: int) -> EnrichStage:
        """Return an instance that holds the partitions of that number."""
        stage = self.bench.stage()
        log = LaggingLog(self.bench.kafka)
        log.rng, log.stable = self.rng, self.stable
        stage.log = stage.facts.log = log
        stage.restore([Partition(topic, number) for topic in _READS], StillPulse())
        return stage

    def enrich(self, number: int, topic: TopicName) -> bool:
        """Let an instance work on what comes next; it may abort, or die and start anew."""
        partition = Partition(topic, number)
        at = self.positions[partition]
        records = self.bench.kafka.logs.get(partition, [])[at : at + self.rng.randint(1, 12)]
        if not records:
            return False
        for commit in self.stages[number].work(records, StillPulse()):
            if self.rng.random() < 0.15:
                break  # the transaction was aborted: nothing of it is seen
            self.bench.apply(commit)
            self.positions.update({p: to - self.positions[p] for p, to in commit.offsets.items()})
        if self.rng.random() < 0.03:
            self.stages[number] = self.started(number)
        return True

    def store_all(self) -> None:
        """Write what is there by the version rule, as OpenSearch does."""
        for topic in (TopicName.EVENTS_ENRICHED, TopicName.EVENTS_REPAIRED):
            for number in range(PARTITIONS):
                partition = Partition(topic, number)
                log = self.bench.kafka.logs.get(partition, [])
                for record in log[self.positions[partition] :]:
                    self._write(record)
                self.positions[partition] = len(log)

    def _write(self, record: Record) -> None:
        enriched = ENRICHED.decode(record.value or b"")
        version = enriched.enrichment.version
        identity = (record.key or b"").decode()
        held = self.store.get(identity)
        if held is None or version > held[0]:
            self.store[identity] = (version, without_delivery(enriched.enrichment))
            self.writes[identity] += 1

    def settle(self) -> None:
        """Let all be enriched and stored that is there."""
        for topic in _READS:
            for number in range(PARTITIONS):
                while self.enrich(number, topic):
                    pass
        self.store_all()

    def repair(self, events: Mapping[str, RawEvent]) -> int:
        """Send the events back that newer facts concern; return their number."""
        self.settle()
        stacks, accounts = self.facts()
        tables = Catalogs()
        for fact in stacks:
            tables.stacks.facts.add(digest_of(fact), fact)
        for account in accounts:
            tables.accounts.facts.add(digest_of(account), account)
        newer: list[StackFact | Account] = [
            *stacks[self.stable.get(STACK_FACTS, 0) :],
            *accounts[self.stable.get(ACCOUNT_FACTS, 0) :],
        ]
        self.stable |= {STACK_FACTS: len(stacks), ACCOUNT_FACTS: len(accounts)}
        keys = tables.stacks.facts.reaching(key for fact in newer for key in concerned_by(fact))
        sent = 0
        for identity, (version, enrichment) in self.store.items():
            named = enrichment.stack_keys
            known = tables.stacks.facts.reach(named) + tables.accounts.facts.reach(named)
            if known > facts_in(version):
                assert keys & set(named), "a fact changes it that its keys do not lead to"
                self.bench.put(events[identity], TopicName.EVENTS_REREAD)
                sent += 1
        self.settle()
        return sent

    def facts(self) -> tuple[list[StackFact], list[Account]]:
        """Return all facts on their topics."""
        return (
            [STACK_FACT.decode(r.value or b"") for r in self.log(TopicName.STACK_FACTS)],
            [AN_ACCOUNT.decode(r.value or b"") for r in self.log(TopicName.ACCOUNTS)],
        )

    def log(self, topic: TopicName) -> list[Record]:
        """Return the messages of a topic."""
        return self.bench.kafka.messages(topic)


def imported(rng: random.Random, records: Sequence[Mapping[str, Any]]) -> list[StackFact | Account]:
    """Return what somebody imports: names of accounts, inventories of some stacks."""
    facts: list[StackFact | Account] = [
        Account(account_id=account, name=f"name-{account[0]}", source="file")
        for account in ACCOUNTS
    ]
    named = {r["requestParameters"].get("stackId") for r in records} - {None}
    facts += [
        stack_defined(stack, name=f"stack-{rng.randrange(6)}", region="eu-west-1")
        for stack in rng.sample(sorted(named), min(2, len(named)))
    ]
    # Some tell which stack a creation without id made; the stack may be another one's all the same.
    made = {(r["responseElements"] or {}).get("stackId") for r in records}
    for account in ACCOUNTS:
        unmade = sorted({i for r in of(records, account) if (i := stack_id(r))} - made)
        orphans = [r for r in of(records, account) if is_without_id(r)]
        for stack, orphan in zip(unmade, rng.sample(orphans, len(orphans)), strict=False):
            facts += an_inventory(rng, account, stack, orphan)
    return facts


def of(records: Sequence[Mapping[str, Any]], account: str) -> list[Mapping[str, Any]]:
    return [record for record in records if record["recipientAccountId"] == account]


def stack_id(record: Mapping[str, Any]) -> str | None:
    value: str | None = record["requestParameters"].get("stackId")
    return value


def is_without_id(record: Mapping[str, Any]) -> bool:
    return record["eventName"] == "CreateStack" and record["responseElements"] is None


def an_inventory(
    rng: random.Random, account: str, stack: str, made_by: Mapping[str, Any]
) -> list[StackFact]:
    request = made_by["requestParameters"]
    answer = {"StackId": stack, "Name": request["name"], "Region": request["region"]}
    if rng.random() < 0.5:
        answer["CreatedAt"] = made_by["eventTime"]
    if rng.random() < 0.5:
        answer["ServiceRoleArn"] = request["serviceRoleArn"]
    return stack_facts([Saved("s.json", json.dumps({"Stacks": [answer]}))], account_id=account)


@pytest.mark.parametrize("seed", range(STORIES))
def test_any_order_ends_in_the_same_documents(seed: int, summed: Summed) -> None:
    records = story(seed)
    events = {
        event_key(event.account_id, event.event_id).decode(): event
        for event in map(event_of, records)
    }
    imports = imported(random.Random(seed), records)
    learnt = [fact for event in events.values() for fact in facts_of(event)]
    wanted = expected(events.values(), [*learnt, *imports])
    repaired = otherwise = 0

    for order in range(ORDERS):
        rng = random.Random(seed * 1_000 + order)
        world = World(rng)
        coming = [[event_of(record) for record in file] for file in files_of(records, rng)]
        late: float | None = rng.choice(
            [0.0, 0.1, 1.0]
        )  # when the imports come: early, in between, at the end
        for place, file in enumerate(coming):
            for event in file:
                world.bench.put(event)
            if late is not None and place >= late * (len(coming) - 1):
                for fact in imports:
                    world.bench.know(fact)
                late = None
            for _ in range(rng.randrange(4)):
                world.enrich(rng.randrange(PARTITIONS), rng.choice(_READS))
            if rng.random() < 0.1:
                repaired += world.repair(events)
        repaired += world.repair(events)

        otherwise += wanted != world.store
        assert 0 == world.repair(events), "a second repair finds nothing"
    for name, number, goal in (
        ("permutations", ORDERS, "at least 300"),
        ("permutations that end otherwise", otherwise, "0"),
        ("facts learnt from the trail", len({*map(digest_of, learnt)}), "none set"),
        ("repairs", repaired, "none set"),
    ):
        summed(f"any order, in memory: {name}", number, goal)
    assert 0 == otherwise
