"""`opstrail schemas` and `opstrail topics`, without a server or against stand-ins in memory."""

import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from opstrail_cli.schemas_commands import schemas, topics
from opstrail_schemas.topics import all_topics
from tests.support.fake_registry import FakeRegistry, serving

NOBODY = "http://127.0.0.1:1"


def run(group: click.Group, *words: str, **environment: str | None) -> Result:
    return CliRunner().invoke(group, words, env=environment)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as registry:
        yield registry


def test_the_list_names_every_topic_without_asking_a_server() -> None:
    listed = run(schemas, "list", OPSTRAIL_REGISTRY__URL=None)

    assert [row["topic"] for row in json.loads(listed.stdout)] == [
        described.name for described in all_topics()
    ]


@pytest.mark.parametrize("name", ["events.enriched", "opstrail.events.enriched.v1"])
def test_a_schema_is_shown_by_short_or_full_name_of_its_topic(name: str) -> None:
    shown = run(schemas, "show", name)

    assert json.loads(shown.stdout)["name"] == "io.opstrail.v1.EnrichedEvent"


def test_a_topic_that_is_not_there_is_a_usage_error_that_names_those_that_are() -> None:
    shown = run(schemas, "show", "events.cooked")

    assert shown.exit_code == 2
    assert "events.enriched" in shown.stderr


def test_register_then_check(fake: FakeRegistry) -> None:
    before = run(schemas, "check", OPSTRAIL_REGISTRY__URL=fake.url)
    registered = run(schemas, "register", OPSTRAIL_REGISTRY__URL=fake.url)
    after = run(schemas, "check", OPSTRAIL_REGISTRY__URL=fake.url)

    assert [before.exit_code, registered.exit_code, after.exit_code] == [1, 0, 0]
    assert "opstrail schemas register" in before.stderr
    assert json.loads(registered.stdout) == json.loads(after.stdout)


def test_a_registry_that_is_away_is_said_in_one_line() -> None:
    checked = run(schemas, "check", OPSTRAIL_REGISTRY__URL=NOBODY)

    assert checked.exit_code == 1
    assert checked.stderr.startswith("Error: registry: ConnectError")


def test_settings_that_are_missing_are_a_usage_error() -> None:
    checked = run(schemas, "check", OPSTRAIL_REGISTRY__URL=None)

    assert checked.exit_code == 2
    assert "OPSTRAIL_REGISTRY__URL: is not set" in checked.stderr


def test_topics_that_are_missing_are_named_with_what_to_do() -> None:
    """librdkafka's stand-in for Kafka: it knows no topic of ours, and no create."""
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(mock.list_topics().brokers.values()))

    checked = run(
        topics,
        "check",
        OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS=f"{broker.host}:{broker.port}",
        OPSTRAIL_KAFKA__TOPIC_PREFIX="team-a",
    )

    assert checked.exit_code == 1
    rows = json.loads(checked.stdout)
    assert {row["mend"] for row in rows} == {"opstrail topics create"}
    assert {row["topic"] for row in rows} == {
        f"team-a.{described.name}" for described in all_topics()
    }
