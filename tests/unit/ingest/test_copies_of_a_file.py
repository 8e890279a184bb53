"""What becomes of the dead letters of a copy of a file when another copy of it is split."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from opstrail_ingest.file_split import SplitLimits
from opstrail_ingest.gunzip import Budget
from opstrail_ingest.split_stage import SplitStage
from opstrail_schemas.messages import FileNotice
from tests.support.records import KEY, a_record, trail_file, trail_text
from tests.support.splitting import Objects, Split, a_notice

LETTER = f"split:trails/{KEY}"
PAD = {"requestParameters": {"a": "b" * 400}}
RECORDS = [a_record(number, **PAD) for number in range(8)]
BROKEN, TORN = b'{"eventVersion": "1.01"ed}', b'{"eventVersion": "1.08", "awsRegion"'
TINY = SplitLimits(batch_bytes=2000, batch_s=1.0, budget=Budget())
WHOLE = trail_file(RECORDS)
DAMAGED = trail_file([*RECORDS[:2], BROKEN, *RECORDS[3:7], TORN])  # two fragments
OTHER_DAMAGE = trail_file([*RECORDS[:5], BROKEN, *RECORDS[6:]])
CUT = trail_text(RECORDS)[:-300]
REFUSED = b"no trail file"
EMPTY = trail_file([])


def a_split(*versions: bytes, limits: SplitLimits = TINY) -> Split:
    """Return a stage with versions of one object, each written a second after the one before."""
    objects = Objects(
        versions={f"v{number}": (data, 1000 * number) for number, data in enumerate(versions, 1)}
    )
    return Split(objects, limits)


def of(number: int) -> FileNotice:
    return a_notice(version_id=f"v{number}")


def out(split: Split) -> dict[str, str]:
    """Return the reasons of the dead letters that are not withdrawn."""
    return {key: letter.reason for key, letter in split.letters.items() if letter is not None}


def in_order(*versions: bytes) -> dict[str, str]:
    split = a_split(*versions)
    split.run(*(of(number) for number in range(1, len(versions) + 1)))
    return out(split)


def run_dying(split: Split, notices: Sequence[FileNotice], dies_after: int) -> None:
    """Split, with a process that dies once, after so many commits."""
    left = dies_after
    for notice in notices:
        record = split.noticed(notice)
        stage: SplitStage = split.stage()
        working = stage.work([record], split.pulse)
        for commit in working:
            split.commit(commit)
            left -= 1
            if left == 0 and not commit.offsets:
                working.close()
                for again in split.stage().work([record], split.pulse):
                    split.commit(again)
                break


def test_a_whole_copy_withdraws_the_letters_of_the_damaged_one() -> None:
    split = a_split()
    split.objects.stored[KEY] = DAMAGED
    split.run(a_notice())
    assert len(out(split)) == 2
    split.objects.stored[KEY] = WHOLE

    split.run(a_notice())

    assert out(split) == {}
    assert (split.rows[-1].state, split.rows[-1].fragments) == ("done", [])


@pytest.mark.parametrize("later", [CUT, REFUSED, EMPTY])
def test_a_copy_that_does_not_hold_them_leaves_the_letters(later: bytes) -> None:
    expected = in_order(DAMAGED)

    assert expected.items() <= in_order(DAMAGED, later).items()


@pytest.mark.parametrize("later", [CUT, REFUSED, EMPTY])
def test_they_are_withdrawn_by_the_whole_copy_after_it(later: bytes) -> None:
    assert in_order(DAMAGED, later, WHOLE) == {}


def test_a_copy_with_other_damage_leaves_its_own_letters() -> None:
    assert in_order(DAMAGED, OTHER_DAMAGE) == in_order(OTHER_DAMAGE)


def test_a_retry_leaves_fragments_where_the_new_copy_is_cut() -> None:
    split = a_split()
    split.objects.stored[KEY] = DAMAGED
    split.run(a_notice())
    first, second = split.letters
    split.objects.stored[KEY] = CUT

    split.run(a_notice(retry_of=first, retry_of_also=[second]))

    assert {first, second} <= out(split).keys()


@pytest.mark.parametrize("dies_after", range(9))
@pytest.mark.parametrize("first", [DAMAGED, CUT, REFUSED])
def test_a_death_at_any_chunk_changes_nothing(first: bytes, dies_after: int) -> None:
    split = a_split(first, WHOLE)

    run_dying(split, [of(1), of(2)], dies_after)

    assert out(split) == {}
    assert split.rows[-1].state == "done"


@pytest.mark.parametrize("dies_after", [0, 1, 3])
@pytest.mark.parametrize(
    "versions", list(permutations([WHOLE, DAMAGED, OTHER_DAMAGE, CUT, REFUSED, EMPTY], 2))
)
def test_the_order_of_two_versions_changes_nothing(
    versions: tuple[bytes, bytes], dies_after: int
) -> None:
    split = a_split(*versions)

    run_dying(split, [of(2), of(1)], dies_after)

    assert out(split) == in_order(*versions)


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
@pytest.mark.parametrize("earlier", list(permutations([DAMAGED, OTHER_DAMAGE, CUT, REFUSED], 2)))
def test_a_newest_whole_copy_answers_all_in_any_order(
    earlier: tuple[bytes, bytes], order: tuple[int, ...]
) -> None:
    split = a_split(*earlier, WHOLE)

    split.run(*(of(number) for number in order))

    assert out(split) == {}
    assert split.rows[-1].version_id == "v3"


def test_the_events_of_an_older_copy_go_out_all_the_same() -> None:
    split = a_split(trail_file([a_record("only in the first"), BROKEN]), WHOLE)

    split.run(of(2), of(1))

    assert "only in the first" in {event.event_id for event in split.events}


def test_a_file_of_very_many_fragments_is_left_at_a_number() -> None:
    items = [item for number in range(10_050) for item in (BROKEN, a_record(number % 5))]
    split = a_split(trail_file(items), WHOLE, limits=SplitLimits(2**25, 60.0, Budget()))
    split.run(of(1))
    row = split.rows[-1]
    assert (row.state, row.reason, row.dead_letters) == ("partial", "too-many-fragments", 10_000)

    split.run(of(2))

    assert out(split) == {}
