"""Read the events of a topic and print one digest of them: plain confluent-kafka.

The environment tells OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS, OPSTRAIL_REGISTRY__URL, TOPIC, and EVENTS:
after how many different keys it ends. Digest.java and go/main.go do the same and get the same.
"""

import hashlib
import json
import os
from typing import Any

from confluent_kafka import DeserializingConsumer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import StringDeserializer

registry = SchemaRegistryClient({"url": os.environ["OPSTRAIL_REGISTRY__URL"]})
reader: dict[str, Any] = {
    "bootstrap.servers": os.environ["OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS"],
    "group.id": "example-digest-python",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "key.deserializer": StringDeserializer(),
    "value.deserializer": AvroDeserializer(
        registry, conf={"subject.name.strategy": topic_subject_name_strategy}
    ),
}
consumer = DeserializingConsumer(reader)
consumer.subscribe([os.environ["TOPIC"]])
seen: dict[str, str] = {}  # by key: a repeat carries the same key
while len(seen) < int(os.environ["EVENTS"]):
    message = consumer.poll(1.0)
    if message is not None:
        value: Any = message.value()  # decoded, whatever the client's types say
        raw = value["event"]["raw"]
        content = raw if isinstance(raw, bytes) else raw.encode()
        seen[str(message.key())] = hashlib.sha256(content).hexdigest()
consumer.close()
lines = "".join(f"{key} {digest}\n" for key, digest in sorted(seen.items()))
print(json.dumps({"events": len(seen), "sha256": hashlib.sha256(lines.encode()).hexdigest()}))
