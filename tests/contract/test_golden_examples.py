"""Golden examples: bytes that lie in people's topics are read, and written, for ever."""

import io
import json
from typing import Any

import msgspec
import pytest
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter

from opstrail_schemas import messages
from opstrail_schemas.codec import (
    HEADER_BYTES,
    Codec,
    append_enrichment,
    decode_body,
    encode_body,
    frame,
)
from tools.schemas.examples import Example, all_examples, apache_schema, with_bytes
from tools.schemas.released import current_version, is_released, released_versions, type_names

EXAMPLES = all_examples()
by_name = pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: f"{example.type_name}/{example.json_path.stem}"
)
of_the_newest_version = [
    example
    for example in EXAMPLES
    if example.version == len(released_versions(example.type_name))
    and is_released(current_version(example.type_name), released_versions(example.type_name))
]
RAW_ID, ENRICHED_ID, OLDER_RAW_ID = 7, 8, 3


def type_of(example: Example) -> type[messages.Message]:
    message_type: type[messages.Message] = getattr(messages, example.type_name)
    return message_type


def message_of(example: Example) -> Any:
    return msgspec.convert(with_bytes(example.message()), type_of(example))


def an_example(type_name: str, name: str) -> Example:
    return next(
        example
        for example in EXAMPLES
        if (example.type_name, example.json_path.stem) == (type_name, name)
    )


def test_every_type_has_examples_of_its_newest_version() -> None:
    there = {(example.type_name, example.version) for example in EXAMPLES}

    assert {(name, len(released_versions(name))) for name in type_names()} <= there


@by_name
def test_bytes_are_read_as_the_message(example: Example) -> None:
    read = decode_body(example.body(), type_of(example), writer_schema=example.schema_text())

    assert read == message_of(example)


@pytest.mark.parametrize(
    "example",
    of_the_newest_version,
    ids=lambda example: f"{example.type_name}/{example.json_path.stem}",
)
def test_the_message_is_written_as_the_bytes(example: Example) -> None:
    assert encode_body(message_of(example)) == example.body()


@by_name
def test_another_library_reads_the_same(example: Example) -> None:
    stream = io.BytesIO(example.body())

    read = DatumReader(apache_schema(example.schema_text())).read(BinaryDecoder(stream))

    assert not stream.read()
    assert msgspec.convert(read, type_of(example)) == message_of(example)


@by_name
def test_another_library_writes_the_same_with_the_current_schema(example: Example) -> None:
    """Whether it is released yet or not."""
    message = message_of(example)
    out = io.BytesIO()

    schema = apache_schema(current_version(example.type_name))
    DatumWriter(schema).write(messages.as_record(message), BinaryEncoder(out))

    assert out.getvalue() == encode_body(message)


def no_other_schema(schema_id: int) -> str:
    raise AssertionError(schema_id)


def codecs(other: str = "") -> tuple[Codec[messages.RawEvent], Codec[messages.EnrichedEvent]]:
    raw = Codec(messages.RawEvent, RAW_ID, (lambda _: other) if other else no_other_schema)
    return raw, Codec(messages.EnrichedEvent, ENRICHED_ID, no_other_schema)


@pytest.mark.parametrize("name", ["ordinary", "nothing-known"])
def test_an_enriched_event_begins_with_the_bytes_of_the_raw_one(name: str) -> None:
    example = an_example("EnrichedEvent", name)
    wanted = message_of(example)
    raw_codec, enriched_codec = codecs()
    raw = raw_codec.encode(wanted.event)

    enriched = append_enrichment(
        raw, wanted.enrichment, raw_codec=raw_codec, enriched_codec=enriched_codec
    )

    assert enriched == enriched_codec.encode(wanted)
    assert enriched[HEADER_BYTES:].startswith(raw[HEADER_BYTES:])
    assert enriched_codec.decode(enriched) == wanted


def test_a_raw_event_of_an_older_schema_is_enriched_like_any_other() -> None:
    example = an_example("EnrichedEvent", "ordinary")
    wanted = message_of(example)
    older = json.loads(current_version("RawEvent"))
    older["fields"] = [field for field in older["fields"] if field["name"] != "sharedEventID"]
    raw_codec, enriched_codec = codecs(other=json.dumps(older))
    # Without the field, its null branch is not among the bytes: `sharedEventID` is null here.
    body = encode_body(wanted.event)
    at = body.index(b"AKIAIOSFODNN7EXAMPLE") + len(b"AKIAIOSFODNN7EXAMPLE")
    raw = frame(OLDER_RAW_ID, body[:at] + body[at + 1 :])

    enriched = append_enrichment(
        raw, wanted.enrichment, raw_codec=raw_codec, enriched_codec=enriched_codec
    )

    assert enriched == enriched_codec.encode(wanted)
