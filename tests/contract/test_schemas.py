"""The contracts agree with each other: schemas, types, topics."""

import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from opstrail_schemas import messages
from opstrail_schemas.codec import schema_text
from opstrail_schemas.registry import MESSAGE_TYPES
from opstrail_schemas.topics import DAY_MS, TopicName, all_topics, topic

NAMESPACE = "io.opstrail.v1"
Schema = dict[str, Any]
# `Enrichment` is part of EnrichedEvent, and written on its own: its bytes are appended.
FILES: dict[str, Schema] = {
    path.name.removesuffix(".avsc"): json.loads(path.read_text("utf-8"))
    for path in files("opstrail_schemas").joinpath("avro").iterdir()
}
PRIMITIVES = {"string": str, "bytes": bytes, "boolean": bool, "int": int, "long": int}


def parts_of(schema: Any) -> Iterator[Any]:
    """Give the schema and everything in it."""
    yield schema
    if isinstance(schema, list):
        for branch in schema:
            yield from parts_of(branch)
    elif isinstance(schema, dict):
        for inner in ("items", "values"):
            yield from parts_of(schema[inner]) if inner in schema else ()
        for field in schema.get("fields", ()):
            yield from parts_of(field["type"])


def named(kind: str) -> dict[str, Schema]:
    return {
        part["name"]: part
        for schema in FILES.values()
        for part in parts_of(schema)
        if isinstance(part, dict) and part["type"] == kind
    }


RECORDS, ENUMS = named("record"), named("enum")


def short(reference: str) -> str:
    return reference.removeprefix(f"{NAMESPACE}.")


def agree(hint: Any, schema: Any) -> bool:
    """Tell whether a Python type and an Avro type say the same."""
    if get_origin(hint) in (Union, types.UnionType):
        inner, null = get_args(hint)
        assert isinstance(schema, list)
        return null is type(None) and schema[0] == "null" and agree(inner, schema[1])
    if isinstance(schema, str) and schema not in PRIMITIVES:
        schema = ENUMS.get(short(schema)) or RECORDS[short(schema)]
    match schema:
        case str():
            return hint is PRIMITIVES[schema]
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return hint is int
        case {"type": "array", "items": items}:
            return get_origin(hint) is list and agree(get_args(hint)[0], items)
        case {"type": "map", "values": values}:
            return get_origin(hint) is dict and agree(get_args(hint)[1], values)
        case {"type": "enum", "symbols": symbols}:
            return get_origin(hint) is Literal and list(get_args(hint)) == symbols
        case {"type": "record", "name": name}:
            return hint is getattr(messages, name)
    return False


def defaults(message_type: type[messages.Message]) -> dict[str, Any]:
    """Return a type's defaults: what a message has where nothing is given."""
    return {
        field.name: field.default
        if field.default is not msgspec.NODEFAULT
        else field.default_factory()
        for field in msgspec.structs.fields(message_type)
        if not field.required
    }


def test_every_type_has_a_schema_and_every_schema_a_type() -> None:
    types_there = {
        name
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, messages.Message)
    } - {"Message"}

    assert set(RECORDS) == types_there


@pytest.mark.parametrize("name", RECORDS)
def test_a_type_and_its_schema_have_the_same_fields_in_the_same_order(name: str) -> None:
    message_type = getattr(messages, name)

    assert [field["name"] for field in RECORDS[name]["fields"]] == list(
        message_type.__struct_encode_fields__
    )


@pytest.mark.parametrize("name", RECORDS)
def test_a_type_and_its_schema_have_the_same_types_and_defaults(name: str) -> None:
    message_type = getattr(messages, name)
    hints = get_type_hints(message_type)

    for python_name, field in zip(
        message_type.__struct_fields__, RECORDS[name]["fields"], strict=True
    ):
        where = f"{name}.{field['name']}"
        assert agree(hints[python_name], field["type"]), where
        assert ("default" in field) == (python_name in defaults(message_type)), where
        if "default" in field:
            assert field["default"] == defaults(message_type)[python_name], where


@pytest.mark.parametrize("name", RECORDS)
def test_what_may_be_missing_is_null_by_default(name: str) -> None:
    for field in RECORDS[name]["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null", field["name"]
            assert len(field["type"]) == 2, field["name"]
            assert field["default"] is None, field["name"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_after_its_schema(name: str) -> None:
    schema = FILES[name]

    assert name == f"{schema['namespace']}.{schema['name']}"
    assert schema["namespace"] == NAMESPACE


def test_every_record_enum_and_field_is_documented() -> None:
    for name, schema in {**RECORDS, **ENUMS}.items():
        assert schema.get("doc"), name
    for name, schema in RECORDS.items():
        for field in schema["fields"]:
            assert field.get("doc", "").endswith((".", "?")), f"{name}.{field['name']}"


def test_an_enum_has_a_default_so_that_old_readers_survive_new_symbols() -> None:
    for name, schema in ENUMS.items():
        assert schema["default"] in schema["symbols"], name
        assert schema["default"] == "unknown", name


def test_names_are_lower_camel_case_but_for_cloudtrail_own() -> None:
    cloudtrail = {"eventID", "sharedEventID", "sourceIPAddress"}

    for name, schema in RECORDS.items():
        for field in schema["fields"]:
            assert field["name"] in cloudtrail or re.fullmatch(
                r"[a-z][a-z0-9]*([A-Z][a-z0-9]+)*", field["name"]
            ), f"{name}.{field['name']}"


def uses(schema: Any) -> set[str]:
    return {
        short(part)
        for part in parts_of(schema)
        if isinstance(part, str) and part.startswith(f"{NAMESPACE}.")
    }


def test_no_schema_contains_itself() -> None:
    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, above
        for used in uses(FILES[f"{NAMESPACE}.{name}"]):
            if f"{NAMESPACE}.{used}" in FILES:
                walk(used, (*above, name))

    for name in FILES:
        walk(short(name), ())


def test_no_array_has_items_without_bytes() -> None:
    """A few bytes would stand for as many such items as somebody likes."""
    for schema in FILES.values():
        for part in parts_of(schema):
            if isinstance(part, dict) and part["type"] == "array":
                assert part["items"] in {"string", "long"}


def test_every_schema_is_used_and_every_topic_has_one() -> None:
    of_topics = {short(described.schema) for described in all_topics()}
    of_schemas = {used for schema in FILES.values() for used in uses(schema)}

    assert {short(name) for name in FILES} == (of_topics | of_schemas) - set(ENUMS)


@pytest.mark.parametrize("name", TopicName)
def test_a_topic_carries_the_type_of_its_schema(name: TopicName) -> None:
    assert MESSAGE_TYPES[name].__name__ == short(topic(name).schema)


def test_every_topic_file_is_a_topic() -> None:
    there = {path.name for path in files("opstrail_schemas").joinpath("topics").iterdir()}

    assert {f"{name}.yaml" for name in TopicName} == there


@pytest.mark.parametrize("name", TopicName)
def test_a_topic_is_named_with_dots_between_levels_and_hyphens_inside(name: TopicName) -> None:
    described = topic(name)

    assert described.name == f"opstrail.{name}.v1"
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*(\.[a-z0-9]+(-[a-z]+)*)+", described.name)
    assert described.subject == f"{described.name}-value"


@pytest.mark.parametrize("name", TopicName)
def test_a_topic_says_who_writes_who_reads_and_why(name: TopicName) -> None:
    described = topic(name)
    known = {"discover", "split", "enrich", "store", "imports", "subscribers", "operators"}

    assert described.writers
    assert described.readers
    assert described.key
    assert described.why.endswith(".")
    assert {*described.writers, *described.readers} <= known


@pytest.mark.parametrize("name", TopicName)
def test_a_topic_counts_from_the_time_of_appending(name: TopicName) -> None:
    described = topic(name)
    config = described.config()

    assert set(described.cleanup) <= {"delete", "compact"}
    assert config["message.timestamp.type"] == "LogAppendTime"
    if "delete" in described.cleanup:
        assert config["retention.ms"] == str(described.retention_days * DAY_MS)
        assert described.retention_days > 0
    else:
        assert described.retention_days == 0
        assert "retention.ms" not in config


def test_files_topics_agree_on_partitions_and_events_topics_too() -> None:
    for described in all_topics():
        group = described.name.split(".")[1]
        wanted = {"files": 6, "events": 12, "dead-letters": 6}.get(group, 1)
        assert described.partition_count(files=6, events=12) == wanted, described.name


def test_a_tombstone_outlives_a_long_absence_of_a_reader() -> None:
    config = topic(TopicName.DEAD_LETTERS).config()

    assert config["delete.retention.ms"] == str(14 * DAY_MS)


@pytest.mark.parametrize("described", all_topics(), ids=lambda described: described.name)
def test_the_text_that_is_registered_stands_alone(described: Any) -> None:
    schema = json.loads(schema_text(described.schema))
    defined: set[str] = set()
    for part in parts_of(schema):
        if isinstance(part, dict) and "name" in part:
            defined.add(part["name"])
        elif isinstance(part, str) and "." in part:
            assert part in defined


def test_the_text_that_is_registered_is_the_same_in_every_process() -> None:
    """Registries compare texts; what one process registers, others look up."""
    code = "from opstrail_schemas.codec import schema_text; print(schema_text('{}'))"

    texts = {
        subprocess.run(
            [sys.executable, "-c", code.format("io.opstrail.v1.EnrichedEvent")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            encoding="utf-8",
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }

    assert texts == {schema_text("io.opstrail.v1.EnrichedEvent")}
