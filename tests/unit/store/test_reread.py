"""Repair on documents and a broker in memory: what moves, what does not, and where it resumes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from opstrail_runtime.errors import OutcomeUnknown, Unavailable
from opstrail_runtime.stage import Partition
from opstrail_schemas.facts import digest_of, version_of
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName
from opstrail_store import reread
from opstrail_store.document import event_body, event_document_id
from opstrail_store.reread import Reread
from opstrail_store.stored_documents import Known
from tests.support.enriched import a_raw, an_enriched
from tests.support.enriching import AN_ACCOUNT, RAW, STACK_FACT
from tests.support.memory_kafka import MemoryKafka, MemoryLog, MemoryWriter, StillPulse


@dataclass
class Store:
    """Documents by id, as repair sees them."""

    documents: dict[str, tuple[Known, bytes]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    refreshed: int = 0

    def put(self, event_id: str, *keys: str, facts: int = 0) -> None:
        enriched = an_enriched(a_raw(eventID=event_id), event_id=event_id)
        enriched = msgspec.structs.replace(
            enriched,
            enrichment=msgspec.structs.replace(
                enriched.enrichment, stack_keys=list(keys), version=version_of(1, facts)
            ),
        )
        known = Known("i", event_document_id(enriched.event), version_of(1, facts), keys)
        self.documents[known.id] = (known, event_body(enriched, stored_at=5))

    def refresh(self) -> None:
        self.refreshed += 1

    def naming(self, keys: Sequence[str]) -> Iterator[Known]:
        self.asked.append(list(keys))
        for known, _ in list(self.documents.values()):
            if set(keys) & set(known.stack_keys):
                yield known

    def all(self) -> Iterator[Known]:
        return iter([known for known, _ in self.documents.values()])

    def sources(self, documents: Sequence[Known]) -> Iterator[bytes | None]:
        for known in documents:
            yield self.documents[known.id][1] if known.id in self.documents else None


@dataclass
class Progress:
    """Offsets that outlive a repair."""

    offsets: dict[Partition, int] = field(default_factory=dict)

    def load(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return {at: self.offsets.get(at, 0) for at in partitions}

    def save(self, offsets: Mapping[Partition, int]) -> None:
        self.offsets |= offsets


@dataclass
class Lags:
    """Services that catch up a little each time they are asked."""

    left: int = 0

    def ends(self, topics: Sequence[TopicName]) -> Mapping[tuple[str, int], int]:
        return {(str(name), 0): 1 for name in topics}

    def behind(self, group: str, ends: Mapping[tuple[str, int], int]) -> int:
        self.left = max(0, self.left - 1)
        return self.left


@dataclass
class World:
    """What outlives a repair."""

    store: Store = field(default_factory=Store)
    progress: Progress = field(default_factory=Progress)
    lags: Lags = field(default_factory=Lags)
    pulse: StillPulse = field(default_factory=StillPulse)
    kafka: MemoryKafka = field(default_factory=lambda: MemoryKafka(dict.fromkeys(TopicName, 1)))

    def know(self, *facts: StackFact | Account) -> None:
        for fact in facts:
            if isinstance(fact, StackFact):
                self.kafka.append(TopicName.STACK_FACTS, digest_of(fact), STACK_FACT.encode(fact))
            else:
                self.kafka.append(TopicName.ACCOUNTS, digest_of(fact), AN_ACCOUNT.encode(fact))

    def repair(self) -> Reread:
        return Reread(
            log=MemoryLog(self.kafka),
            stack_facts=STACK_FACT,
            accounts=AN_ACCOUNT,
            reread=RAW,
            documents=self.store,
            progress=self.progress,
            writer=MemoryWriter(self.kafka, "s"),
            lags=self.lags,
            groups=("enrich", "store"),
            pulse=self.pulse,
            say=lambda _: None,
        )

    def sent(self) -> list[str]:
        return [
            RAW.decode(record.value or b"").event_id
            for record in self.kafka.messages(TopicName.EVENTS_REREAD)
        ]


def a_fact(*concerns: str, leads_to: Sequence[str] = (), **more: Any) -> StackFact:
    return StackFact(
        kind="childBelongs", account_id="1", concerns=list(concerns), leads_to=list(leads_to),
        source="trail", **more,
    )  # fmt: skip


def test_only_what_counts_fewer_facts_than_are_known_is_sent() -> None:
    world = World()
    world.know(a_fact("instance", leads_to=["stack"]), a_fact("stack"))
    world.store.put("behind", "instance", facts=1)
    world.store.put("complete", "instance", facts=2)
    world.store.put("stack-complete", "stack", facts=1)
    world.store.put("elsewhere", "other")

    result = world.repair().run()

    assert ["behind"] == world.sent()
    assert (2, 3, 1) == (result.facts, result.examined, result.sent)


def test_names_of_accounts_count_too() -> None:
    world = World()
    world.know(Account(account_id="111122223333", name="shop", source="file"))
    world.store.put("a", "account/111122223333", "instance")

    world.repair().run()

    assert ["a"] == world.sent()


def test_the_next_one_begins_where_this_one_ended() -> None:
    world = World()
    world.know(a_fact("a"))
    world.store.put("x", "a")
    world.repair().run()
    world.store.put("x", "a", facts=1)

    again = world.repair().run()
    world.know(a_fact("b"))
    world.store.put("y", "b")
    third = world.repair().run()

    assert (0, 0, 0) == (again.facts, again.examined, again.sent)
    assert ["x", "y"] == world.sent()
    assert 1 == third.facts


def test_one_that_died_begins_anew_and_passes_over_what_is_repaired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reread, "_MOST_EVENTS", 1)
    world = World()
    world.know(a_fact("a"))
    for name in ("x", "y", "z"):
        world.store.put(name, "a")
    dying = world.repair()
    commit = dying.writer.commit

    def away_at_the_second(*arguments: Any) -> None:
        if world.sent():
            raise Unavailable("kafka", "away")
        commit(*arguments)

    monkeypatch.setattr(dying.writer, "commit", away_at_the_second)
    with pytest.raises(Unavailable):
        dying.run()
    assert ["x"] == world.sent()
    world.store.put("x", "a", facts=1)

    world.repair().run()

    assert ["x", "y", "z"] == world.sent()


def test_many_keys_are_asked_for_in_parts_and_a_document_is_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reread, "MOST_KEYS", 2)
    world = World()
    world.know(*(a_fact(key) for key in "abcde"))
    world.store.put("x", "a", "c", "e")
    world.store.put("y", "d", "e")

    world.repair().run()

    assert [["a", "b"], ["c", "d"], ["e"]] == world.store.asked
    assert ["x", "y"] == world.sent()


def test_what_is_on_its_way_is_waited_for_before_documents_are_looked_at() -> None:
    world = World(lags=Lags(left=4))
    world.know(a_fact("a"))

    world.repair().run()

    assert ["enrich is 3 behind", "enrich is 2 behind", "enrich is 1 behind"] == [
        why for _, why in world.pulse.waits
    ]
    assert 1 == world.store.refreshed


def test_all_are_sent_whatever_they_count() -> None:
    world = World()
    world.store.put("x", "a", facts=9)
    world.store.put("y")

    result = world.repair().run_over_all()

    assert ["x", "y"] == world.sent()
    assert 2 == result.sent


def test_a_document_that_is_not_of_our_making_is_counted_and_stays() -> None:
    world = World()
    world.know(a_fact("a"))
    world.store.put("x", "a")
    known, _ = world.store.documents["111122223333/x"]
    world.store.documents[known.id] = (known, b'{"eventName":"A"}')

    result = world.repair().run()

    assert (0, 1) == (result.sent, result.unreadable)


def test_a_fact_of_an_unknown_version_moves_nothing() -> None:
    world = World()
    world.know(a_fact("a", fact_version=99))
    world.store.put("x", "a")

    assert 0 == world.repair().run().sent


def test_a_fact_of_a_later_version_is_looked_at_again_and_others_meanwhile() -> None:
    world = World()
    world.know(a_fact("a"), a_fact("b", fact_version=99), a_fact("c"))

    first, second = world.repair().run(), world.repair().run()

    assert (2, 1) == (first.facts, second.facts)
    assert 1 == world.progress.offsets[Partition(TopicName.STACK_FACTS, 0)]


def test_a_transaction_whose_end_is_unknown_is_a_server_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.know(a_fact("a"))
    world.store.put("x", "a")
    repair = world.repair()

    def unknown(*_: Any) -> None:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(repair.writer, "commit", unknown)
    with pytest.raises(Unavailable):
        repair.run()
    assert {} == world.progress.offsets


def test_without_facts_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lags=Lags(left=1_000))
    unused: Callable[..., Any] = lambda *_: pytest.fail("asked")  # noqa: E731
    monkeypatch.setattr(world.store, "naming", unused)

    assert 0 == world.repair().run().sent
    assert [] == world.pulse.waits
