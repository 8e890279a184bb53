"""The checker sees: each planted bug is flagged, and the same scenario without it is not."""

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from opstrail_ingest.ledger import Ledger
from opstrail_ingest.masking import Masking
from opstrail_ingest.sqs_source import Received
from opstrail_runtime.errors import OutcomeUnknown
from opstrail_runtime.loop import Loop
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Commit, Output, Partition, Pulse, Record
from opstrail_schemas.messages import TrailFile
from opstrail_schemas.topics import TopicName
from opstrail_store.bulk_response import AlreadyThere, ItemVerdict, Reject, Retry, Stored
from opstrail_store.opensearch_sink import Final, OpenSearchSink, Write
from opstrail_store.store_stage import StoreStage
from tests.support.checker.broker_model import (
    TRANSACTION_TIMEOUT_S,
    ModelLog,
    ModelSource,
    ModelWriter,
    Transaction,
)
from tests.support.checker.corpus import corpus, damaged
from tests.support.checker.findings import findings
from tests.support.checker.simulation import ENRICHED, REPAIRED, Parts, Simulation
from tests.support.fake_opensearch import FakeOpenSearch, status_error
from tests.support.figures import Figure

FILES = corpus(11, files=6, events=300)

# The bugs


class CommitsBeforeBulk(StoreStage):
    def work(self, records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        yield Commit(offsets={r.partition: r.offset + 1 for r in records})
        for _ in super().work(records, pulse):
            pass


class IgnoresErrors(OpenSearchSink):
    def _bulk(self, group: list[bytes]) -> list[ItemVerdict]:
        super()._bulk(group)
        return [Stored()] * len(group)


class DropsRejected(OpenSearchSink):
    def _bulk(self, group: list[bytes]) -> list[ItemVerdict]:
        return [Stored() if isinstance(v, Reject) else v for v in super()._bulk(group)]


class TakesTroubleForRefusal(OpenSearchSink):
    def _bulk(self, group: list[bytes]) -> list[ItemVerdict]:
        return [Reject(v.why) if isinstance(v, Retry) else v for v in super()._bulk(group)]


class TakesPresenceForFailure(OpenSearchSink):
    def write(self, writes: Sequence[Write], pulse: Pulse) -> list[Final]:
        found = super().write(writes, pulse)
        return [Reject("409") if isinstance(each, AlreadyThere) else each for each in found]


class SendsTooMuchAgain(OpenSearchSink):
    def _bulk(self, group: list[bytes]) -> list[ItemVerdict]:
        found = super()._bulk(group[:4])
        return found if len(group) <= 4 else [Retry("413")] * len(group)


class CreatesFirst(OpenSearchSink):
    def write(self, writes: Sequence[Write], pulse: Pulse) -> list[Final]:
        return super().write([replace(w, version=1) if w.content else w for w in writes], pulse)


class NamesDocumentsItself(FakeOpenSearch):
    def _apply(
        self, kind: str, action: dict[str, Any], document: dict[str, Any] | None
    ) -> dict[str, Any]:
        return super()._apply(kind, {**action, "_id": uuid.uuid4().hex}, document)


class GoesOnAfterAnAbort(Loop):
    def _rewind(self) -> None:
        self._follow_changes()

    def _start_over(self) -> None:
        self._in_doubt = False


class OffsetOfTheLast(ModelWriter):
    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        one_less = {p: replace(to, offset=max(0, to.offset - 1)) for p, to in offsets.items()}
        super().commit(outputs, one_less, lease)


class LedgerOutside(ModelWriter):
    def produce(self, outputs: Sequence[Output], transaction: Transaction) -> None:
        for output in outputs:
            if output.topic is TopicName.FILES_LEDGER:
                self.kafka.append(output.topic, output.key, output.value)
        rest = [output for output in outputs if output.topic is not TopicName.FILES_LEDGER]
        super().produce(rest, transaction)


class ForgetsFragments(Ledger):
    def keep(self, partition: int, row: TrailFile) -> None:
        super().keep(partition, msgspec.structs.replace(row, fragments=[]))


class NewestMetadata(ModelWriter):
    """As if metadata were taken when the transaction ends: a rejoined process has newer ones."""

    def check_lease(self, lease: Lease) -> None:
        return


class NoGeneration(ModelSource):
    """As if metadata came from before the group was joined: nobody checks a generation of -1."""

    def lease(self) -> Lease:
        return Lease(super().lease().generation, (self.group, -1))


class LenientWriter(ModelWriter):
    def check_lease(self, lease: Lease) -> None:
        assert isinstance(lease.group, tuple)
        if lease.group[1] != -1:
            super().check_lease(lease)


class CommitsAgainInDoubt(ModelWriter):
    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        try:
            super().commit(outputs, offsets, lease)
        except OutcomeUnknown:
            super().commit(outputs, offsets, lease)


class ReadsUncommitted(ModelLog):
    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        super().read(partition, pulse, start=start)
        return iter(self.kafka.written(partition, start or 0, len(self.kafka.log(partition))))


class ReadsToTheStableOffset(ModelLog):
    def read(
        self, partition: Partition, pulse: Pulse, *, start: int | None = None
    ) -> Iterator[Record]:
        return super().read_stable(partition, pulse, start=start or 0)


class DeletesFirst:
    """A queue whose messages are gone once they are received."""

    def __new__(cls) -> Any:
        from tests.support.checker.simulation import Queue  # noqa: PLC0415 - made at call

        queue = Queue()
        receive = queue.receive

        def receive_and_delete(*, most: int) -> list[Received]:
            received = receive(most=most)
            queue.delete(received)
            return received

        queue.receive = receive_and_delete  # type: ignore[method-assign]
        return queue


class MasksNothing(Masking):
    def mask(self, text: bytes) -> tuple[bytes, list[str]]:
        return text, []


# What happens


def nothing(_simulation: Simulation) -> None:
    """Only failpoints."""


def one_item_is_too_many(simulation: Simulation) -> None:
    refused: set[str] = set()

    def refuses(document: dict[str, Any]) -> tuple[int, str] | None:
        id_ = document.get("eventID")
        if id_ and len(refused) < 3 and id_ not in refused:
            refused.add(id_)
            return 429, "es_rejected_execution_exception"
        return None

    simulation.search.refuses = refuses


def whole_forms_are_refused_now_and_then(simulation: Simulation) -> None:
    def refuses(document: dict[str, Any]) -> tuple[int, str] | None:
        ours = document.get("opstrail", {})
        odd = str(document.get("eventID", "")).endswith("7")
        return (400, "mapper_parsing_exception") if odd and "reduced" not in ours else None

    simulation.search.refuses = refuses


def a_damaged_copy_comes_first(simulation: Simulation) -> None:
    key, whole = next(
        (key, simulation.files[key])
        for key, file in simulation.expected().files.items()
        if file.state == "done"
    )
    simulation.files[key] = damaged(whole, random.Random(1))
    simulation.drain()
    simulation.replace(key, whole)


def four_are_enough(simulation: Simulation) -> None:
    def before(documents: list[dict[str, Any]]) -> None:
        if len(documents) > 4:
            raise status_error(413)

    simulation.search.before = before


def opensearch_is_away_for_some_requests(simulation: Simulation) -> None:
    left = [6]

    def before(documents: list[dict[str, Any]]) -> None:
        if left[0]:
            left[0] -= 1
            raise status_error(503)

    simulation.search.before = before


def enrich_fails_once(simulation: Simulation) -> None:
    _until_some(simulation)
    simulation.processes["enrich", "0"].writer.lose_commit = True


def splits_reply_is_lost(simulation: Simulation) -> None:
    simulation.step("split")
    simulation.processes["split", "0"].writer.lose_reply = True


def split_stalls_and_another_takes_over(simulation: Simulation) -> None:
    """What it has in work is done by the other one before it goes on."""
    simulation.step("split")
    stalled = simulation.processes["split", "0"].loop
    work = stalled.stage.work
    waiting = [True]

    def stalling(records: Sequence[Record], pulse: Pulse) -> Iterator[Commit]:
        for commit in work(records, pulse):
            if waiting and commit.outputs:
                waiting.clear()
                all_of_it = simulation.kafka.all([TopicName.FILES_NOTICED])
                simulation.kafka.move("opstrail.split", all_of_it, "1")
                for _ in range(6):
                    simulation.step("split", "1")
            yield commit

    stalled.stage.work = stalling  # type: ignore[method-assign]
    for _ in range(20):
        simulation.take()
        simulation.step("split")
    # In the end the first one is alone again.
    noticed = simulation.kafka.all([TopicName.FILES_NOTICED])
    simulation.kafka.move("opstrail.split", noticed, "0")


def an_open_transaction_hides_rows(simulation: Simulation) -> None:
    kafka = simulation.kafka
    simulation.step("split")
    zombie = Transaction("zombie", 1, kafka.now_s)
    kafka.open["zombie"] = zombie
    for number in range(8):
        kafka.append(TopicName.FILES_LEDGER, b"zombie-%d" % number, b"", zombie)
    for _ in range(8):
        simulation.take()
        simulation.step("split")
    assert kafka.now_s < TRANSACTION_TIMEOUT_S
    simulation._dies("split", "0")
    simulation.notify()  # everything is noticed again


def an_older_repair_comes_last(simulation: Simulation) -> None:
    simulation.drain()
    message = simulation.kafka.messages(TopicName.EVENTS_ENRICHED)[0]
    event = ENRICHED.decode(message.value or b"")
    older = replace_version(event, event.enrichment.version - 1)
    simulation.kafka.append(TopicName.EVENTS_REPAIRED, message.key or b"", REPAIRED.encode(older))


def replace_version(event: Any, version: int) -> Any:
    import msgspec  # noqa: PLC0415 - beside its only use

    enrichment = msgspec.structs.replace(event.enrichment, version=version)
    return msgspec.structs.replace(event, enrichment=enrichment)


def _until_some(simulation: Simulation) -> None:
    for _ in range(2):
        simulation.take()
        for role in ("split", "enrich", "store"):
            simulation.step(role)


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, when it shows, and the invariant that it breaks."""

    parts: Parts
    breaks: str
    happens: Callable[[Simulation], None] = nothing
    armed: str = ""
    longest_resume_s: float = 45


BUGS = {
    "offsets are committed before the bulk": Planted(
        Parts(store=CommitsBeforeBulk), "I1 lost", armed="store.before-bulk:3"
    ),
    "errors in a bulk reply are ignored": Planted(
        Parts(sink=IgnoresErrors), "I1 lost", one_item_is_too_many
    ),
    "ids are made by the server": Planted(
        Parts(search=NamesDocumentsItself), "I1 too much", armed="store.after-reply:3"
    ),
    "reading goes on after an abort": Planted(
        Parts(loop=GoesOnAfterAnAbort), "I5 lost", enrich_fails_once
    ),
    "the offset of the last record is committed": Planted(
        Parts(writer=OffsetOfTheLast), "I8 behind"
    ),
    "messages are deleted from the queue first": Planted(
        Parts(queue=DeletesFirst), "I6 unknown", armed="discover.after-receive:2"
    ),
    "the ledger is written outside of the transaction": Planted(
        Parts(writer=LedgerOutside), "I5 lost", armed="split.after-produce:2"
    ),
    "the ledger forgets where fragments are": Planted(
        Parts(ledger=ForgetsFragments), "I3 too much", a_damaged_copy_comes_first
    ),
    "409 is a failure": Planted(
        Parts(sink=TakesPresenceForFailure), "I3 too much", armed="store.after-reply:3"
    ),
    "a request that is too large is sent again": Planted(
        Parts(sink=SendsTooMuchAgain), "I8 behind", four_are_enough
    ),
    "what OpenSearch refuses is dropped": Planted(
        Parts(sink=DropsRejected), "I1 lost", whole_forms_are_refused_now_and_then
    ),
    "metadata without a generation": Planted(
        Parts(source=NoGeneration, writer=LenientWriter),
        "I5 doubled",
        split_stalls_and_another_takes_over,
    ),
    "newer metadata after a rejoin": Planted(
        Parts(writer=NewestMetadata), "I5 doubled", split_stalls_and_another_takes_over
    ),
    "aborted messages are read": Planted(
        Parts(log=ReadsUncommitted), "I5 lost", armed="split.after-produce:2"
    ),
    "state is restored to the last stable offset": Planted(
        Parts(log=ReadsToTheStableOffset), "I5 doubled", an_open_transaction_hides_rows
    ),
    "the transactional id is random": Planted(
        Parts(slot=lambda *_: uuid.uuid4().hex),
        "I8 slow",
        armed="enrich.after-produce:3",
        longest_resume_s=10,
    ),
    "create is mixed with versions": Planted(
        Parts(sink=CreatesFirst), "I2 stale", an_older_repair_comes_last
    ),
    "a commit in doubt is sent again": Planted(
        Parts(writer=CommitsAgainInDoubt), "I5 doubled", splits_reply_is_lost
    ),
    "trouble that passes makes dead letters": Planted(
        Parts(sink=TakesTroubleForRefusal), "I3 too much", opensearch_is_away_for_some_requests
    ),
    "secrets are not masked": Planted(Parts(masking=MasksNothing), "I10 secret"),
}


def outcome(planted: Planted, parts: Parts) -> list[str]:
    simulation = Simulation(FILES, parts, armed=planted.armed)
    simulation.notify()
    planted.happens(simulation)
    seen = simulation.run(rounds=60)
    if planted.armed:
        assert simulation.kills == 1, "the failpoint was not reached"
    return findings(simulation.expected(), seen, longest_resume_s=planted.longest_resume_s)


@pytest.mark.parametrize("name", BUGS)
def test_without_the_bug_nothing_is_found(name: str) -> None:
    assert [] == outcome(BUGS[name], Parts())


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    found = outcome(BUGS[name], BUGS[name].parts)

    assert any(each.startswith(BUGS[name].breaks) for each in found), found


def test_there_are_enough_of_them(figure: Figure) -> None:
    figure("planted bugs that the checker is shown", len(BUGS), "at least 16, all found")

    assert len(BUGS) >= 16
