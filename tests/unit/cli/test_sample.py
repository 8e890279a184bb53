"""The sample archive: the same every time, complete, and what its expectation says."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.expectation import expected
from opstrail_cli.sample.folder import write
from opstrail_schemas.messages import CallerKind, CredentialKind

ARCHIVE = archive()
EXPECTED = expected(ARCHIVE)
RECORDS = [each.record for file in ARCHIVE.files for each in file.events]


def test_it_is_the_same_every_time() -> None:
    assert ARCHIVE == archive()


def test_what_is_said_of_it_is_what_the_files_hold(tmp_path: Path) -> None:
    trails, _ = write(ARCHIVE, tmp_path)
    read: Counter[str] = Counter()
    for path in filter(Path.is_file, trails.rglob("*")):
        body = path.read_bytes()
        text = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        if "CloudTrail-" in path.name or not text.startswith(b"{"):
            continue  # digest, Insight; empty, an error page, the manual's broken entry
        account = path.relative_to(trails).parts[-7] if "AWSLogs" in path.parts else None
        for record in json.loads(text)["Records"]:
            who = record["userIdentity"]
            issuer = who.get("sessionContext", {}).get("sessionIssuer", {}).get("accountId")
            named = (
                account,
                record.get("recipientAccountId"),
                who.get("accountId"),
                issuer,
                "-",
            )
            read[f"{next(filter(None, named))}/{record.get('eventID')}"] += 1

    # The manual's event, and the one whose id is a hash of its text, are not found in this way.
    alike = {identity for identity in EXPECTED.identities if re.search("[0-9a-f]{12}$", identity)}
    assert 1 == len(alike - set(read))
    assert {"111122223333/None"} == set(read) - alike
    fragments = 1
    assert EXPECTED.records == sum(read.values()) + 1 + fragments


def test_every_kind_of_caller_and_of_credentials_calls() -> None:
    assert set(get_args(CallerKind)) == set(EXPECTED.by_caller_kind)
    assert set(get_args(CredentialKind)) == set(EXPECTED.by_credential_kind)


def test_three_accounts_and_four_regions_have_trail_files() -> None:
    assert {"111122223333", "444455556666", "777788889999"} == {
        file.account for file in ARCHIVE.files if file.account
    }
    assert {"us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"} == {
        each.place.region for file in ARCHIVE.files for each in file.events
    }


def test_two_trails_deliver_most_events_twice() -> None:
    assert EXPECTED.repeats > len(EXPECTED.identities) * 0.7
    assert [file for file in ARCHIVE.files if file.path.startswith("org/AWSLogs/o-")]


def test_records_are_not_in_the_order_of_their_times() -> None:
    times = [[each.time for each in file.events] for file in ARCHIVE.files]

    assert sum(those != sorted(those) for those in times) > len(times) / 4


def test_no_two_files_share_a_key() -> None:
    assert len(ARCHIVE.files) == len({file.key for file in ARCHIVE.files})


def test_a_stack_is_renamed_and_the_other_one_deleted() -> None:
    calls = {(record["eventName"], record["eventTime"][:10]) for record in RECORDS}

    assert {("UpdateStack", "2023-10-02"), ("DeleteStack", "2022-11-30")} <= calls
    assert (
        max(
            record["eventTime"]
            for record in RECORDS
            if record["eventSource"].startswith("opsworks")
        )
        < "2024-05-26"
    )
    assert all(number > 0 for number in EXPECTED.naming_stack.values())


def test_odd_files_and_records_are_there() -> None:
    assert {"digest", "insight"} == set(EXPECTED.deferred.values())
    assert ["not-json", "not-json"] == [reason for _, reason in EXPECTED.dead_letters]
    assert 2 == len(EXPECTED.empty)
    assert any("eventID" not in record for record in RECORDS)
    assert any("sharedEventID" in record for record in RECORDS)
    assert any("errorCode" in record for record in RECORDS)
    assert "this-password-must-be-masked" in str(RECORDS)
    assert any(
        file.account not in {None, each.record.get("recipientAccountId", file.account)}
        for file in ARCHIVE.files
        for each in file.events
    )


def test_the_broken_entry_of_the_manual_is_broken_in_one_place_only() -> None:
    entry = next(file for file in ARCHIVE.files if file.key.endswith("opsworks-manual.json"))

    mended = json.loads(entry.body.replace(b'"1.01"ed', b'"1.01"'))

    assert ["CreateLayer", "DescribeInstances"] == [
        record["eventName"] for record in mended["Records"]
    ]
