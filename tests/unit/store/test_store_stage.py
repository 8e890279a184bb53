"""The stage: four topics in, documents and dead letters out, offsets over final verdicts only."""

import json

import pytest

from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import Codec, UnknownSchema
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, TrailFile
from opstrail_schemas.topics import TopicName
from opstrail_store.bulk_response import AlreadyThere, Reject, Stored
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import Conflict, Final, Write
from opstrail_store.store_stage import Codecs, StoreStage
from tests.support.enriched import JAN_2, a_raw, an_enriched
from tests.support.memory_kafka import StillPulse

ENRICHED = Partition(TopicName.EVENTS_ENRICHED, 0)
REPAIRED = Partition(TopicName.EVENTS_REPAIRED, 0)
LEDGER = Partition(TopicName.FILES_LEDGER, 1)
LETTERS = Partition(TopicName.DEAD_LETTERS, 2)


def unknown(schema_id: int) -> str:
    raise UnknownSchema(f"no schema has the id {schema_id}")


CODECS = Codecs(
    Codec(EnrichedEvent, 1, unknown),
    Codec(EnrichedEvent, 2, unknown),
    Codec(TrailFile, 3, unknown),
    Codec(DeadLetter, 4, unknown),
)
A_FILE = TrailFile(bucket="b", key="k", state="done", records=3, noticed_at=1, updated_at=2)
A_LETTER = DeadLetter(
    stage="split", reason="malformed", message="m", text="secret", first_failed_at=1, failed_at=1
)


class ListingSink:
    """Keeps what it is given and answers with the verdicts it was told."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.verdicts: list[Final] = []

    def write(self, writes, pulse):
        self.writes += writes
        return self.verdicts or [Stored()] * len(writes)


@pytest.fixture
def sink():
    return ListingSink()


@pytest.fixture
def stage(sink):
    return a_stage(sink)


def a_stage(sink, horizon=lambda: None):
    return StoreStage(
        sink=sink,
        codecs=CODECS,
        names=IndexNames(),
        horizon=horizon,
        now_ms=lambda: 77,
    )


def a_record(
    at: Partition, value: bytes | None, *, offset: int = 5, key: bytes | None = b"k"
) -> Record:
    return Record(at, offset, key, value, 0)


def enriched_record(event=None, **more):
    return a_record(ENRICHED, CODECS.enriched.encode(event or an_enriched()), **more)


def worked(stage, *records):
    (commit,) = stage.work(records, StillPulse())
    commit.after()
    return commit


def letters_of(commit):
    return [CODECS.dead_letters.decode(output.value) for output in commit.outputs]


def test_every_topic_has_its_index(stage, sink):
    commit = worked(
        stage,
        enriched_record(),
        a_record(REPAIRED, CODECS.repaired.encode(an_enriched(event_time=None))),
        a_record(LEDGER, CODECS.ledger.encode(A_FILE), key=b"b/k"),
        a_record(LETTERS, CODECS.dead_letters.encode(A_LETTER), key=b"split:b/k"),
    )

    assert [
        ("opstrail-events-v1-2023.01", "111122223333/e-1", (1 << 32) + 1),
        ("opstrail-events-v1-undated", "111122223333/e-1", (1 << 32) + 1),
        ("opstrail-files-v1", "b/k", 5),
        ("opstrail-dead-letters-v1", "split:b/k", 5),
    ] == [(write.index, write.id, write.version) for write in sink.writes]
    assert {ENRICHED: 6, REPAIRED: 6, LEDGER: 6, LETTERS: 6} == commit.offsets
    assert () == tuple(commit.outputs)


def test_every_event_is_guarded_against_another_one_also_a_replayed_one(stage, sink):
    worked(
        stage,
        enriched_record(),
        a_record(REPAIRED, CODECS.repaired.encode(an_enriched())),
    )

    assert [True, True] == [write.content is not None for write in sink.writes]


def test_tombstones_delete(stage, sink):
    worked(stage, a_record(LEDGER, None), a_record(LETTERS, None))

    assert [None, None] == [write.body for write in sink.writes]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"random", "undecodable"), (b"\0\0\0\0\x63x", "undecodable"), (None, "tombstone")],
)
def test_what_is_no_event_is_a_dead_letter_with_its_address(stage, value, reason):
    commit = worked(stage, a_record(ENRICHED, value), enriched_record(offset=6))

    (letter,) = letters_of(commit)
    assert ("store", reason) == (letter.stage, letter.reason)
    assert ("opstrail.events.enriched.v1", 0, 5) == (letter.topic, letter.partition, letter.offset)
    assert b"store:opstrail.events.enriched.v1/0/5" == commit.outputs[0].key
    assert {ENRICHED: 7} == commit.offsets


def test_a_broken_dead_letter_is_indexed_and_sends_no_other(stage, sink):
    commit = worked(stage, a_record(LETTERS, b"random"))

    assert () == tuple(commit.outputs)
    (write,) = sink.writes
    assert "store:opstrail.dead-letters.v1/2/5" == write.id
    assert "undecodable" == json.loads(write.body)["reason"]


def test_a_dead_letter_that_is_refused_sends_no_other(stage, sink):
    sink.verdicts = [Reject("400: no")]

    commit = worked(stage, a_record(LETTERS, CODECS.dead_letters.encode(A_LETTER)))

    assert () == tuple(commit.outputs)
    assert "text" not in json.loads(sink.writes[0].reduced())


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Reject("400: mapper_parsing_exception"), "rejected"), (Conflict("another"), "id-conflict")],
)
def test_a_refused_event_is_a_dead_letter_that_says_why(stage, sink, verdict, reason):
    sink.verdicts = [AlreadyThere(), verdict]

    commit = worked(stage, enriched_record(), enriched_record(offset=6))

    (letter,) = letters_of(commit)
    assert reason == letter.reason
    assert verdict.why in letter.message
    assert "record 0 of trail/a.json.gz" in letter.message
    assert ("111122223333", "e-1") == (letter.account_id, letter.event_id)
    assert a_raw().decode() == letter.text
    assert b"store:opstrail.events.enriched.v1/0/6" == commit.outputs[0].key


def test_a_refused_ledger_row_is_a_dead_letter(stage, sink):
    sink.verdicts = [Reject("400: no")]

    (letter,) = letters_of(worked(stage, a_record(LEDGER, CODECS.ledger.encode(A_FILE))))

    assert ("rejected", "opstrail.files.ledger.v1") == (letter.reason, letter.topic)


def test_what_retention_closed_is_not_written(sink):
    stage = a_stage(sink, horizon=lambda: JAN_2 + 1)

    commit = worked(stage, enriched_record())

    assert [] == sink.writes
    assert {ENRICHED: 6} == commit.offsets


def test_retention_may_close_a_period_while_the_store_runs(sink):
    horizons = iter([None, JAN_2 + 1])
    stage = a_stage(sink, horizon=lambda: next(horizons))

    worked(stage, enriched_record())
    worked(stage, enriched_record())

    assert 1 == len(sink.writes)


def test_the_set_up_is_checked_before_the_first_record(sink):
    asked = []
    stage = a_stage(sink, horizon=lambda: asked.append(1))

    stage.restore([ENRICHED], StillPulse())
    stage.forget([ENRICHED])

    assert [1] == asked


def test_a_record_that_kills_the_process_is_set_aside(stage):
    commit = stage.set_aside(enriched_record())
    commit.after()

    (letter,) = letters_of(commit)
    assert ("crashed", 5) == (letter.reason, letter.offset)
    assert {ENRICHED: 6} == commit.offsets


def test_a_record_of_a_topic_that_is_not_ours_is_our_bug(stage):
    with pytest.raises(AssertionError):
        list(stage.work([a_record(Partition(TopicName.ACCOUNTS, 0), b"")], StillPulse()))
