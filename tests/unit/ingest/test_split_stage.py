"""The stage: what each notice leads to, in which commit, over restarts."""

import gzip

import pytest
from prometheus_client import REGISTRY

from opstrail_ingest.file_split import SplitLimits
from opstrail_ingest.gunzip import Budget
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Commit, Partition
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName
from tests.support.records import ACCOUNT, KEY, a_record, record_text, trail_file, trail_text
from tests.support.splitting import LEDGER, MIB, NOW_MS, Objects, Split, a_notice

RECORDS = [a_record(number) for number in range(3)]
BROKEN = b'{"eventVersion": "1.01"ed, "password": "hunter2"}'
NOTICED = Partition(TopicName.FILES_NOTICED, 0)
LETTER = f"split:trails/{KEY}"
TINY = SplitLimits(batch_bytes=4000, batch_s=1.0, budget=Budget())


def a_split(files: dict[str, bytes], limits: SplitLimits | None = None) -> Split:
    objects = Objects(dict(files))
    return Split(objects) if limits is None else Split(objects, limits)


def letter(split: Split, key: str = LETTER) -> DeadLetter:
    found = split.letters[key]
    assert found is not None
    return found


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"opstrail_{name}_total", labels) or 0


def test_a_file_becomes_events_and_a_row_in_one_commit() -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice())

    (row,) = split.rows
    assert [event.event_id for event in split.events] == ["0", "1", "2"]
    assert {event.account_id for event in split.events} == {ACCOUNT}
    assert (row.state, row.records, row.aws_region) == ("done", 3, "eu-central-1")
    assert row.sha256 == split.events[0].origin.sha256
    assert [commit.offsets for commit in split.commits] == [{NOTICED: 1}]
    assert split.objects.opened[0].body.closed


def test_small_files_share_a_commit() -> None:
    files = {f"{number}.json.gz": trail_file([a_record(number)]) for number in range(20)}
    split = a_split(files)

    split.run(*map(a_notice, files))

    assert [commit.offsets for commit in split.commits] == [{NOTICED: 20}]
    assert len(split.events) == 20


def test_a_commit_is_bounded_by_bytes_and_by_time() -> None:
    files = {f"{number}.json.gz": trail_file(RECORDS) for number in range(8)}
    by_bytes, by_time = a_split(files, TINY), a_split(files)
    by_time.tick_ms = 100

    by_bytes.run(*map(a_notice, files))
    by_time.run(*map(a_notice, files))

    assert 2 <= len(by_bytes.commits) <= 4
    assert 2 <= len(by_time.commits) <= 8
    assert by_time.commits[-1].offsets == {NOTICED: 8}


def test_a_file_noticed_twice_is_split_once() -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice(), a_notice(), a_notice())
    split.run(a_notice())

    assert len(split.events) == 3
    assert split.objects.fetched == [KEY]
    assert split.objects.asked == [KEY] * 3  # none of them knew an ETag


def test_a_notice_with_a_stale_e_tag_is_skipped_after_the_fetch() -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice(), a_notice(e_tag="old"))

    assert len(split.events) == 3
    assert split.objects.fetched == [KEY, KEY]


def test_another_object_under_the_same_key_is_split() -> None:
    split = a_split({KEY: trail_file(RECORDS[:1])})
    split.run(a_notice())
    split.objects.stored[KEY] = trail_file(RECORDS[1:])

    split.run(a_notice())

    assert [event.event_id for event in split.events] == ["0", "1", "2"]


def test_skipped_records_are_counted_as_already_there() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    before = counted("records_already_there", stage="split"), counted("records_in", stage="split")

    split.run(a_notice(), a_notice())

    after = counted("records_already_there", stage="split"), counted("records_in", stage="split")
    assert (after[0] - before[0], after[1] - before[1]) == (3, 6)


def test_a_broken_record_is_a_masked_dead_letter_and_its_neighbours_are_events() -> None:
    text = trail_text([RECORDS[0], BROKEN, RECORDS[1]])
    split = a_split({KEY: gzip.compress(text)})

    split.run(a_notice())

    start = text.index(BROKEN)
    found = letter(split, f"{LETTER}#{start}-{start + len(BROKEN)}")
    assert (found.reason, found.record_index, found.account_id) == ("not-json", 1, ACCOUNT)
    assert found.text is not None
    assert "hunter2" not in found.text
    assert '"1.01"ed' in found.text
    assert [event.origin.record_index for event in split.events] == [0, 2]
    assert (split.rows[0].state, split.rows[0].dead_letters) == ("partial", 1)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"not json", "not-json"),
        (gzip.compress(b'{"a":1}', mtime=0), "not-a-trail-file"),
        (b'{"Records":null}', "no-records"),
        (gzip.compress(bytes(70 * MIB), 1, mtime=0), "unpacks-too-large"),
        (trail_file(RECORDS)[:8], "cut-short"),
    ],
)
def test_a_file_that_is_none_of_ours_is_quarantined(stored: bytes, reason: str) -> None:
    other = f"other-{KEY}"
    limits = SplitLimits(MIB, 1.0, Budget(most_ratio=2))
    split = a_split({KEY: stored, other: trail_file(RECORDS)}, limits)

    split.run(a_notice(), a_notice(other))

    assert letter(split).reason == reason
    assert (split.rows[0].state, split.rows[0].reason) == ("quarantined", reason)
    assert len(split.events) == 3


def test_a_file_cut_short_is_salvaged_and_is_a_dead_letter() -> None:
    stored = trail_file([a_record(number, x=f"{number * 7919:x}") for number in range(900)])
    split = a_split({KEY: stored[: len(stored) * 2 // 3]})

    split.run(a_notice())

    assert letter(split).reason == "cut-short"
    assert "of the stored file" in letter(split).message
    assert 300 < len(split.events) < 900
    assert {tuple(event.flags) for event in split.events} == {("salvaged",)}
    assert (split.rows[0].state, split.rows[0].reason) == ("partial", "cut-short")


def test_bytes_after_the_first_member_are_read_and_told() -> None:
    split = a_split({KEY: trail_file(RECORDS[:1]) + trail_file(RECORDS[1:])})

    split.run(a_notice())

    assert len(split.events) == 3
    assert (split.rows[0].state, split.rows[0].reason) == ("done", "extra-data")
    assert split.letters == {}


@pytest.mark.parametrize(
    ("key", "stored", "state", "category"),
    [
        (KEY, b"", "empty", None),
        (KEY, trail_file([]), "empty", None),
        (KEY, b'{"digestStartTime":"x"}', "deferred", "digest"),
        (KEY, trail_file([a_record(eventCategory="Insight")]), "deferred", "insight"),
        (KEY, trail_file([a_record(), a_record(eventCategory="Insight")]), "done", None),
    ],
)
def test_files_without_events_have_a_state_too(
    key: str, stored: bytes, state: str, category: str | None
) -> None:
    split = a_split({key: stored})

    split.run(a_notice(key))

    assert (split.rows[0].state, split.rows[0].category) == (state, category)
    assert split.letters == {}


@pytest.mark.parametrize(
    ("key", "category"),
    [
        ("AWSLogs/", "folder"),
        (KEY.replace("/CloudTrail/", "/CloudTrail-Digest/"), "digest"),
    ],
)
def test_what_the_key_tells_is_not_fetched(key: str, category: str) -> None:
    split = a_split({})

    split.run(a_notice(key))

    assert (split.rows[0].state, split.rows[0].category) == ("deferred", category)
    assert split.objects.fetched == []


LARGE = [
    a_record(
        None if number % 2 else number, x="y" * 50, eventTime=f"2024-03-{number % 40:02}T12:00:00Z"
    )
    for number in range(100)
]


def test_a_large_file_goes_in_chunks_and_its_offset_with_the_last() -> None:
    split = a_split({"a": trail_file(RECORDS), KEY: trail_file(LARGE)}, TINY)

    split.run(a_notice("a"), a_notice())

    rows = [row for row in split.rows if row.key == KEY]
    assert len(split.events) == 3 + len(LARGE)
    assert [row.state for row in rows] == ["splitting"] * (len(rows) - 1) + ["done"]
    assert len(rows) > 5
    assert (rows[-1].records, rows[-1].next_record) == (len(LARGE), 0)
    assert [commit.offsets for commit in split.commits[1:-1]] == [{}] * (len(rows) - 2)
    assert split.commits[-1].offsets == {NOTICED: 2}


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_large_file_is_resumed_where_it_stopped(chunks: int) -> None:
    split = a_split({KEY: trail_file([*LARGE[:2], BROKEN, *LARGE[2:]])}, TINY)
    whole = a_split(split.objects.stored)
    whole.run(a_notice())
    record = split.noticed(a_notice())
    working = split.stage().work([record], split.pulse)
    for _ in range(chunks):
        split.commit(next(working))
    working.close()
    assert split.objects.opened[0].body.closed

    for commit in split.stage().work([record], split.pulse):
        split.commit(commit)

    assert [event.raw for event in split.events] == [event.raw for event in whole.events]
    assert [event.event_id for event in split.events] == [e.event_id for e in whole.events]
    assert list(split.letters) == list(whole.letters)
    last, expected = split.rows[-1], whole.rows[-1]
    assert (last.records, last.dead_letters) == (expected.records, expected.dead_letters)
    assert last.newest_event_time == expected.newest_event_time


def test_another_e_tag_starts_a_large_file_anew() -> None:
    split = a_split({KEY: trail_file(LARGE)}, TINY)
    record = split.noticed(a_notice())
    split.commit(next(split.stage().work([record], split.pulse)))
    begun = len(split.events)
    split.objects.stored[KEY] = trail_file(LARGE[:60])

    for commit in split.stage().work([record], split.pulse):
        split.commit(commit)

    assert len(split.events) == begun + 60
    assert split.rows[-1].records == 60


@pytest.mark.parametrize("fragment", [b"{}", b"null"])
def test_a_file_of_fragments_is_left_after_a_thousand(fragment: bytes) -> None:
    split = a_split({KEY: trail_file([*RECORDS, *[fragment] * 1500, *RECORDS])})

    split.run(a_notice())

    assert (len(split.events), len(split.letters)) == (3, 1001)
    assert (letter(split).reason, split.rows[-1].state) == ("too-many-fragments", "partial")


def test_an_event_too_large_for_a_message_costs_nobody_else() -> None:
    names = ",".join(['"pwd":1'] * 500_000)
    large = record_text(a_record("large"))[:-1] + f',"x":{{{names}}}}}'.encode()
    split = a_split({KEY: trail_file([*RECORDS, large, *RECORDS])})

    split.run(a_notice())

    assert len(split.events) == 6
    assert [letter and letter.reason for letter in split.letters.values()] == ["too-large"]


def test_records_without_an_id_are_told_apart_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("opstrail_ingest.raw_event.MOST_WITHOUT_ID", 5)
    split = a_split({KEY: trail_file([a_record(None, x=number) for number in range(7)])})

    split.run(a_notice())

    assert len(split.events) == 5
    assert {one and one.reason for one in split.letters.values()} == {"too-many-without-id"}


def test_a_file_that_is_done_stays_so_when_its_object_is_removed() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())
    split.objects.stored.clear()

    split.run(a_notice())

    assert ["done"] == [row.state for row in split.rows]
    assert {} == split.letters


def test_a_replay_that_fails_leaves_the_file_done_and_a_dead_letter() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())
    split.objects.stored.clear()

    split.run(a_notice(forced=True))

    assert ["done"] == [row.state for row in split.rows]
    assert (letter(split).reason, letter(split).retry_at) == ("object-unavailable", None)


def test_a_replay_that_succeeds_mends_one_that_failed() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())
    stored = split.objects.stored.pop(KEY)
    split.run(a_notice(forced=True))
    split.objects.stored[KEY] = stored

    split.run(a_notice(forced=True))

    assert split.letters == {LETTER: None}


def test_an_object_that_cannot_be_read_waits_and_holds_up_nobody() -> None:
    other = f"other-{KEY}"
    split = a_split({other: trail_file(RECORDS)})

    split.run(a_notice(), a_notice(other))

    found = letter(split)
    assert (found.reason, found.tries, found.retry_at) == (
        "object-unavailable",
        1,
        NOW_MS + 30_000,
    )
    assert "not-found" in found.message
    assert (split.rows[0].state, split.rows[0].tries) == ("waiting", 1)
    assert len(split.events) == 3
    assert split.commits[-1].offsets == {NOTICED: 2}


def test_tries_go_on_at_growing_intervals_and_end_after_a_day() -> None:
    split = a_split({})
    waits: list[int] = []
    while not split.letters or letter(split).retry_at is not None:
        split.run(a_notice(retry_of=LETTER))
        retry_at = letter(split).retry_at
        if retry_at is not None:
            waits.append((retry_at - split.now) // 1000)
            split.now = retry_at

    assert waits[:8] == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert set(waits[8:]) == {3600}
    assert letter(split).first_failed_at == NOW_MS
    assert letter(split).tries == len(waits) + 1
    assert split.rows[-1].state == "quarantined"
    assert split.now - NOW_MS >= 86_400_000


def test_a_file_that_was_given_up_is_tried_again_when_it_is_noticed_again() -> None:
    split = a_split({})
    split.run(a_notice())
    split.now += 90_000_000
    split.run(a_notice())
    split.run(a_notice())

    assert (letter(split).tries, split.rows[-1].state) == (1, "waiting")


@pytest.mark.parametrize("retry_of", [LETTER, None])
def test_success_writes_the_tombstone(retry_of: str | None) -> None:
    split = a_split({})
    split.run(a_notice())
    split.objects.stored[KEY] = trail_file(RECORDS)

    split.run(a_notice(retry_of=retry_of))

    assert split.letters == {LETTER: None}
    assert (split.rows[-1].state, split.rows[-1].tries) == ("done", 0)
    assert split.rows[-1].first_failed_at is None


def test_a_retry_that_fails_the_same_way_writes_no_tombstone() -> None:
    split = a_split({KEY: trail_file([BROKEN])})
    split.run(a_notice())
    (key,) = split.letters

    split.run(a_notice(retry_of=key))

    assert letter(split, key).reason == "not-json"


@pytest.mark.parametrize("damaged", [[BROKEN], [RECORDS[0], BROKEN, RECORDS[1]]])
def test_a_file_that_waited_and_was_read_meanwhile_is_not_read_once_more(
    damaged: list[bytes | dict[str, object]],
) -> None:
    """discover has sent the notice already when another one finds the object (tests/faults)."""
    split = a_split({})
    split.run(a_notice())
    assert letter(split, LETTER).retry_at is not None
    split.objects.stored[KEY] = trail_file(damaged)
    split.run(a_notice())
    before = len(split.events), dict(split.letters)

    split.run(a_notice(retry_of=LETTER, source="due"))

    assert before == (len(split.events), split.letters)


@pytest.mark.parametrize(
    ("retry_of", "mended"), [("split:trails/x", True), ("store:trails/x", False)]
)
def test_a_retry_of_a_file_that_is_done_mends_splits_own_letter(
    retry_of: str, *, mended: bool
) -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice(), a_notice(retry_of=retry_of))

    assert split.letters == ({retry_of: None} if mended else {})


def test_an_object_lost_in_the_middle_is_resumed_once_it_is_back() -> None:
    stored = trail_file(LARGE)
    split = a_split({KEY: stored}, TINY)
    record = split.noticed(a_notice())
    split.commit(next(split.stage().work([record], split.pulse)))
    del split.objects.stored[KEY]
    for commit in split.stage().work([record], split.pulse):
        split.commit(commit)
    assert split.rows[-1].state == "waiting"
    split.objects.stored[KEY] = stored

    split.run(a_notice(retry_of=LETTER))

    assert len(split.events) == len(LARGE)
    assert split.letters == {LETTER: None}


def test_a_forced_notice_of_a_file_that_is_done_goes_to_reread() -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice(), a_notice(forced=True))

    assert len(split.events) == len(split.reread) == 3
    assert split.rows[-1].state == "done"


def test_a_forced_notice_of_another_file_is_an_ordinary_one() -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(a_notice(forced=True))

    assert (len(split.events), len(split.reread)) == (3, 0)


def test_a_replay_in_chunks_leaves_the_file_done() -> None:
    split = a_split({KEY: trail_file(LARGE)}, TINY)
    split.run(a_notice())
    rows = len(split.rows)

    split.run(a_notice(forced=True))

    assert len(split.reread) == len(LARGE)
    assert [row.state for row in split.rows[rows:]] == ["done"]


@pytest.mark.parametrize("value", [None, b"", b"random", b"\0\0\0\0\1random", b"\0\0\0\0\x09x"])
def test_a_message_that_is_no_notice_is_a_dead_letter(value: bytes | None) -> None:
    split = a_split({KEY: trail_file(RECORDS)})

    split.run(value, a_notice())

    found = letter(split, "split:opstrail.files.noticed.v1/0/0")
    assert (found.topic, found.partition, found.offset) == ("opstrail.files.noticed.v1", 0, 0)
    assert len(split.events) == 3


def test_what_is_ready_is_committed_before_a_store_that_is_away_is_waited_for() -> None:
    split = a_split({"a": trail_file(RECORDS), "b": trail_file(RECORDS)})
    split.objects.away = {"b"}
    stage = split.stage()

    with pytest.raises(Unavailable):
        split.run(a_notice("a"), a_notice("b"), stage=stage)

    assert [commit.offsets for commit in split.commits] == [{NOTICED: 1}]
    with pytest.raises(Unavailable):
        split.run(a_notice("b"), stage=stage)
    assert len(split.commits) == 1


def test_what_is_ready_is_committed_before_a_registry_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(schema_id: int) -> str:
        raise Unavailable("registry", f"{schema_id}")

    split = a_split({KEY: trail_file(RECORDS)})
    records = [split.noticed(a_notice()), split.noticed(b"\0\0\0\0\x63body")]
    monkeypatch.setattr("tests.support.splitting.NOTICES", Codec(FileNotice, 1, away))

    working = split.stage().work(records, split.pulse)
    split.commit(next(working))
    with pytest.raises(Unavailable):
        next(working)

    assert len(split.events) == 3


def test_an_abort_leaves_no_trace() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    stage = split.stage()
    record = split.noticed(a_notice())
    aborted: list[Commit] = list(stage.work([record], split.pulse))

    split.commit(next(iter(stage.work([record], split.pulse))))

    assert len(aborted) == 1
    assert len(split.events) == 3


def test_a_file_that_kills_the_process_is_set_aside() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    stage = split.stage()

    commit = stage.set_aside(split.noticed(a_notice(e_tag="one")))
    split.commit(commit)

    assert commit.offsets == {NOTICED: 1}
    assert letter(split).reason == "crashed"
    assert (split.rows[0].state, split.rows[0].reason) == ("quarantined", "crashed")
    split.run(a_notice(e_tag="one"), stage=stage)
    assert split.events == []


def test_a_replay_that_kills_the_process_leaves_the_file_done() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())

    split.commit(split.stage().set_aside(split.noticed(a_notice(forced=True))))

    assert [row.state for row in split.rows] == ["done"]
    assert letter(split).reason == "crashed"


def test_a_crash_is_remembered_for_notices_without_an_e_tag() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.commit(split.stage().set_aside(split.noticed(a_notice())))

    split.run(a_notice())
    assert split.events == []

    split.run(a_notice(retry_of=LETTER))
    assert (len(split.events), split.letters) == (3, {LETTER: None})


def test_a_crash_leaves_the_e_tag_that_was_known() -> None:
    split = a_split({KEY: trail_file(LARGE)}, TINY)
    stage = split.stage()
    record = split.noticed(a_notice())
    split.commit(next(stage.work([record], split.pulse)))

    split.commit(stage.set_aside(record))

    assert split.rows[-1].e_tag == split.rows[0].e_tag is not None


def test_a_large_file_that_kills_the_process_keeps_what_was_split() -> None:
    split = a_split({KEY: trail_file(LARGE)}, TINY)
    stage = split.stage()
    record = split.noticed(a_notice())
    split.commit(next(stage.work([record], split.pulse)))

    split.commit(stage.set_aside(record))

    assert (split.rows[-1].state, split.rows[-1].records) == ("quarantined", len(split.events))


def test_a_message_that_kills_the_process_is_set_aside() -> None:
    split = a_split({})

    split.commit(split.stage().set_aside(split.noticed(b"random")))

    assert list(split.letters) == ["split:opstrail.files.noticed.v1/0/0"]
    assert split.rows == []


def test_the_ledger_is_restored_and_forgotten() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())
    split.kafka.append(TopicName.FILES_LEDGER, b"\xff", b"random")
    split.kafka.append(TopicName.FILES_LEDGER, b"\xff", None)
    stage = split.stage()

    split.run(a_notice(), stage=stage)
    stage.forget([NOTICED])
    stage.restore([NOTICED], split.pulse)
    split.run(a_notice(), stage=stage)

    assert len(split.events) == 3


def test_a_row_that_was_removed_is_a_file_nobody_knows() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())
    split.kafka.append(TopicName.FILES_LEDGER, f"trails/{KEY}".encode(), None)

    split.run(a_notice())

    assert len(split.events) == 6


def test_a_ledger_that_cannot_be_read_is_left_out_whole() -> None:
    split = a_split({})
    stage = split.stage()
    split.kafka.away = True

    with pytest.raises(Unavailable):
        stage.restore([NOTICED], split.pulse)

    stage.forget([NOTICED])


def test_the_manuals_sample_gives_one_event_and_one_dead_letter() -> None:
    sample = trail_text([RECORDS[0], BROKEN]).replace(b",", b",\n  ")
    split = a_split({"sample.json": sample})

    split.run(a_notice("sample.json"))

    assert (len(split.events), len(split.letters)) == (1, 1)


def test_rows_read_back_as_they_were_written() -> None:
    split = a_split({KEY: trail_file(RECORDS)})
    split.run(a_notice())

    assert LEDGER.decode(LEDGER.encode(split.rows[0])) == split.rows[0]
    assert split.rows[0].delivered_at == 1709294700000
    assert split.events[0].raw == record_text(RECORDS[0])


def test_files_that_are_refused_whole_count_and_what_waits_does_not() -> None:
    split = Split()
    split.objects.stored = {"sound": trail_file([a_record()]), "bad": b"nonsense"}

    split.run(a_notice("sound"), a_notice("bad"), a_notice("missing"), b"no notice")

    assert [{Partition(TopicName.FILES_NOTICED, 0): 2}] == [c.refused for c in split.commits]
