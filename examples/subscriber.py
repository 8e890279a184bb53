"""Read opstrail's enriched events: plain confluent-kafka and the registry's URL, no opstrail code.

Needs `confluent-kafka[avro,schemaregistry]`, and the addresses in the environment: as
`opstrail local up` prints them, or your own. Ends when nothing came for ten seconds.
"""

import os
from typing import Any

from confluent_kafka import DeserializingConsumer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer

registry = SchemaRegistryClient({"url": os.environ["OPSTRAIL_REGISTRY__URL"]})
by_topic = {"subject.name.strategy": topic_subject_name_strategy}  # else it asks for associations
reader: dict[str, Any] = {"bootstrap.servers": os.environ["OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS"]}
reader |= {"group.id": "example-subscriber", "auto.offset.reset": "earliest"}
reader |= {"isolation.level": "read_committed"}  # what an aborted transaction left is no event
reader |= {"enable.auto.commit": False}  # so that each run begins at the oldest event
reader |= {"value.deserializer": AvroDeserializer(registry, conf=by_topic)}
consumer = DeserializingConsumer(reader)
consumer.subscribe(["opstrail.events.enriched.v1"])
while (message := consumer.poll(10.0)) is not None:
    value: Any = message.value()  # decoded, whatever the client's types say
    event, known = value["event"], value["enrichment"]
    caller, stack = known["caller"], known["stack"] or {}
    who = f"{caller['kind']} {caller['name'] or '-'}"
    print(event["eventTime"], event["accountId"], who, event["eventName"], stack.get("name") or "-")
consumer.close()
