"""Builds the clients of Kafka and the registry; services build theirs in their own wiring.py."""

import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.kafka_checkpoint import KafkaCheckpoint
from opstrail_runtime.kafka_lags import KafkaLags
from opstrail_runtime.kafka_log import KafkaLog
from opstrail_runtime.kafka_security import security_properties
from opstrail_runtime.kafka_source import KafkaSource
from opstrail_runtime.kafka_statistics import lags
from opstrail_runtime.kafka_writer import KafkaWriter
from opstrail_runtime.loop import Limits, Loop
from opstrail_runtime.settings import KafkaSettings, RegistrySettings, ServiceSettings
from opstrail_runtime.stage import Stage
from opstrail_runtime.telemetry import LagSeen, emit
from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.registry import Registry
from opstrail_schemas.topics import LARGEST_MESSAGE_BYTES, TopicName

# What a lost node had in work waits for so long, and for the broker's round of ten seconds.
TRANSACTION_TIMEOUT_MS = 20_000
SESSION_TIMEOUT_MS = 10_000
_COOPERATIVE = "cooperative-sticky"
STATISTICS_EVERY_MS = 5_000


def topic_names(settings: KafkaSettings) -> TopicNames:
    """Return the topics' names in this installation."""
    return TopicNames(settings.topic_prefix)


def group_id(settings: KafkaSettings, role: str) -> str:
    """Return the consumer group of a role."""
    before = f"{settings.topic_prefix}." if settings.topic_prefix else ""
    return f"{before}opstrail.{role}"


def _client(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": client_id,
        "log_level": 4,
        "logger": logging.getLogger("librdkafka"),
        "error_cb": _on_client_error,
        **security_properties(settings, msk_token),
    }


def msk_token(region: str) -> tuple[str, float]:
    """Return a token of MSK IAM, and when it ends. Credentials are found as AWS's tools do."""
    # Here, for it brings boto3: 0.35 of the 1.8 s that imports take where they are at the top.
    from aws_msk_iam_sasl_signer.MSKAuthTokenProvider import (  # noqa: PLC0415
        generate_auth_token,
    )

    token, ends_ms = generate_auth_token(region)
    return token, ends_ms / 1000


def _on_client_error(error: KafkaError) -> None:
    """Log what the client says; what matters comes back from the call that it concerns."""
    logging.getLogger("librdkafka").warning("%s: %s", error.name(), error.str())


def new_admin(settings: KafkaSettings) -> AdminClient:
    """Return a client for topics, groups and offsets."""
    return AdminClient(_client(settings, "opstrail-admin"))


def _reader(settings: KafkaSettings, group: str, client_id: str) -> dict[str, Any]:
    return {
        **_client(settings, client_id),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        # As compressed: repetitive records unpack to fifty times as much, and a backlog in fetches
        # of 8 MiB a partition took store to 1.1 GiB (measured). A larger message still comes.
        "fetch.message.max.bytes": 512 * 1024,
        "fetch.max.bytes": 2 * 1024 * 1024,
        "queued.max.messages.kbytes": 32_768,  # one queue for all partitions; 64 MiB is the default
        "fetch.wait.max.ms": 100,
    }


def new_source(
    settings: KafkaSettings, role: str, topics: Sequence[TopicName], *, slot: str
) -> KafkaSource:
    """Return the source of a role: a static member of its group."""
    names = topic_names(settings)
    properties = {
        **_reader(settings, group_id(settings, role), slot),
        "group.instance.id": slot,
        "partition.assignment.strategy": _COOPERATIVE if len(topics) == 1 else "range",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "statistics.interval.ms": STATISTICS_EVERY_MS,
        "stats_cb": lambda text: emit(LagSeen(role, lags(text, names))),
        **security_properties(settings, msk_token),
    }
    return KafkaSource(
        Consumer(properties),
        topics,
        names,
        slot=slot,
        cooperative=properties["partition.assignment.strategy"] == _COOPERATIVE,
        session_s=float(properties["session.timeout.ms"]) / 1000,
        monotonic=time.monotonic,
    )


def new_lags(settings: KafkaSettings) -> KafkaLags:
    """Return what tells how far the groups are."""

    def consumer(group: str) -> Consumer:
        return Consumer(
            {
                **_client(settings, "opstrail-lags"),
                "group.id": group,
                "enable.auto.commit": False,
                # Else a transaction that is under way would be waited for.
                "isolation.level": "read_uncommitted",
            }
        )

    return KafkaLags(new_admin(settings), consumer, topic_names(settings))


def new_checkpoint(settings: KafkaSettings, role: str) -> KafkaCheckpoint:
    """Return what keeps how far a command has come."""
    consumer = Consumer(_reader(settings, group_id(settings, role), f"opstrail-{role}"))
    return KafkaCheckpoint(consumer, topic_names(settings))


def new_log(settings: KafkaSettings, role: str) -> KafkaLog:
    """Return a reader of whole partitions."""

    def consumer() -> Consumer:
        reader = _reader(settings, f"{group_id(settings, role)}.state", f"opstrail-{role}")
        # A fetch at the end of a log is held by the broker for so long, and no other can be sent
        # meanwhile: with 100 ms each partition took 200 ms to read (measured).
        return Consumer({**reader, "fetch.wait.max.ms": 5})

    return KafkaLog(consumer, new_admin(settings), topic_names(settings))


def _producer(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    return {
        **_client(settings, client_id),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as Java clients choose
        "compression.type": "lz4",
        "linger.ms": 20,
        "batch.size": 1_000_000,
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "queue.buffering.max.kbytes": 131_072,
        # Below the transaction timeout, so that a message fails before the broker gives up on us.
        "message.timeout.ms": TRANSACTION_TIMEOUT_MS - 5_000,
    }


def new_writer(settings: KafkaSettings, *, slot: str) -> KafkaWriter:
    """Return the writer of a slot."""

    def producer() -> Producer:
        return Producer(
            {
                **_producer(settings, slot),
                "transactional.id": slot,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            }
        )

    return KafkaWriter(producer, topic_names(settings), slot=slot)


def new_plain_producer(settings: KafkaSettings, client_id: str) -> Producer:
    """Return an idempotent producer without transactions."""
    return Producer(_producer(settings, client_id))


def new_registry(settings: RegistrySettings) -> Registry:
    """Return the registry."""
    config: dict[str, Any] = {
        "url": settings.url,
        # The client waits for ever unless told. Two tries, since a kept connection may be stale;
        # a registry that is away is found out within ten seconds, and waiting is the loop's part.
        "timeout": 4,
        "max.retries": 1,
        "retries.wait.ms": 200,
    }
    if settings.username and settings.password:
        config["basic.auth.user.info"] = (
            f"{settings.username}:{settings.password.get_secret_value()}"
        )
    if settings.ca_file:
        config["ssl.ca.location"] = settings.ca_file
    if settings.certificate_file and settings.key_file:
        config["ssl.certificate.location"] = settings.certificate_file
        config["ssl.key.location"] = settings.key_file
    return Registry(SchemaRegistryClient(config))


def new_loop(
    settings: ServiceSettings,
    role: str,
    topics: Sequence[TopicName],
    stage: Stage,
    stopping: Callable[[], bool],
) -> Loop:
    """Return the loop of a role around its stage."""
    slot = settings.slot.name_of(role)
    return Loop(
        name=role,
        stage=stage,
        source=new_source(settings.kafka, role, topics, slot=slot),
        writer=new_writer(settings.kafka, slot=slot),
        limits=Limits(
            most_records=settings.loop.most_records,
            drain_s=settings.loop.drain_s,
            from_earliest=settings.loop.from_earliest,
            clear_crash_marks=settings.loop.clear_crash_marks,
            most_refused=settings.loop.most_refused,
        ),
        # Short: when what a lost node had in work is free, somebody has to look.
        backoff=Backoff(first_s=0.5, longest_s=5, rng=random.Random(os.getpid())),  # noqa: S311
        monotonic=time.monotonic,
        stopping=stopping,
    )
