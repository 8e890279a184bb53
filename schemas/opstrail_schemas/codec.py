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
_NAMESPACE = "io.opstrail.v1."
M = TypeVar("M", bound=messages.Message)


class BadMessage(ValueError):  # noqa: N818 - it is the message that is bad
    """A Kafka value that is not one of ours: not framed, an unknown schema, or a broken body."""


class UnknownSchema(BadMessage):
    """The registry answered that it does not know the schema id."""


@cache
def schema_text(name: str) -> str:
    """Return the self-contained Avro schema of that full name as JSON, as it is registered."""
    with as_file(files("opstrail_schemas").joinpath("avro")) as folder:
        schema = load_schema(f"{folder}/{name}.avsc", _write_hint=False)
    return json.dumps(schema)


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


def _name_of(schema: str) -> str:
    name: str = _parsed(schema)["name"]
    return name


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
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def encode_body(message: messages.Message) -> bytes:
    """Return the Avro body of a message, without header."""
    out = io.BytesIO()
    fastavro.schemaless_writer(
        out, _parsed(schema_text(schema_name(type(message)))), messages.as_record(message)
    )
    return out.getvalue()


def decode_body(
    body: bytes, message_type: type[M], *, writer_schema: str | None = None
) -> M:
    """Read one Avro body of that type. Raises BadMessage, also for bytes left over."""
    reader = schema_text(schema_name(message_type))
    stream = io.BytesIO(body)
    if writer_schema is not None and _name_of(writer_schema) != schema_name(message_type):
        raise BadMessage(f"a {_name_of(writer_schema)}, not a {message_type.__name__}")
    try:
        record = fastavro.schemaless_reader(
            stream, _parsed(writer_schema or reader), None if writer_schema is None else _parsed(reader)
        )
        message = msgspec.convert(record, message_type)
    # fastavro raises whatever the bad byte leads to: IndexError for a bad union index, EOFError,
    # MemoryError-sized lengths as OverflowError, UnicodeDecodeError (measured).
    except Exception as error:  # noqa: BLE001
        raise BadMessage(f"not a {message_type.__name__}: {type(error).__name__}: {error}") from error
    if stream.tell() != len(body):
        raise BadMessage(f"{len(body) - stream.tell()} bytes left over after the {message_type.__name__}")
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

    A raw message that another version of the schema wrote is decoded and encoded again.
    """
    if schema_id_of(raw) == raw_codec.schema_id:
        body = raw[HEADER_BYTES:]
    else:
        body = encode_body(raw_codec.decode(raw))
    return frame(enriched_codec.schema_id, body + encode_body(enrichment))
