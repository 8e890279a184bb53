"""What a range of days needs of a bucket."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from opstrail_ingest.days import Days, Folder

JULY = Days(date(2021, 6, 30), date(2021, 7, 30))
REGION = "p/AWSLogs/o-abcdefghij/111122223333/CloudTrail/eu-west-1/"
LONG_AGO = datetime(2013, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("AWSLogs/", Folder.DEEPER),
        ("x/AWSLogs/o-abcdefghij/", Folder.DEEPER),
        ("AWSLogs/111122223333/", Folder.DEEPER),
        ("AWSLogs/111122223333/CloudTrail-Digest/", Folder.DEEPER),
        (REGION, Folder.DEEPER),
        (REGION + "2021/", Folder.DEEPER),
        (REGION + "2020/", Folder.SKIP),
        (REGION + "2021/06/", Folder.DEEPER),
        (REGION + "2021/05/", Folder.SKIP),
        (REGION + "2021/06/29/", Folder.SKIP),
        (REGION + "2021/06/30/", Folder.WHOLE),
        (REGION + "2021/07/30/", Folder.WHOLE),
        (REGION + "2021/07/31/", Folder.SKIP),
        (REGION + "2021/07/31/deeper/", Folder.WHOLE),
        ("AWSLogs/111122223333/elasticloadbalancing/", Folder.WHOLE),
        ("exports/2021/", Folder.DEEPER),
        ("NotAWSLogs/111122223333/", Folder.DEEPER),
        ("a/b/c/", Folder.DEEPER),
        ("a/b/c/d/", Folder.WHOLE),
    ],
)
def test_only_folders_that_may_hold_the_range_are_opened(folder: str, what: Folder) -> None:
    assert what == JULY.folder(folder)


@pytest.mark.parametrize(
    ("key", "last_modified", "within"),
    [
        (REGION + "2021/07/30/a.json.gz", LONG_AGO, True),
        (REGION + "2021/07/31/a.json.gz", LONG_AGO, False),
        ("a.json.gz", datetime(2021, 7, 30, 23, 59, tzinfo=UTC), True),
        ("a.json.gz", datetime(2021, 7, 31, tzinfo=UTC), False),
        ("a.json.gz", datetime(2021, 7, 31, 1, tzinfo=timezone(timedelta(hours=2))), True),
        (REGION + "a.json.gz", LONG_AGO, False),
    ],
)
def test_an_object_goes_by_its_folder_else_by_when_it_was_modified(
    key: str, last_modified: datetime, within: bool
) -> None:
    assert within == JULY.object(key, last_modified)


@pytest.mark.parametrize(
    ("days", "bounded", "early", "late"),
    [
        (Days(), False, True, True),
        (Days(since=date(2021, 1, 1)), True, False, True),
        (Days(until=date(2021, 1, 1)), True, True, False),
    ],
)
def test_a_range_may_be_open(days: Days, bounded: bool, early: bool, late: bool) -> None:
    assert (bounded, early, late) == (
        days.bounded,
        days.object("a", LONG_AGO),
        days.object("a", datetime(2024, 1, 1, tzinfo=UTC)),
    )
