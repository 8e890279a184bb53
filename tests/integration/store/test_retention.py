"""Retention on a real OpenSearch: closed first, deleted later, and nothing comes back."""

import json
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opensearchpy import OpenSearch
from prometheus_client import REGISTRY

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.settings import OpenSearchSettings
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, TrailFile
from opstrail_schemas.topics import TopicName
from opstrail_store import commands
from opstrail_store.horizon import Horizon
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import OpenSearchSink
from opstrail_store.store_setup import NotSetUp, execute, installed_layout, plan
from opstrail_store.store_stage import Codecs, StoreStage
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client
from tests.support.enriched import JAN_2, an_enriched
from tests.support.memory_kafka import StillPulse
from tests.support.proxies import http_proxy as web

SECURITY = Path(__file__).parents[3] / "docs" / "security.md"
DAY = 86_400_000
NOW = time.time_ns() // 1_000_000
FEB_2 = JAN_2 + 31 * DAY
SINCE_FEB = ("--before", "2023-02", "--execute")


def unknown(schema_id: int) -> str:
    raise AssertionError(schema_id)


CODECS = Codecs(
    Codec(EnrichedEvent, 1, unknown),
    Codec(EnrichedEvent, 2, unknown),
    Codec(TrailFile, 3, unknown),
    Codec(DeadLetter, 4, unknown),
)


class Place:
    """A store with a prefix of its own, written by a stage that knew its layout at the start."""

    def __init__(self, client: OpenSearch, prefix: str, layout: Layout) -> None:
        execute(plan(client, prefix, layout))
        self.client, self.prefix = client, prefix
        self.names = IndexNames(prefix, layout.period)
        self.sink = OpenSearchSink(client, backoff=Backoff(0.1, 1, random.Random(1)))
        self.horizon = Horizon(client, prefix, layout, clock=lambda: 0.0)
        self.stage = StoreStage(
            sink=self.sink,
            codecs=CODECS,
            names=self.names,
            horizon=self.horizon,
            now_ms=lambda: NOW,
        )
        self._offsets: Counter[TopicName] = Counter()

    def take(self, topic: TopicName, key: bytes, value: bytes) -> None:
        """Let the stage work on one record, the first of its topic at offset 0."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        (commit,) = self.stage.work(
            [Record(Partition(topic, 0), offset, key, value, NOW)], StillPulse()
        )
        commit.after()

    def take_events(self, *times: int | None) -> None:
        for at in times:
            value = CODECS.enriched.encode(an_enriched(event_id=f"e-{at}", event_time=at))
            self.take(TopicName.EVENTS_ENRICHED, b"k", value)

    def take_letter(self, key: bytes, failed_at: int) -> None:
        letter = DeadLetter(
            stage="split", reason="malformed", message="m", first_failed_at=1, failed_at=failed_at
        )
        self.take(TopicName.DEAD_LETTERS, key, CODECS.dead_letters.encode(letter))

    def take_file(self, key: str, updated_at: int) -> None:
        file = TrailFile(bucket="b", key=key, state="done", noticed_at=1, updated_at=updated_at)
        self.take(TopicName.FILES_LEDGER, key.encode(), CODECS.ledger.encode(file))

    def indices(self) -> set[str]:
        found = self.client.indices.get(
            index=self.names.events_pattern, params={"expand_wildcards": "all"}
        )
        return {name.removeprefix(f"{self.prefix}-events-v1-") for name in found}

    def count(self, alias: str) -> int:
        self.client.indices.refresh(index=alias)
        return int(self.client.count(index=alias)["count"])


@pytest.fixture
def client(opensearch_url: str) -> OpenSearch:
    return new_client(OpenSearchSettings(url=opensearch_url))


@pytest.fixture
def place(client: OpenSearch, namespace: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(client, namespace, Layout(getattr(request, "param", "month")))
    yield place
    place.sink.close()
    client.indices.delete(index=f"{namespace}-*", params={"expand_wildcards": "all"})
    client.indices.delete_index_template(name=f"{namespace}-*")


Run = Callable[..., Result]


@pytest.fixture
def run(opensearch_url: str, place: Place) -> Run:
    def invoked(*arguments: str, code: int = 0, **settings: str) -> Result:
        environment = {
            "OPSTRAIL_OPENSEARCH__URL": opensearch_url,
            "OPSTRAIL_STORE__INDEX_PREFIX": place.prefix,
            **{f"OPSTRAIL_STORE__{name.upper()}": value for name, value in settings.items()},
        }
        result = CliRunner().invoke(commands.store, ["retention", *arguments], env=environment)
        assert code == result.exit_code, result.output
        return result

    return invoked


def actions(result: Result) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return {row["index"].split("-v1-")[-1]: row["action"] for row in rows}


def test_without_a_period_everything_is_kept_and_the_command_refuses(run, place):
    place.take_events(JAN_2)

    assert "OPSTRAIL_STORE__KEEP_DAYS" in run("--execute", code=2).stderr
    assert {"2023.01", "undated"} == place.indices()


def test_a_plan_shows_sizes_and_counts_and_changes_nothing(run, place):
    place.take_events(JAN_2, JAN_2 + 1, NOW, None)
    before = place.client.indices.get_index_template(name=place.names.events)
    place.count(place.names.events)

    shown = run(keep_days="365")

    rows = {row["index"].split("-v1-")[-1]: row for row in json.loads(shown.stdout)}
    assert ("close", 2) == (rows["2023.01"]["action"], rows["2023.01"]["documents"])
    assert rows["2023.01"]["bytes"] > 0
    assert ("keep", 1) == (rows["undated"]["action"], rows["undated"]["documents"])
    assert "run again with --execute" in shown.stderr
    assert before == place.client.indices.get_index_template(name=place.names.events)


def test_a_period_is_closed_first_and_deleted_by_a_later_run(run, place):
    place.take_events(JAN_2, FEB_2, NOW, None)

    closed = run(*SINCE_FEB)
    assert {"close", "keep"} == set(actions(closed).values())
    assert 4 == place.count(place.names.events)
    assert "closed" == actions(run(*SINCE_FEB))["2023.01"]

    deleted = run(*SINCE_FEB, closed_hours="0")
    assert "delete" == actions(deleted)["2023.01"]
    assert "2023.01" not in place.indices()
    assert 3 == place.count(place.names.events)
    assert "nothing to do" in run(*SINCE_FEB, closed_hours="0").stderr


def test_what_is_done_is_logged_for_an_audit(run, place):
    place.take_events(JAN_2, NOW)
    place.count(place.names.events)

    said = run(*SINCE_FEB, closed_hours="0").stderr

    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    moved, deleted = [line for line in lines if line["event"].startswith("retention")]
    assert ("2023-02-01", None) == (moved["before"], moved["was"])
    assert (f"{place.prefix}-events-v1-2023.01", 1) == (deleted["index"], deleted["documents"])
    assert deleted["size_bytes"] > 0


def test_a_store_that_runs_does_not_bring_a_deleted_index_back(run, place):
    place.take_events(JAN_2, NOW)
    run(*SINCE_FEB, closed_hours="0")

    place.take_events(JAN_2, JAN_2 + 5, FEB_2)

    assert {"2023.02", f"{datetime.now(UTC):%Y.%m}", "undated"} == place.indices()


def test_an_index_that_came_back_all_the_same_goes_with_the_next_run(run, place):
    place.take_events(JAN_2, NOW)
    run(*SINCE_FEB, closed_hours="0")
    place.client.index(index=place.names.of_event(JAN_2), body={}, params={"refresh": "true"})

    assert "delete" == actions(run(*SINCE_FEB, closed_hours="0"))["2023.01"]
    assert "2023.01" not in place.indices()


def test_old_rows_of_files_and_old_dead_letters_go_with_the_period(run, place):
    place.take_events(JAN_2, NOW)
    place.take_letter(b"old", JAN_2)  # offset 0: external version 0
    place.take_letter(b"new", FEB_2)
    place.take_file("old", JAN_2)
    place.take_file("new", FEB_2)
    for alias in (place.names.files, place.names.dead_letters):
        assert 2 == place.count(alias)

    run(*SINCE_FEB)  # closed only
    assert 2 == place.count(place.names.files)
    done = run(*SINCE_FEB, closed_hours="0")

    assert "rows of files and dead letters deleted: 2" in done.stderr
    assert 1 == place.count(place.names.files)
    assert 1 == place.count(place.names.dead_letters)


def test_set_up_keeps_the_horizon(run, place):
    place.take_events(JAN_2, NOW)
    run(*SINCE_FEB)
    layout = installed_layout(place.client, place.prefix)

    steps = plan(place.client, place.prefix, Layout())

    assert {"same"} == {step.action for step in steps}
    assert JAN_2 + 30 * DAY == layout.horizon_ms
    assert layout.horizon_at_ms is not None


def test_the_horizon_goes_back_when_told_and_events_are_taken_in_again(run, place):
    place.take_events(JAN_2, NOW)
    run(*SINCE_FEB, closed_hours="0")

    assert "nothing to do" in run("--before", "2023-01", "--execute").stderr
    run("--before", "2023-01", "--reopen", "--execute")
    place.take_events(JAN_2)

    assert "2023.01" in place.indices()


def test_a_clock_that_is_wrong_takes_nothing_away(run, place):
    place.take_events(JAN_2, FEB_2)

    assert "clock" in run("--execute", code=1, keep_days="30").stderr
    assert installed_layout(place.client, place.prefix).horizon_ms is None


@pytest.mark.parametrize(
    ("before", "text"), [("2023-02-02", "a month goes as a whole"), ("2999-01", "still to come")]
)
def test_a_time_that_cannot_be_meant_is_refused(run, before, text):
    assert text in run("--before", before, code=2).stderr


@pytest.mark.parametrize("place", ["day"], indirect=True)
def test_where_days_are_the_period_days_are_deleted(run, place):
    place.take_events(JAN_2, JAN_2 + DAY, NOW)

    run("--before", "2023-01-03", "--execute", closed_hours="0")

    assert {"2023.01.03", f"{datetime.now(UTC):%Y.%m.%d}", "undated"} == place.indices()


def test_horizon_and_oldest_period_are_metrics(run, place):
    place.take_events(JAN_2, FEB_2, NOW)
    run(*SINCE_FEB)

    Horizon(place.client, place.prefix, Layout(), clock=lambda: 0.0)()

    shown = REGISTRY.get_sample_value
    horizon_s = shown("opstrail_store_retention_horizon_timestamp_seconds")
    assert (JAN_2 + 30 * DAY) / 1000 == horizon_s
    assert (JAN_2 - DAY) / 1000 == shown("opstrail_store_oldest_period_timestamp_seconds")


def test_what_cannot_be_deleted_is_said_and_the_next_run_goes_on(run, place):
    place.take_events(JAN_2, NOW)
    index = place.names.of_event(JAN_2)
    place.client.indices.put_settings(index=index, body={"index.blocks.read_only": True})

    assert "block" in run(*SINCE_FEB, code=1, closed_hours="0").stderr
    assert "2023.01" in place.indices()

    place.client.indices.put_settings(index=index, body={"index.blocks.read_only": None})
    run(*SINCE_FEB, closed_hours="0")
    assert "2023.01" not in place.indices()


def test_an_index_that_somebody_closed_is_deleted_as_well(run, place):
    place.take_events(JAN_2, NOW)
    place.client.indices.close(index=place.names.of_event(JAN_2))

    assert "delete" == actions(run(*SINCE_FEB, closed_hours="0"))["2023.01"]
    assert "2023.01" not in place.indices()


# What each request of ours is called where OpenSearch checks rights.
ACTIONS = {
    r"GET /_index_template/": {"indices:admin/index_template/get"},
    r"PUT /_index_template/": {"indices:admin/index_template/put"},
    r"GET /[^_/]*\*\?": {"indices:admin/get"},
    r"GET /[^/]*/_stats/": {"indices:monitor/stats"},
    r"DELETE /[^/]*$": {"indices:admin/delete"},
    r"POST /[^/]*/_count": {"indices:data/read/search*"},
    r"POST /[^/]*/_delete_by_query": {
        "indices:data/write/delete*", "indices:data/read/search*", "indices:data/read/scroll*",
        "indices:data/write/bulk*", "indices:admin/refresh*",
    },
}  # fmt: skip


def test_it_needs_the_rights_that_the_page_on_security_gives_it(run, place, requests_made):
    place.take_events(JAN_2, NOW)
    place.take_letter(b"old", JAN_2)
    place.count(place.names.dead_letters)
    requests_made.clear()

    run(*SINCE_FEB, closed_hours="0")

    used = {
        action
        for request in requests_made
        for pattern, actions in ACTIONS.items()
        if re.match(pattern, request)
        for action in actions
    }
    assert all(any(re.match(known, each) for known in ACTIONS) for each in requests_made)
    [row] = [line for line in SECURITY.read_text().splitlines() if line.startswith("| retention |")]
    assert used == set(re.findall(r"`(indices:[^`]*)`", row))


@pytest.fixture
def requests_made() -> Iterator[list[str]]:
    """Every request of the client, as `METHOD /path?query`."""
    made: list[str] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            method, url = record.getMessage().split()[:2]
            made.append(f"{method} /{url.split('/', 3)[3]}")

    logger, notes = logging.getLogger("opensearch"), Notes()
    level = logger.level
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    yield made
    logger.removeHandler(notes)
    logger.setLevel(level)


@pytest.mark.parametrize(
    "fault",
    [
        web.Answer(404), web.Answer(404, b"<html>"), web.Answer(200, b"{}"), web.Answer(503),
        web.Truncate(0.5), web.ResetAfter(),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_that_tells_nothing_of_the_template_is_waited_for(opensearch_url, place, fault):
    with web.HttpProxy(opensearch_url).running() as proxy:
        horizon = Horizon(
            new_client(OpenSearchSettings(url=proxy.url)),
            place.prefix,
            Layout(),
            clock=lambda: 0.0,
        )
        proxy.faults = lambda _: fault
        with pytest.raises(Unavailable):
            horizon()


def test_a_store_whose_templates_are_gone_stops(place):
    place.client.indices.delete_index_template(name=place.names.events)

    with pytest.raises(NotSetUp, match="store setup"):
        place.take_events(NOW)
