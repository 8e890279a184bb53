"""Read opstrail's enriched events: plain confluent-kafka and the registry's URL, no opstrail code.

    python examples/subscriber.py [--until-end]

Needs `confluent-kafka[avro,schemaregistry]`, and the addresses in the environment: as
`opstrail local up` prints them, or your own.
"""

import os
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "opstrail.events.enriched.v1"
READER = {
    "bootstrap.servers": os.environ["OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS"],
    "group.id": "example-subscriber",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",  # what an aborted transaction left is not an event
    "enable.auto.commit": False,  # so that every run begins at the oldest event
    "enable.partition.eof": True,
}
# Without the strategy the client asks the registry for associations, which few registries know.
BY_TOPIC = {"subject.name.strategy": topic_subject_name_strategy}

registry = SchemaRegistryClient({"url": os.environ["OPSTRAIL_REGISTRY__URL"]})
decode = AvroDeserializer(registry, conf=BY_TOPIC)
consumer = Consumer(READER)
unread: set[int] = set()
consumer.subscribe([TOPIC], on_assign=lambda _, got: unread.update(p.partition for p in got))
count = 0
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    error = message.error()
    if error is None:
        event = decode(message.value(), SerializationContext(TOPIC, MessageField.VALUE))
        raw, known = event["event"], event["enrichment"]
        stack = (known["stack"] or {}).get("name") or "-"
        caller = f"{known['caller']['kind']} {known['caller']['name'] or '-'}"
        print(raw["eventTime"], raw["accountId"], caller, raw["eventName"], stack, sep="  ")
        count += 1
    elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
        raise KafkaException(error)
    elif "--until-end" in sys.argv:
        unread.discard(message.partition())
        if not unread:
            break
consumer.close()
print(f"{count} events")
