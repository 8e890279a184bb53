"""Whatever is on a topic, the codec says what it is or that it is bad; it never breaks."""

import contextlib
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_schemas import messages
from opstrail_schemas.codec import (
    BadMessage,
    Codec,
    UnknownSchema,
    decode_body,
    encode_body,
    frame,
    schema_id_of,
    schema_text,
)
from opstrail_schemas.registry import MESSAGE_TYPES
from tools.schemas.examples import all_examples, with_bytes

OURS, OTHER, UNKNOWN = 1, 2, 99
TYPES = sorted(set(MESSAGE_TYPES.values()), key=lambda message_type: message_type.__name__)
EXAMPLES = {
    example.type_name: msgspec.convert(
        with_bytes(example.message()), getattr(messages, example.type_name)
    )
    for example in all_examples()
}


def a_codec(message_type: Any, other: str = "") -> Codec[Any]:
    def schema_of(schema_id: int) -> str:
        if schema_id == OTHER and other:
            return other
        raise UnknownSchema(f"the registry knows no schema {schema_id}")

    return Codec(message_type, OURS, schema_of)


def is_read_or_refused(codec: Codec[Any], value: bytes) -> None:
    """Decode; BadMessage is fine, a message is fine, another exception fails the test."""
    with contextlib.suppress(BadMessage):
        assert isinstance(codec.decode(value), codec.message_type)


every_type = pytest.mark.parametrize("message_type", TYPES, ids=lambda found: found.__name__)


@every_type
@given(value=st.binary(max_size=400))
def test_random_bytes_are_refused_or_read(message_type: Any, value: bytes) -> None:
    is_read_or_refused(a_codec(message_type), value)


@every_type
@given(body=st.binary(max_size=400), schema_id=st.sampled_from([OURS, OTHER, UNKNOWN, 2**32 - 1]))
def test_random_bodies_in_a_good_frame_are_refused_or_read(
    message_type: Any, body: bytes, schema_id: int
) -> None:
    codec = a_codec(message_type, other=schema_text(f"io.opstrail.v1.{message_type.__name__}"))

    is_read_or_refused(codec, frame(schema_id, body))


@every_type
@given(data=st.data())
def test_a_message_with_some_bytes_changed_is_refused_or_read(
    message_type: Any, data: st.DataObject
) -> None:
    value = bytearray(a_codec(message_type).encode(EXAMPLES[message_type.__name__]))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))

    is_read_or_refused(a_codec(message_type), bytes(value))


@every_type
def test_a_message_cut_anywhere_is_refused(message_type: Any) -> None:
    codec = a_codec(message_type)
    value = codec.encode(EXAMPLES[message_type.__name__])

    for length in range(len(value)):
        with pytest.raises(BadMessage):
            codec.decode(value[:length])


@every_type
def test_bytes_left_over_are_refused(message_type: Any) -> None:
    codec = a_codec(message_type)

    with pytest.raises(BadMessage, match="1 bytes left over"):
        codec.decode(codec.encode(EXAMPLES[message_type.__name__]) + b"\0")


@pytest.mark.parametrize(
    "value", [b"", b"\0", b"\0\0\0\0", b'{"Records":[]}', b"\x01" + b"\0" * 20], ids=repr
)
def test_what_is_not_framed_is_refused(value: bytes) -> None:
    with pytest.raises(BadMessage, match="not in Confluent framing"):
        a_codec(messages.Account).decode(value)


def test_an_id_beyond_those_of_registries_is_refused_without_asking() -> None:
    with pytest.raises(BadMessage, match="no schema id"):
        schema_id_of(frame(2**31, b""))


def test_an_id_that_the_registry_does_not_know_is_refused() -> None:
    with pytest.raises(UnknownSchema):
        a_codec(messages.Account).decode(frame(UNKNOWN, b""))


@pytest.mark.parametrize(
    "other",
    [
        schema_text("io.opstrail.v1.TrailFile"),
        '"string"',
        '["null", "string"]',
        '{"type": "object", "properties": {}}',
        'syntax = "proto3"; message Account {}',
        '{"type": "record", "name": "Account", "fields": [{"name": "a", "type": "b"}]}',
        "",
        "[" * 100_000,
    ],
    ids=["type", "string", "union", "json-schema", "protobuf", "reference", "empty", "deep"],
)
def test_a_message_of_another_schema_is_refused(other: str) -> None:
    codec = Codec(messages.Account, OURS, lambda _: other)
    value = frame(OTHER, encode_body(EXAMPLES["Account"]))

    with pytest.raises(BadMessage, match="written with"):
        codec.decode(value)


def test_a_schema_of_our_name_that_lacks_what_we_need_is_refused() -> None:
    other = {"type": "record", "name": "io.opstrail.v1.Account", "fields": []}

    with pytest.raises(BadMessage, match="not a Account"):
        Codec(messages.Account, OURS, lambda _: json.dumps(other)).decode(frame(OTHER, b""))


def test_an_unknown_branch_of_a_union_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode_body(b"\x02a" + b"\x04", messages.Account)


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadMessage, match="UnicodeDecodeError"):
        decode_body(b"\x02\xff", messages.Account)


def zigzag(number: int) -> bytes:
    """Return a number as Avro writes it."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


@pytest.mark.parametrize("length", [2**31, 2**40, 2**62, -1, -(2**62)])
@pytest.mark.parametrize("before", [b"", b"\x02a" + b"\0" * 5], ids=["string", "map"])
def test_a_length_that_lies_costs_no_memory(before: bytes, length: int) -> None:
    tracemalloc.start()
    with pytest.raises(BadMessage):
        decode_body(before + zigzag(length) + b"x" * 100, messages.Account)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 1_000_000


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(BadMessage):
        decode_body(b"\xff" * 100_000, messages.Account)


def test_a_symbol_of_a_newer_schema_is_read_as_unknown() -> None:
    newer = json.loads(schema_text("io.opstrail.v1.TrailFile"))
    state = next(field for field in newer["fields"] if field["name"] == "state")
    state["type"]["symbols"].append("archived")
    row = EXAMPLES["TrailFile"]
    body = encode_body(msgspec.structs.replace(row, state="unknown"))
    # One byte differs, the state: 0x0e is the place of `unknown`, 0x10 that of `archived`.
    before = encode_body(msgspec.structs.replace(row, state="splitting"))
    at = next(i for i, (a, b) in enumerate(zip(body, before, strict=True)) if a != b)

    read = decode_body(
        body[:at] + b"\x10" + body[at + 1 :], messages.TrailFile, writer_schema=json.dumps(newer)
    )

    assert read == msgspec.structs.replace(row, state="unknown")


def test_fields_that_we_do_not_know_are_skipped() -> None:
    newer = json.loads(schema_text("io.opstrail.v1.Account"))
    newer["fields"].append({"name": "new", "type": "string", "default": "", "doc": "New."})
    body = encode_body(EXAMPLES["Account"]) + b"\x06abc"

    read = decode_body(body, messages.Account, writer_schema=json.dumps(newer))

    assert read == EXAMPLES["Account"]


@every_type
def test_a_message_survives_the_way_there_and_back(message_type: Any) -> None:
    codec = a_codec(message_type)
    message = EXAMPLES[message_type.__name__]

    assert codec.decode(codec.encode(message)) == message
