"""What follows from the ledger for a notice."""

import pytest

from opstrail_ingest.decisions import (
    Again,
    Decision,
    Finished,
    New,
    Resume,
    Row,
    Skip,
    decision,
    packed,
    unpacked,
)
from opstrail_schemas.messages import FileNotice, TrailFile
from tests.support.records import KEY


def a_notice(**fields: object) -> FileNotice:
    given = {"bucket": "trails", "key": KEY, "source": "s3", "noticed_at": 1, "e_tag": "one"}
    return FileNotice(**(given | fields))  # type: ignore[arg-type]


def a_row(state: str, **fields: object) -> TrailFile:
    given = {"bucket": "trails", "key": KEY, "noticed_at": 1, "updated_at": 2, "e_tag": "one"}
    return TrailFile(state=state, **(given | fields))  # type: ignore[arg-type]


def finished(**fields: object) -> Finished:
    row = a_row("done", records=7, **fields)
    return unpacked(packed(row.e_tag, row.version_id, row.records, row.last_modified))


PARTIAL, REFUSED = a_row("partial", records=6), a_row("quarantined", reason="not-json")
GIVEN_UP = a_row("quarantined", first_failed_at=1)
CHUNKED = a_row("splitting", next_byte=99, next_record=5)
CRASHED = a_row("quarantined", next_record=5, reason="crashed")
WAITING = a_row("waiting", next_record=5, first_failed_at=1)
PLAIN, FORCED, RETRY = a_notice(), a_notice(forced=True), a_notice(retry_of="split:x")


@pytest.mark.parametrize(
    ("notice", "row", "e_tag", "expected"),
    [
        (PLAIN, None, "one", New()),
        (PLAIN, finished(), "one", Skip(7)),
        (RETRY, finished(), "one", Skip(7)),
        (PLAIN, finished(), "two", New()),
        (PLAIN, finished(), None, New()),
        (FORCED, finished(), "one", Again()),
        (FORCED, finished(), "two", New()),
        (a_notice(version_id="v1"), finished(version_id="v1"), "one", Skip(7)),
        (a_notice(version_id="v2"), finished(version_id="v1"), "one", New()),
        (a_notice(version_id="v2"), finished(), "one", Skip(7)),
        (PLAIN, finished(version_id="v1"), "one", Skip(7)),
        (PLAIN, PARTIAL, "one", Skip(6)),
        (FORCED, PARTIAL, "one", New()),
        (RETRY, PARTIAL, "one", New()),
        (PLAIN, PARTIAL, "two", New()),
        (PLAIN, REFUSED, "one", Skip(0)),
        (RETRY, REFUSED, "one", New()),
        (PLAIN, GIVEN_UP, "one", New()),
        (PLAIN, CHUNKED, "one", Resume(CHUNKED)),
        (PLAIN, CHUNKED, "two", New()),
        (PLAIN, CRASHED, "one", Skip(0)),
        (RETRY, CRASHED, "one", Resume(CRASHED)),
        (PLAIN, WAITING, "one", Resume(WAITING)),
        (PLAIN, a_row("waiting"), "one", New()),
    ],
)
def test_a_decision(notice: FileNotice, row: Row | None, e_tag: str, expected: Decision) -> None:
    assert decision(notice, row, e_tag) == expected


def test_what_is_kept_of_a_file_that_is_done_is_small() -> None:
    assert packed("one", "v", 2**31, 2**62).bit_length() <= 120
    assert unpacked(packed("one", None, 2**31, None)).records == 2**28 - 1
