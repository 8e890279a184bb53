"""The example for subscribers does what it says, against librdkafka's own stand-in for Kafka."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from opstrail_runtime.settings import RegistrySettings
from opstrail_runtime.wiring import new_registry
from opstrail_schemas.messages import EnrichedEvent
from opstrail_schemas.topics import TopicName, topic
from tests.support.fake_registry import FakeRegistry, serving
from tools.schemas.examples import all_examples, with_bytes

ROOT = Path(__file__).parents[2]


def test_a_subscriber_reads_enriched_events_without_opstrail() -> None:
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    servers = ",".join(str(b).partition("/")[0] for b in mock.list_topics().brokers.values())
    with serving(FakeRegistry(bare_404=True)) as fake:
        registry = new_registry(RegistrySettings(url=fake.url))
        registry.register()
        codec = registry.codec(TopicName.EVENTS_ENRICHED, EnrichedEvent)
        for example in all_examples():
            if example.type_name == "EnrichedEvent":
                event = msgspec.convert(with_bytes(example.message()), EnrichedEvent)
                mock.produce(topic(TopicName.EVENTS_ENRICHED).name, codec.encode(event))
        assert mock.flush(10) == 0
        fake.asked.clear()

        ran = subprocess.run(
            [sys.executable, ROOT / "examples" / "subscriber.py"],
            env={
                **os.environ,
                "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": servers,
                "OPSTRAIL_REGISTRY__URL": fake.url,
                "PYTHONUTF8": "1",
            },
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )

    assert ran.returncode == 0, ran.stderr
    assert sorted(ran.stdout.splitlines()) == [
        "2014-06-04 15:24:31+00:00 111122223333 iamUser Anaya CreateStack shop-prod",
        "2025-06-04 15:24:31+00:00 111122223333 assumedRole report-writer PutObject -",
        "2025-06-04 15:24:31+00:00 111122223333 root root GetSessionToken -",
        "None - unknown - ÜberPrüfung 😀 -",
    ]
    assert fake.asked == [
        f"GET /schemas/ids/{codec.schema_id}?subject={topic(TopicName.EVENTS_ENRICHED).subject}"
    ]
