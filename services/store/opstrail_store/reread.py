"""Repair: events that newer facts concern go back through enrich, on events.reread.

    facts since the last time -> keys from which they are reached -> documents that name one
    -> those whose version counts fewer facts than are known -> events.reread

It waits first until what was on its way is stored, so that no document is missed that was enriched
without those facts. It can be stopped at any time: the next one begins where the last complete one
ended, and passes over what is repaired, because of its version.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from opstrail_runtime.errors import LeaseLost, Unavailable
from opstrail_runtime.fact_table import Fact, FactTable
from opstrail_runtime.fact_topics import (
    ACCOUNTS,
    STACK_FACTS,
    add_facts,
    is_newer_fact,
    usable_fact,
)
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.log import Log
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Output, Partition, Pulse, Record
from opstrail_runtime.telemetry import emit
from opstrail_schemas.codec import Codec
from opstrail_schemas.facts import concerned_by, facts_in
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import Account, RawEvent, StackFact
from opstrail_schemas.topics import TopicName
from opstrail_store.stored_documents import Known
from opstrail_store.stored_event import event_in
from opstrail_store.telemetry import EventsReread

MOST_KEYS = 20_000  # in one query; OpenSearch takes 65,536
MOST_BEHIND = 20_000  # events that may be on their way while more are sent
_MOST_EVENTS, _MOST_BYTES = 2_000, 8_000_000  # in one transaction
_WAIT_S = 0.2


class Documents(Protocol):
    """What is stored."""

    def refresh(self) -> None:
        """Let everything be seen that was written."""

    def naming(self, keys: Sequence[str]) -> Iterator[Known]:
        """Yield the documents that name any of these keys."""

    def all(self) -> Iterator[Known]:
        """Yield all documents."""

    def sources(self, documents: Sequence[Known]) -> Iterator[bytes | None]:
        """Yield their bytes, in order; None for one that is gone."""


class Progress(Protocol):
    """Offsets that outlive this process."""

    def load(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return them; 0 where there is none."""

    def save(self, offsets: Mapping[Partition, int]) -> None:
        """Keep them."""


class Writer(Protocol):
    """Writes messages in transactions."""

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write them, all or none."""


Ends = Mapping[tuple[str, int], int]


class Lags(Protocol):
    """How far services are."""

    def ends(self, topics: Sequence[TopicName]) -> Ends:
        """Return where topics end now."""

    def behind(self, group: str, ends: Ends) -> int:
        """Return how many records before these ends a group has yet to read."""


@dataclass(slots=True)
class Result:
    """What one repair did. `unreadable` counts documents that are not of our making."""

    facts: int = 0
    examined: int = 0
    sent: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Reread:
    """One repair. `groups` are those of enrich and of store; `say` tells people how it goes."""

    log: Log
    stack_facts: Codec[StackFact]
    accounts: Codec[Account]
    reread: Codec[RawEvent]
    documents: Documents
    progress: Progress
    writer: Writer
    lags: Lags
    groups: tuple[str, str]
    pulse: Pulse
    say: Callable[[str], None]
    result: Result = field(default_factory=Result)
    _stacks: FactTable[StackFact] = field(default_factory=lambda: FactTable(StackFact))
    _first_newer: dict[Partition, int] = field(default_factory=dict)
    _owners: FactTable[Account] = field(default_factory=lambda: FactTable(Account))

    def run(self) -> Result:
        """Send what newer facts concern. Raises Unavailable: run it again, nothing is lost."""
        since = self.progress.load((STACK_FACTS, ACCOUNTS))
        newer, reached = self._read_facts(since)
        if not newer:
            return self.result
        self._wait_for_what_is_under_way()
        self._send_all(self._behind(sorted(newer)))
        pass_by("before-progress")
        self.progress.save(reached)
        pass_by("after-progress")
        return self.result

    def run_over_all(self) -> Result:
        """Send every document: what is enriched by older rules is enriched anew."""
        self._wait_for_what_is_under_way()
        self._send_all(self._examined(self.documents.all()))
        return self.result

    # Which

    def _read_facts(self, since: Mapping[Partition, int]) -> tuple[set[str], dict[Partition, int]]:
        """Read all facts; return the keys that those since then are reached from, and the ends."""
        if not self._is_there_more(since):
            return set(), {}
        concerned: set[str] = set()
        stacks = self.log.read_stable(STACK_FACTS, self.pulse, start=0)
        accounts = self.log.read_stable(ACCOUNTS, self.pulse, start=0)
        add_facts(
            self._noted(stacks, self.stack_facts, since, concerned), self.stack_facts, self._stacks
        )
        add_facts(
            self._noted(accounts, self.accounts, since, concerned), self.accounts, self._owners
        )
        # A fact that only a later version of us understands is looked at again by that one.
        reached = {
            at: min(self.log.position(at), self._first_newer.get(at, self.log.position(at)))
            for at in (STACK_FACTS, ACCOUNTS)
        }
        return self._stacks.reaching(concerned), reached

    def _noted(
        self,
        records: Iterable[Record],
        codec: Codec[Fact],
        since: Mapping[Partition, int],
        concerned: set[str],
    ) -> Iterator[Record]:
        """Pass records on; note what the newer ones concern."""
        for record in records:
            if record.offset >= since[record.partition]:
                fact = usable_fact(record, codec)
                if fact is not None:
                    self.result.facts += 1
                    concerned.update(concerned_by(fact))
                elif is_newer_fact(record, codec):
                    self._first_newer.setdefault(record.partition, record.offset)
            yield record

    def _is_there_more(self, since: Mapping[Partition, int]) -> bool:
        for at, offset in since.items():
            for _ in self.log.read_stable(at, self.pulse, start=offset):
                return True
        return False

    def _behind(self, keys: Sequence[str]) -> Iterator[Known]:
        """Yield the documents that name a key and count fewer facts than are known."""
        done: set[str] = set()
        for start in range(0, len(keys), MOST_KEYS):
            some = keys[start : start + MOST_KEYS]
            for known in self._examined(self.documents.naming(some)):
                if done.isdisjoint(known.stack_keys) and self._facts(known) > facts_in(
                    known.version
                ):
                    yield known
            done.update(some)

    def _facts(self, known: Known) -> int:
        return self._stacks.reach(known.stack_keys) + self._owners.reach(known.stack_keys)

    def _examined(self, documents: Iterable[Known]) -> Iterator[Known]:
        for known in documents:
            self.result.examined += 1
            yield known

    # Sent

    def _send_all(self, documents: Iterable[Known]) -> None:
        waiting: list[Known] = []
        for known in documents:
            waiting.append(known)
            if len(waiting) == _MOST_EVENTS:
                self._send(waiting)
                waiting = []
        self._send(waiting)

    def _send(self, documents: Sequence[Known]) -> None:
        outputs: list[Output] = []
        size = 0
        for source in self.documents.sources(documents):
            try:
                event = None if source is None else event_in(source)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self.result.unreadable += 1
                continue
            if event is None:
                continue
            value = self.reread.encode(event)
            if outputs and size + len(value) > _MOST_BYTES:
                self._commit(outputs)
                outputs, size = [], 0
            key = event_key(event.account_id, event.event_id)
            outputs.append(Output(TopicName.EVENTS_REREAD, key, value))
            size += len(value)
        if outputs:
            self._commit(outputs)

    def _commit(self, outputs: Sequence[Output]) -> None:
        self._wait_while(self._crowd, MOST_BEHIND)
        try:
            self.writer.commit(outputs, {}, Lease(0))
        except LeaseLost as lost:  # sent or not: a repeat has the same version, and changes nothing
            raise Unavailable("kafka", str(lost)) from lost
        self.result.sent += len(outputs)
        emit(EventsReread(len(outputs), self.result.examined))
        self.say(f"{self.result.sent:,} events sent, of {self.result.examined:,} examined")

    # Waiting

    def _wait_for_what_is_under_way(self) -> None:
        enrich, store = self.groups
        raw = self.lags.ends((TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD))
        self._wait_while(lambda: self.lags.behind(enrich, raw), 0, "enrich")
        enriched = self.lags.ends((TopicName.EVENTS_ENRICHED, TopicName.EVENTS_REPAIRED))
        self._wait_while(lambda: self.lags.behind(store, enriched), 0, "store")
        self.documents.refresh()

    def _crowd(self) -> int:
        enrich, store = self.groups
        reread = self.lags.ends((TopicName.EVENTS_REREAD,))
        repaired = self.lags.ends((TopicName.EVENTS_REPAIRED,))
        return self.lags.behind(enrich, reread) + self.lags.behind(store, repaired)

    def _wait_while(
        self, behind: Callable[[], int], at_most: int, service: str = "enrich and store"
    ) -> None:
        while (number := behind()) > at_most:
            self.say(f"{service}: {number:,} events behind, waited for")
            self.pulse.wait(_WAIT_S, why=f"{service} is {number} behind")
