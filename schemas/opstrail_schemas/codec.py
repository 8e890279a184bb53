"""Avro messages in Confluent framing: magic 0, four bytes of schema id, the Avro body.

The only module that imports fastavro. A message is read with the schema it was written with and
resolved to the packaged one. Enriching appends: the bytes of a `RawEvent` followed by those of an
`Enrichment` are an `EnrichedEvent` (Avro concatenates the fields of a record).
"""

import io
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Generic, TypeVar

import fastavro
import msgspec
from fastavro.schema import load_schema

from opstrail_schemas import messages

HEADER_BYTES = 5
_MAGIC = b"\x00"
_LARGEST_SCHEMA_ID = 2**31 - 1  # registries count in Java's int; some answer 500 beyond it
_NAMESPACE = "io.opstrail.v1."
M = TypeVar("M", bound=messages.Message)


class BadMessage(ValueError):
    """A Kafka value that is not one of ours: not framed, an unknown schema, or a broken body."""


class UnknownSchema(BadMessage):
    """The registry answered that it does not know the schema id."""


@cache
def schema_text(name: str) -> str:
    """Return the self-contained Avro schema of that full name as JSON, as it is registered."""
    with as_file(files("opstrail_schemas").joinpath("avro")) as folder:
        schema = load_schema(f"{folder}/{name}.avsc", _write_hint=False)
    # Sorted, since fastavro's order of keys differs from process to process (measured): registries
    # that compare texts would not find in one service what another process registered.
    return json.dumps(schema, sort_keys=True)


def _without_logical_types(schema: Any) -> Any:
    """Return the schema with times as plain longs: our types hold milliseconds, not datetimes."""
    if isinstance(schema, dict):
        return {
            key: _without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    return schema


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


def _parsed_writer(text: str, name: str) -> Any:
    """Return a writer's schema. Raises BadMessage where it is not a schema of that name.

    A registry also holds schemas of others under ids of its own: Protobuf, JSON Schema, unions.
    """
    try:
        parsed = _parsed(text)
        found = parsed["name"]
    except Exception as error:
        raise BadMessage(f"written with something else than a {name}") from error
    if found != name:
        raise BadMessage(f"written with a {found}, not a {name}")
    return parsed


def schema_name(message_type: type[messages.Message]) -> str:
    """Return the full Avro name of a message type."""
    return _NAMESPACE + message_type.__name__


def frame(schema_id: int, body: bytes) -> bytes:
    """Return a Kafka value: header and body."""
    return _MAGIC + schema_id.to_bytes(4, "big") + body


def schema_id_of(value: bytes) -> int:
    """Return the schema id in the header. Raises BadMessage."""
    if len(value) < HEADER_BYTES or value[:1] != _MAGIC:
        raise BadMessage("not in Confluent framing: it does not begin with magic byte 0")
    schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
    if schema_id > _LARGEST_SCHEMA_ID:
        raise BadMessage(f"not in Confluent framing: {schema_id} is no schema id")
    return schema_id


def encode_body(message: messages.Message) -> bytes:
    """Return the Avro body of a message, without header.

    Text must be encodable: a lone surrogate raises UnicodeEncodeError.
    """
    out = io.BytesIO()
    fastavro.schemaless_writer(
        out, _parsed(schema_text(schema_name(type(message)))), messages.as_record(message)
    )
    return out.getvalue()


def decode_body(body: bytes, message_type: type[M], *, writer_schema: str | None = None) -> M:
    """Read one Avro body of that type. Raises BadMessage, also for bytes left over."""
    name = schema_name(message_type)
    ours = _parsed(schema_text(name))
    theirs = None if writer_schema is None else _parsed_writer(writer_schema, name)
    stream = io.BytesIO(body)
    try:
        if theirs is None:
            record = fastavro.schemaless_reader(stream, ours, None)
        else:
            record = fastavro.schemaless_reader(stream, theirs, ours)
        message = msgspec.convert(record, message_type)
    # fastavro raises whatever the bad byte leads to: IndexError for a bad union index, EOFError
    # for huge lengths (nothing is allocated for them), UnicodeDecodeError (measured).
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise BadMessage(f"not a {message_type.__name__}: {what}") from error
    left_over = len(body) - stream.tell()
    if left_over:
        raise BadMessage(f"{left_over} bytes left over after the {message_type.__name__}")
    return message


class Codec(Generic[M]):
    """Frames and reads messages of one type with the ids of one registry.

    `schema_id` is the id of the packaged schema. `schema_of(id)` returns the text of another one
    and raises UnknownSchema where the registry does not know it.
    """

    def __init__(
        self, message_type: type[M], schema_id: int, schema_of: Callable[[int], str]
    ) -> None:
        self.message_type = message_type
        self.schema_id = schema_id
        self._schema_of = schema_of

    def encode(self, message: M) -> bytes:
        """Return the Kafka value of a message."""
        return frame(self.schema_id, encode_body(message))

    def decode(self, value: bytes) -> M:
        """Read a Kafka value. Raises BadMessage."""
        written_with = schema_id_of(value)
        return decode_body(
            value[HEADER_BYTES:],
            self.message_type,
            writer_schema=None if written_with == self.schema_id else self._schema_of(written_with),
        )


def append_enrichment(
    raw: bytes,
    enrichment: messages.Enrichment,
    *,
    raw_codec: Codec[messages.RawEvent],
    enriched_codec: Codec[messages.EnrichedEvent],
) -> bytes:
    """Return the EnrichedEvent of a RawEvent message: its bytes, followed by the enrichment's.

    A raw message that another version of the schema wrote is decoded and encoded again. One of
    the packaged version is not looked into: only what was decoded before may be enriched.
    """
    if schema_id_of(raw) == raw_codec.schema_id:
        body = raw[HEADER_BYTES:]
    else:
        body = encode_body(raw_codec.decode(raw))
    return frame(enriched_codec.schema_id, body + encode_body(enrichment))
