"""`opstrail schemas` and `opstrail topics`: the contracts, and what of them is set up."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from opstrail_runtime.codecs import asked
from opstrail_runtime.command_line import Row, show
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_errors import KafkaRefuses
from opstrail_runtime.kafka_topics import KafkaTopics, UnequalPartitions
from opstrail_runtime.settings import KafkaSettings, RegistrySettings, Told
from opstrail_runtime.wiring import new_admin, new_registry, topic_names
from opstrail_schemas.codec import schema_text
from opstrail_schemas.registry import NotCompatible, Registry
from opstrail_schemas.topics import Topic, TopicName, all_topics, topic


class OnlyRegistry(Told):
    """What `opstrail schemas` is told: the registry, and nothing of Kafka."""

    registry: RegistrySettings


class OnlyKafka(Told):
    """What `opstrail topics` is told: Kafka, and nothing of the registry."""

    kafka: KafkaSettings


@click.group()
def schemas() -> None:
    """The Avro schemas of the topics."""


@click.group()
def topics() -> None:
    """The topics in Kafka."""


@schemas.command("list")
def list_schemas() -> None:
    """List the topics, with the schema and the key of their messages. Asks no server."""
    show(
        [
            {
                "topic": described.name,
                "schema": described.schema,
                "subject": described.subject,
                "key": described.key,
            }
            for described in all_topics()
        ]
    )


@schemas.command("show")
@click.argument("name", metavar="TOPIC")
def show_schema(name: str) -> None:
    """Print the schema of a topic, whole in itself. Asks no server."""
    click.echo(json.dumps(json.loads(schema_text(_topic_named(name).schema)), indent=2))


@schemas.command()
def register() -> None:
    """Register the schemas of all topics: once before services start, again after an upgrade."""
    with _said_plainly():
        show(_rows_of(asked(_registry().register)))


@schemas.command("check")
def check_schemas() -> None:
    """Tell which schemas are registered; exit 1 when one is not."""
    with _said_plainly():
        ids = asked(_registry().ids)
    show(_rows_of(ids))
    if None in ids.values():
        raise click.ClickException("some schemas are not registered: `opstrail schemas register`")


@topics.command()
def create() -> None:
    """Create the topics that are missing. Their numbers of partitions are fixed from then on."""
    with _said_plainly():
        settings = OnlyKafka().kafka
        kafka_topics = KafkaTopics(new_admin(settings), settings)
        created = kafka_topics.create_missing()
        kafka_topics.check_partitions()
    show([{"topic": name, "created": True} for name in created])
    if not created:
        click.echo("all topics are there", err=True)


@topics.command("check")
def check_topics() -> None:
    """Compare the topics with what they should be; exit 1 when one is missing or differs."""
    with _said_plainly():
        settings = OnlyKafka().kafka
        names = topic_names(settings)
        kafka_topics = KafkaTopics(new_admin(settings), settings)
        kafka_topics.check_partitions()
        rows = [
            {"topic": names.full(name), "what": "is missing", "mend": "opstrail topics create"}
            for name in kafka_topics.missing()
        ] + [
            {"topic": found.topic, "what": found.what, "mend": found.mend}
            for found in kafka_topics.differences()
        ]
    show(rows)
    if rows:
        raise click.ClickException("not all topics are as they should be")


def _registry() -> Registry:
    return new_registry(OnlyRegistry().registry)


def _topic_named(name: str) -> Topic:
    """Return a topic by its name, with or without `opstrail.` and the version."""
    for short_name in TopicName:
        if name in (short_name, topic(short_name).name):
            return topic(short_name)
    raise click.BadParameter(f"no topic is called {name}; there are {', '.join(TopicName)}")


def _rows_of(ids: Mapping[str, int | None]) -> list[Row]:
    return [{"subject": subject, "id": schema_id} for subject, schema_id in ids.items()]


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Say in one line what stands in the way."""
    try:
        yield
    except (Unavailable, KafkaRefuses, NotCompatible, UnequalPartitions) as error:
        raise click.ClickException(str(error)) from error
