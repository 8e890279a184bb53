"""Lags as brokers tell them."""

import time
import uuid

import pytest

from opstrail_runtime.kafka_topics import KafkaTopics
from opstrail_runtime.settings import KafkaSettings
from opstrail_runtime.source import Committed
from opstrail_runtime.wiring import (
    group_id,
    new_admin,
    new_lags,
    new_source,
    new_writer,
)
from tests.support.kafka_contract import IN, PATIENCE_S, joined, outputs, until
from tests.support.servers import Servers

pytestmark = pytest.mark.servers


def test_a_group_that_committed_its_ends_has_no_lag(servers: Servers) -> None:
    settings = KafkaSettings(
        bootstrap_servers=servers.addresses.kafka,
        topic_prefix=f"test-{uuid.uuid4().hex[:8]}",
        events_partitions=2,
    )
    admin = new_admin(settings)
    KafkaTopics(admin, settings).create_missing()
    lags = new_lags(settings)
    source = joined(new_source(settings, "enrich", [IN], slot=f"{settings.topic_prefix}.0"))
    writer = new_writer(settings, slot=f"{settings.topic_prefix}.0")
    writer.commit(outputs("a", "b", "c", "d"), {}, source.lease())
    group = group_id(settings, "enrich")

    behind = lags.lag(group, [IN])
    until(source, lambda got: len(got) >= 4)
    give_up = time.monotonic() + PATIENCE_S
    # An end shows some polls after the last record: the control record stands between them.
    while lag := lags.lag(group, [IN]):
        assert time.monotonic() < give_up, f"{lag} behind, ends {source.ends()}"
        source.poll(timeout_s=0.1, most_records=10)
        writer.commit((), {at: Committed(end) for at, end in source.ends().items()}, source.lease())

    assert behind >= 4
    source.close()
