"""What a key says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_ingest.object_key import ObjectKey, object_key
from tests.support.records import KEY

ACCOUNT = "111122223333"
TAIL = f"eu-central-1/2024/03/01/{ACCOUNT}_CloudTrail_eu-central-1_20240301T1205Z_Ab1.json.gz"
DELIVERED = 1709294700000


def test_an_account_trail_names_account_region_and_minute() -> None:
    assert object_key(KEY) == ObjectKey(ACCOUNT, "eu-central-1", None, DELIVERED)


@pytest.mark.parametrize(
    ("key", "organization"),
    [
        (f"AWSLogs/o-exampleorg11/{ACCOUNT}/CloudTrail/{TAIL}", "o-exampleorg11"),
        (f"a/b/AWSLogs/o-exampleorg11/{ACCOUNT}/CloudTrail/{TAIL}", "o-exampleorg11"),
        (f"o-abcdefghij/AWSLogs/o-exampleorg11/{ACCOUNT}/CloudTrail/{TAIL}", "o-exampleorg11"),
        (f"AWSLogs/999999999999/AWSLogs/{ACCOUNT}/CloudTrail/{TAIL}", None),
        (f"line\nbreak/../AWSLogs/{ACCOUNT}/CloudTrail/{TAIL}", None),
    ],
)
def test_the_last_place_that_fits_counts(key: str, organization: str | None) -> None:
    assert object_key(key) == ObjectKey(ACCOUNT, "eu-central-1", organization, DELIVERED)


@pytest.mark.parametrize(
    ("folder", "deferred"),
    [
        ("CloudTrail", None),
        ("CloudTrail-NetworkActivity", None),
        ("CloudTrail-Insight", None),
        ("CloudTrail-Aggregated", None),
        ("CloudTrail-Digest", "digest"),
        ("CloudTrail-Novelty", None),
        ("Config", "config"),
        ("vpcflowlogs", "vpcflow"),
        ("elasticloadbalancing", "other"),
        ("WAFLogs", "other"),
        ("network-firewall", "other"),
        ("MyCopies", None),
    ],
)
def test_the_folder_tells_what_need_not_be_read(folder: str, deferred: str | None) -> None:
    assert object_key(f"AWSLogs/{ACCOUNT}/{folder}/{TAIL}").deferred == deferred


def test_a_folder_key_is_none_that_is_read() -> None:
    assert object_key(f"AWSLogs/{ACCOUNT}/CloudTrail/").deferred == "folder"


@pytest.mark.parametrize(
    "key",
    [
        f"{ACCOUNT}_CloudTrail_eu-central-1_20240301T1205Z_Ab1.json.gz",
        f"backup/{ACCOUNT}_CloudTrail_eu-central-1_20240301T1205ZAb1.json.gz",
        f"AWSLogs/{ACCOUNT}/CloudTrail/{ACCOUNT}_CloudTrail_eu-central-1_20240301T1205Z_A.json.gz",
        f"XAWSLogs/{ACCOUNT}/CloudTrail/{TAIL}",
    ],
)
def test_a_name_alone_gives_the_minute_and_no_account(key: str) -> None:
    assert object_key(key) == ObjectKey(delivered_at=DELIVERED)


@pytest.mark.parametrize("name", ["a_CloudTrail_x_20241399T9999Z_b.json.gz", "notes.txt"])
def test_a_name_without_a_time_gives_none(name: str) -> None:
    assert object_key(name).delivered_at is None


@given(st.text())
def test_no_key_fails(key: str) -> None:
    object_key(key)
    object_key(f"AWSLogs/{ACCOUNT}/CloudTrail/{key}")
