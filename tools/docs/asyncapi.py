"""Write docs/reference/asyncapi.yaml: `python -m tools.docs.asyncapi`.

The subscribers' contract as AsyncAPI 3, made from the topic files and the schemas; a test fails
while it is older than they are, and validates it.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from opstrail_schemas.codec import schema_text
from opstrail_schemas.topics import Topic, all_topics

FILE = Path(__file__).parents[2] / "docs" / "reference" / "asyncapi.yaml"
_BINDING = "0.5.0"
_HEAD = "# Made by `python -m tools.docs.asyncapi` from schemas/opstrail_schemas: edit those.\n"
_ABOUT = """\
Typed events made of AWS CloudTrail's files. No order is promised, of a key or between keys; the key
is the identity of an event, and a repeat carries the same key. Read with
isolation.level=read_committed. An installation may put a prefix before every topic's name.
docs/how-to/subscribe.md tells what repeats and repaired events are, and how to read.
"""
# What the Kafka binding knows of a topic's settings; numbers are numbers there.
_NUMBERS = {"retention.ms", "delete.retention.ms", "max.message.bytes"}


def document() -> str:
    """Return the document."""
    found: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "opstrail",
            "version": "1.0.0",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/vnd.apache.avro",
        "servers": {
            "kafka": {
                "host": "kafka.example:9093",
                "protocol": "kafka-secure",
                "description": "Your cluster, with TLS and SCRAM, client certificates or MSK IAM.",
                "bindings": {
                    "kafka": {
                        "schemaRegistryUrl": "https://registry.example/apis/ccompat/v7",
                        "schemaRegistryVendor": "confluent",
                        "bindingVersion": _BINDING,
                    }
                },
            }
        },
        "channels": {_id(each): _channel(each) for each in all_topics()},
        "operations": {
            f"send{_camel(each)}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{_id(each)}"},
                "summary": "Any service may subscribe.",
            }
            for each in all_topics()
            if "subscribers" in each.readers
        },
    }
    return _HEAD + yaml.safe_dump(found, sort_keys=False, width=100, allow_unicode=True)


def _id(topic: Topic) -> str:
    return topic.name.removeprefix("opstrail.").replace(".", "-")


def _camel(topic: Topic) -> str:
    return "".join(part.capitalize() for part in _id(topic).split("-"))


def _channel(topic: Topic) -> dict[str, Any]:
    record = topic.schema.rpartition(".")[2]
    return {
        "address": topic.name,
        "title": topic.name,
        "description": topic.why,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {
            record: {
                "name": record,
                "title": record,
                "contentType": "application/vnd.apache.avro",
                "payload": {
                    "schemaFormat": "application/vnd.apache.avro;version=1.9.0",
                    "schema": _spelt(json.loads(schema_text(topic.schema))),
                },
                "bindings": {
                    "kafka": {
                        "key": {"type": "string", "description": topic.key},
                        "schemaIdLocation": "payload",
                        "schemaIdPayloadEncoding": "confluent",
                        "schemaLookupStrategy": "TopicIdStrategy",
                        "bindingVersion": _BINDING,
                    }
                },
            }
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partition_count(files=24, events=24),
                "topicConfiguration": _configuration(topic),
                "bindingVersion": _BINDING,
            }
        },
        "x-writers": list(topic.writers),
        "x-readers": list(topic.readers),
    }


def _spelt(schema: Any) -> Any:
    """Return a schema with names and namespaces apart, which is the same to Avro."""
    if isinstance(schema, list):
        return [_spelt(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _spelt(each) for name, each in schema.items()}
    if schema.get("type") in ["record", "enum"] and "." in schema["name"]:
        namespace, _, name = schema["name"].rpartition(".")
        found |= {"name": name, "namespace": namespace}
    return found


def _configuration(topic: Topic) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in topic.config().items():
        if name == "cleanup.policy":
            found[name] = value.split(",")
        else:
            found[name] = int(value) if name in _NUMBERS else value
    return found


if __name__ == "__main__":
    FILE.write_text(document(), "utf-8")
