"""People's commands against a real history: what they print, and how they end."""

import json
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from opstrail_cli.search_commands import export, search, show
from opstrail_ingest.masking import Masking
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Element, split
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import RawEvent
from tests.support.history import A, a_record, event_of, served, serving


@pytest.fixture(scope="module")
def process_url(sample_store):
    """The service as people start it: its logs are not in what our commands print."""
    with serving(sample_store) as url:
        yield url


@pytest.fixture
def at_sample(process_url, monkeypatch):
    monkeypatch.setenv("OPSTRAIL_HISTORY__URL", process_url)
    return CliRunner()


def rows(result):
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_search_prints_a_line_each_when_piped(at_sample):
    result = at_sample.invoke(search, ["--since", "3650d", "--stack", "shop-prod", "-n", "0"])

    found = rows(result)
    assert len(found) > 50
    assert {"shop-prod"} == {row["stack"]["name"] for row in found}


def test_search_reads_page_after_page(at_sample, monkeypatch):
    monkeypatch.setattr("opstrail_cli.search_commands._PAGE", 50)

    assert 224 == len({row["id"] for row in rows(at_sample.invoke(search, ["-n", "0"]))})
    assert 70 == len(rows(at_sample.invoke(search, ["-n", "70"])))
    newest_last = rows(at_sample.invoke(search, ["-n", "0", "--oldest-first"]))
    assert newest_last[0]["time"] <= newest_last[-1]["time"]


def test_a_wrong_question_ends_with_words(at_sample):
    result = at_sample.invoke(search, ["--since", "soon"])

    assert 1 == result.exit_code
    assert "`soon` is no time" in result.output


def test_without_a_server_it_says_how_to_start_one(monkeypatch):
    monkeypatch.setenv("OPSTRAIL_HISTORY__URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(search, [])

    assert 1 == result.exit_code
    assert "opstrail history" in result.output


def test_show_tells_everything_of_one_event(at_sample):
    [one, *_] = rows(at_sample.invoke(search, ["--name", "CreateStack"]))

    for name in (one["eventID"], one["id"]):
        [found] = rows(at_sample.invoke(show, [name]))
        assert one["id"] == found["event"]["id"]
        assert found["lineage"]["steps"]
        raw = at_sample.invoke(show, [name, "--raw"]).stdout
        assert found["raw"] == raw.removesuffix("\n")
    missing = at_sample.invoke(show, ["no-such-event"])
    assert (1, True) == (missing.exit_code, "there is no event" in missing.output)


@pytest.mark.parametrize("form", ["ndjson", "records", "csv"])
def test_export_holds_all_and_counts(at_sample, form, tmp_path):
    file = tmp_path / "out"
    result = at_sample.invoke(export, ["--format", form, "-o", str(file)])

    assert 0 == result.exit_code, result.output
    assert "complete: 224 events" in result.output
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


def test_exported_records_are_the_same_events_when_taken_in_again(at_sample, sample):
    text = at_sample.invoke(export, ["--format", "records"]).stdout_bytes
    reader = RecordReader(FileOrigin(bucket="local", key="stdin.json", sha256="0"), Masking())

    again = [
        event
        for item in split(iter([text]))
        if isinstance(item, Element) and isinstance(event := reader.read(item), RawEvent)
    ]

    keys = {event_key(event.account_id, event.event_id).decode() for event in again}
    stored = {row["id"] for row in rows(at_sample.invoke(search, ["-n", "0"]))}
    # One record without eventID, one in a file of another account: the closing line counts them.
    closing = json.loads(text)["opstrailExport"]
    assert len(keys - stored) <= closing["withoutEventID"] + closing["otherAccountThanItsKey"] == 2
    assert 224 == len(again)


def test_tail_follows_what_is_stored(store):
    with served(store.settings()) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "opstrail_cli.main", "tail", "--name", "PutBucketPolicy"],
            env={"OPSTRAIL_HISTORY__URL": url, "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(first()))
        reader.start()
        at = 0
        while reader.is_alive():
            # However late it begins to follow: something new comes.
            now = served_now()
            store.put(
                [
                    event_of(a_record(f"e-{at}", "2024-01-02T00:00:00Z")),
                    event_of(a_record(f"x-{at}", "2024-01-02T00:00:00Z", eventName="Other")),
                ],
                stored_at=now,
            )
            at += 1
            reader.join(0.2)
        process.terminate()
        process.communicate()

    row = json.loads(lines[0])
    assert "PutBucketPolicy" == row["action"]
    assert row["id"].startswith(f"{A}/e-")


def served_now():
    """Now, as store would say it."""
    return time.time_ns() // 1_000_000
