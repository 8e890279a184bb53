"""Dead letters listed, shown and tried again: a retry ends where the first try should have."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from click.testing import CliRunner, Result

from opstrail_cli import dead_letters_commands
from opstrail_cli.dead_letter_box import BoxCodecs, DeadLetterBox
from opstrail_cli.dead_letter_retry import (
    FileAgain,
    Filed,
    Filter,
    MessageAgain,
    NoRetry,
    notices,
    retry_of,
)
from opstrail_runtime.dead_letters import key_of
from opstrail_runtime.errors import Fenced
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Output, Partition
from opstrail_schemas.codec import Codec, append_enrichment
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, FileNotice
from opstrail_schemas.topics import TopicName
from tests.support.enriched import an_enriched
from tests.support.memory_kafka import MemoryLog, MemoryWriter, StillPulse
from tests.support.records import KEY, a_record, trail_file
from tests.support.splitting import LETTERS, NOTICES, NOW_MS, RAW, REREAD, Split, a_notice

ENRICHED = Codec(EnrichedEvent, 6, lambda schema_id: f"no schema {schema_id}")
REPAIRED = Codec(EnrichedEvent, 7, lambda schema_id: f"no schema {schema_id}")
BROKEN = b'{"eventVersion": "1.01"ed}'
FILE = f"split:trails/{KEY}"


def a_letter(**fields: object) -> DeadLetter:
    given = {"stage": "split", "reason": "not-json", "message": "m", "bucket": "trails", "key": KEY}
    times = {"first_failed_at": NOW_MS, "failed_at": NOW_MS}
    return DeadLetter(**(given | times | fields))  # type: ignore[arg-type]


def of_message(stage: str, topic: str, offset: int = 0, **fields: object) -> DeadLetter:
    place = {"topic": f"opstrail.{topic}.v1", "partition": 0, "offset": offset}
    return a_letter(**({"stage": stage, "bucket": None, "key": None} | place | fields))


def filed(letter: DeadLetter) -> Filed:
    return Filed(key_of(letter).decode(), letter)


@dataclass(slots=True)
class Desk:
    """Split, and the command beside it, on one broker in memory."""

    split: Split = field(default_factory=Split)
    buckets: frozenset[str] = frozenset()

    def box(self, writer: MemoryWriter | None = None) -> DeadLetterBox:
        return DeadLetterBox(
            log=MemoryLog(self.split.kafka),
            writer=writer or MemoryWriter(self.split.kafka, "dead-letters"),
            codecs=BoxCodecs(LETTERS, NOTICES, RAW, REREAD, ENRICHED, REPAIRED),
            pulse=StillPulse(),
            now_ms=lambda: NOW_MS,
            allowed_buckets=self.buckets,
        )

    def file(self, letter: DeadLetter) -> str:
        key = key_of(letter)
        self.split.kafka.append(TopicName.DEAD_LETTERS, key, LETTERS.encode(letter))
        return key.decode()

    def keys(self, wanted: Filter | None = None) -> list[str]:
        return [found.key for found in self.box().letters(wanted or Filter())]

    def messages(self, topic: TopicName) -> list[bytes | None]:
        return [record.value for record in self.split.kafka.messages(topic)]

    def split_what_is_noticed(self, since: int) -> None:
        records = self.split.kafka.messages(TopicName.FILES_NOTICED)[since:]
        for commit in self.split.stage().work(records, self.split.pulse):
            self.split.commit(commit)


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestWhatIsMeant:
    @pytest.mark.parametrize(
        ("wanted", "number"),
        [
            (Filter(), 3),
            (Filter(stage="split"), 2),
            (Filter(reason="undecodable"), 1),
            (Filter(bucket="trails"), 2),
            (Filter(key_prefix="AWSLogs/1111"), 1),
            (Filter(account_id="111122223333"), 1),
            (Filter(topic="opstrail.events.raw.v1"), 1),
            (Filter(since=NOW_MS + 1), 1),
            (Filter(until=NOW_MS + 1), 2),
            (Filter(waiting=True), 1),
            (Filter(waiting=False), 2),
            (Filter(stage="store", reason="undecodable"), 0),
        ],
    )
    def test_filters_are_all_to_be_met(self, desk: Desk, wanted: Filter, number: int) -> None:
        desk.file(a_letter(account_id="111122223333", failed_at=NOW_MS + 5))
        desk.file(a_letter(key="other/x.json.gz", retry_at=NOW_MS))
        desk.file(of_message("enrich", "events.raw", reason="undecodable"))

        assert number == len(desk.keys(wanted))

    def test_the_newest_letter_of_a_key_counts_and_a_tombstone_ends_it(self, desk: Desk) -> None:
        desk.file(a_letter(reason="not-json"))
        key = desk.file(a_letter(reason="cut-short"))
        assert ["cut-short"] == [f.letter.reason for f in desk.box().letters(Filter())]
        assert [] == desk.keys(Filter(reason="not-json"))

        desk.split.kafka.append(TopicName.DEAD_LETTERS, key.encode(), None)

        assert [] == desk.keys()

    def test_what_is_no_letter_is_counted_and_passed_over(self, desk: Desk) -> None:
        desk.split.kafka.append(TopicName.DEAD_LETTERS, b"k", b"\xfeabc")
        desk.file(a_letter())
        box = desk.box()

        assert 1 == len(box.letters(Filter()))
        assert 1 == box.unreadable


class TestHowItIsTriedAgain:
    def test_a_file_is_read_again_in_the_version_that_the_letter_names(self) -> None:
        letters = [
            filed(a_letter(version_id="v1")),
            filed(a_letter(version_id="v1", start_byte=3, end_byte=9)),
        ]
        again = [FileAgain(each) for each in letters]

        found = list(notices(again, now_ms=NOW_MS, newest_version=False))

        expected = a_notice(
            version_id="v1", source="retry", retry_of=FILE, retry_of_also=[f"{FILE}#3-9"]
        )
        assert [expected] == found
        newest = list(notices(again, now_ms=NOW_MS, newest_version=True))
        assert [msgspec.structs.replace(expected, version_id=None)] == newest

    def test_thousands_of_letters_of_one_file_take_a_few_notices(self) -> None:
        again = [FileAgain(filed(a_letter(start_byte=n, end_byte=n + 1))) for n in range(4_001)]

        found = list(notices(again, now_ms=NOW_MS, newest_version=False))

        named = [key for notice in found for key in (notice.retry_of, *notice.retry_of_also)]
        assert 3 == len(found)
        assert [each.filed.key for each in again] == named

    @pytest.mark.parametrize(
        ("stage", "topic", "to"),
        [
            ("split", "files.noticed", TopicName.FILES_NOTICED),
            ("enrich", "events.raw", TopicName.EVENTS_RAW),
            ("enrich", "events.reread", TopicName.EVENTS_REREAD),
            ("store", "events.enriched", TopicName.EVENTS_REPAIRED),
            ("store", "events.repaired", TopicName.EVENTS_REPAIRED),
        ],
    )
    def test_a_message_is_sent_where_its_stage_reads(
        self, stage: str, topic: str, to: TopicName
    ) -> None:
        letter = filed(of_message(stage, topic, 7))

        place = Partition(TopicName(topic), 0), 7
        assert MessageAgain(letter, place, to) == retry_of(letter, allowed_buckets=frozenset())

    @pytest.mark.parametrize(
        "letter",
        [
            of_message("enrich", "events.raw", reason="id-conflict"),
            of_message("store", "events.enriched", reason="id-conflict"),
            of_message("store", "files.ledger"),
            a_letter(stage="discover", bucket=None, key=None, reason="not-a-notification"),
            a_letter(stage="discover", reason="bucket-not-allowed"),
        ],
    )
    def test_what_a_retry_cannot_mend_says_why(self, letter: DeadLetter) -> None:
        found = retry_of(filed(letter), allowed_buckets=frozenset({"others"}))

        assert isinstance(found, NoRetry)
        assert found.why

    @pytest.mark.parametrize("allowed", ["trails", "*"])
    def test_a_bucket_that_is_allowed_by_now_is_read(self, allowed: str) -> None:
        letter = filed(a_letter(stage="discover", reason="bucket-not-allowed"))

        found = retry_of(letter, allowed_buckets=frozenset({allowed}))

        assert FileAgain(letter) == found


class TestFiles:
    def test_a_mended_file_ends_complete_and_all_its_letters_are_gone(self, desk: Desk) -> None:
        split = desk.split
        whole = [a_record(n) for n in range(3)]
        split.objects.stored[KEY] = trail_file([whole[0], BROKEN, whole[2], BROKEN])
        split.run(a_notice())
        assert 2 == len(desk.keys())

        split.objects.stored[KEY] = trail_file(whole)
        desk.box().retry(Filter())
        desk.split_what_is_noticed(since=1)

        assert [] == desk.keys()
        assert ["partial", "done"] == [row.state for row in split.rows]
        # Neighbours come again: enrich's window drops them by identity.
        assert {"0", "1", "2"} == {event.event_id for event in split.events}

    def test_a_file_that_is_as_broken_as_before_keeps_its_letters(self, desk: Desk) -> None:
        desk.split.objects.stored[KEY] = trail_file([a_record(), BROKEN])
        desk.split.run(a_notice())
        before = desk.keys()

        desk.box().retry(Filter())
        desk.split_what_is_noticed(since=1)

        assert before == desk.keys()
        assert 1 == len(before)

    def test_letters_of_a_file_that_was_completed_meanwhile_are_answered(self, desk: Desk) -> None:
        desk.split.objects.stored[KEY] = trail_file([a_record()])
        desk.split.run(a_notice())
        desk.file(a_letter(start_byte=3, end_byte=9))
        desk.file(a_letter(stage="discover", reason="file-unreadable"))

        desk.box().retry(Filter())
        desk.split_what_is_noticed(since=1)

        assert [] == desk.keys()
        assert 1 == len(desk.split.events)

    def test_an_object_that_is_away_still_waits_and_mends_all_letters_in_the_end(
        self, desk: Desk
    ) -> None:
        split = desk.split
        split.objects.stored[KEY] = trail_file([a_record(), BROKEN])
        split.run(a_notice())
        del split.objects.stored[KEY]
        desk.box().retry(Filter())
        desk.split_what_is_noticed(since=1)
        assert ["not-json", "object-unavailable"] == sorted(
            found.letter.reason for found in desk.box().letters(Filter())
        )

        split.objects.stored[KEY] = trail_file([a_record()])
        desk.box().retry(Filter())
        desk.split_what_is_noticed(since=2)

        assert [] == desk.keys()


class TestMessages:
    def test_a_message_that_is_readable_now_is_sent_again_and_its_letter_is_gone(
        self, desk: Desk
    ) -> None:
        desk.split.objects.stored[KEY] = trail_file([a_record()])
        desk.split.run(a_notice())
        desk.file(of_message("enrich", "events.raw", reason="crashed"))

        retries = desk.box().retry(Filter())

        raw = desk.messages(TopicName.EVENTS_RAW)
        assert 2 == len(raw)
        assert raw[0] == raw[1]
        assert [] == desk.keys()
        assert isinstance(retries[0], MessageAgain)

    def test_stores_message_is_answered_on_the_topic_of_repairs(self, desk: Desk) -> None:
        desk.split.objects.stored[KEY] = trail_file([a_record()])
        desk.split.run(a_notice())
        raw = desk.messages(TopicName.EVENTS_RAW)[0] or b""
        enriched = append_enrichment(
            raw, an_enriched().enrichment, raw_codec=RAW, enriched_codec=ENRICHED
        )
        desk.split.kafka.append(TopicName.EVENTS_ENRICHED, b"k", enriched)
        desk.file(of_message("store", "events.enriched", reason="rejected"))

        desk.box().retry(Filter())

        repaired = [REPAIRED.decode(v or b"") for v in desk.messages(TopicName.EVENTS_REPAIRED)]
        assert [ENRICHED.decode(enriched)] == repaired
        assert [enriched] == desk.messages(TopicName.EVENTS_ENRICHED)
        assert [] == desk.keys()

    def test_what_would_fail_again_stays_where_it_is(self, desk: Desk) -> None:
        desk.split.kafka.append(TopicName.EVENTS_RAW, b"k", b"\xfe")
        key = desk.file(of_message("enrich", "events.raw"))

        retries = desk.box().retry(Filter())

        assert isinstance(retries[0], NoRetry)
        assert [b"\xfe"] == desk.messages(TopicName.EVENTS_RAW)
        assert [key] == desk.keys()

    def test_a_message_that_is_gone_says_what_to_do(self, desk: Desk) -> None:
        desk.file(of_message("enrich", "events.raw", 40))

        retries = desk.box().retry(Filter())

        assert isinstance(retries[0], NoRetry)
        assert "ingest replay" in retries[0].why


class Dying(MemoryWriter):
    """Dies at one of its commits: before it is done or, since nobody knows, after it."""

    def __init__(self, desk: Desk, *, at: int, applied: bool) -> None:
        super().__init__(desk.split.kafka, "dead-letters")
        self._left = at
        self._applied = applied

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        self._left -= 1
        if self._left == 0 and not self._applied:
            raise KeyboardInterrupt
        super().commit(outputs, offsets, lease)
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_retry_that_is_killed_and_run_again_sends_each_message_once(
    desk: Desk, at: int, *, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstrail_cli.dead_letter_box._MOST_OUTPUTS", 4)  # two letters each
    desk.split.objects.stored[KEY] = trail_file([a_record(n) for n in range(5)])
    desk.split.run(a_notice())
    first = desk.messages(TopicName.EVENTS_RAW)
    for offset in range(5):
        desk.file(of_message("enrich", "events.raw", offset))

    with pytest.raises(KeyboardInterrupt):
        desk.box(Dying(desk, at=at, applied=applied)).retry(Filter())
    desk.box().retry(Filter())

    assert [] == desk.keys()
    assert sorted([*first, *first], key=str) == sorted(desk.messages(TopicName.EVENTS_RAW), key=str)


def test_of_two_retries_at_once_the_later_one_counts(desk: Desk) -> None:
    desk.split.objects.stored[KEY] = trail_file([a_record()])
    desk.split.run(a_notice())
    desk.file(of_message("enrich", "events.raw"))
    earlier, later = desk.box(), desk.box()
    earlier.writer.commit((), {}, Lease(0))
    later.retry(Filter())

    with pytest.raises(Fenced):
        earlier.writer.commit((), {}, Lease(0))

    assert 2 == len(desk.messages(TopicName.EVENTS_RAW))


class TestCommands:
    @pytest.fixture
    def run(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        monkeypatch.setattr(dead_letters_commands, "connect", desk.box)
        command = dead_letters_commands.dead_letters
        return lambda *words: CliRunner().invoke(command, list(words))

    def test_letters_are_listed_by_what_is_asked_for(
        self, desk: Desk, run: Callable[..., Result]
    ) -> None:
        key = desk.file(a_letter(text="no secret"))
        desk.file(of_message("enrich", "events.raw"))

        rows = json.loads(run("list", "--stage", "split").stdout)

        assert [(key, "not-json")] == [(row["letterKey"], row["reason"]) for row in rows]
        assert [{"stage": "enrich", "reason": "not-json", "letters": 1}] == json.loads(
            run("list", "--topic", "opstrail.events.raw.v1", "--summary").stdout
        )

    def test_a_letter_is_shown_whole(self, desk: Desk, run: Callable[..., Result]) -> None:
        key = desk.file(a_letter(text="what it was", start_byte=3, end_byte=14))

        [shown] = json.loads(run("show", key).stdout)

        assert ("what it was", 3, "2024-03-01T13:33:20+00:00") == (
            shown["text"],
            shown["startByte"],
            shown["failedAt"],
        )
        assert 1 == run("show", "split:trails/none").exit_code

    def test_a_retry_shows_its_plan_and_does_nothing(
        self, desk: Desk, run: Callable[..., Result]
    ) -> None:
        desk.file(a_letter())

        result = run("retry", "--all")

        assert 0 == result.exit_code
        assert ["read the file again"] == [row["action"] for row in json.loads(result.stdout)]
        assert "--execute" in result.stderr
        assert [] == desk.messages(TopicName.FILES_NOTICED)

    def test_a_retry_that_is_carried_out_writes_the_notice(
        self, desk: Desk, run: Callable[..., Result]
    ) -> None:
        key = desk.file(a_letter())

        result = run("retry", key, "--execute")

        assert 0 == result.exit_code
        [notice] = [NOTICES.decode(v or b"") for v in desk.messages(TopicName.FILES_NOTICED)]
        assert isinstance(notice, FileNotice)
        assert (key, "retry") == (notice.retry_of, notice.source)

    def test_what_cannot_be_tried_ends_it_with_three(
        self, desk: Desk, run: Callable[..., Result]
    ) -> None:
        desk.file(of_message("enrich", "events.raw", reason="id-conflict"))

        assert 3 == run("retry", "--all", "--execute").exit_code

    def test_waiting_tells_what_is_not_tried_yet(
        self, desk: Desk, run: Callable[..., Result]
    ) -> None:
        desk.file(a_letter(failed_at=NOW_MS - 1))

        result = run("retry", "--all", "--execute", "--wait", "0.01")

        assert 3 == result.exit_code
        assert "0 mended, 0 failed again, 1 not tried yet" in result.stderr

    def test_a_retry_of_everything_must_be_said(self, run: Callable[..., Result]) -> None:
        assert 2 == run("retry", "--execute").exit_code
