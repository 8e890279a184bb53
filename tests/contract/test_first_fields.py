"""The first fields of a message are those that a whole decode finds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_schemas.codec import encode_body, schema_text
from opstrail_schemas.first_fields import FirstFields
from opstrail_schemas.messages import TrailFile

NAMES = ("key", "eTag", "state", "records")
FIELDS = FirstFields(schema_text("io.opstrail.v1.TrailFile"), NAMES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
ROWS = st.builds(
    TrailFile,
    bucket=TEXTS,
    key=TEXTS,
    e_tag=st.none() | TEXTS,
    version_id=st.none() | TEXTS,
    state=st.sampled_from(["splitting", "done", "partial", "empty", "deferred", "quarantined"]),
    category=st.none() | TEXTS,
    account_id=st.none() | TEXTS,
    size=st.none() | st.integers(0, 2**62),
    records=st.integers(0, 2**31 - 1),
    noticed_at=st.integers(-(2**63), 2**63 - 1),
    updated_at=st.just(1),
)


def found_in(row: TrailFile) -> list[Any]:
    tag = None if row.e_tag is None else row.e_tag.encode()
    by_name = {"key": row.key.encode(), "eTag": tag, "state": row.state, "records": row.records}
    schema = json.loads(schema_text("io.opstrail.v1.TrailFile"))
    return [by_name[each["name"]] for each in schema["fields"] if each["name"] in by_name]


@given(row=ROWS, before=st.binary(max_size=5))
def test_they_are_those_of_the_whole_message(row: TrailFile, before: bytes) -> None:
    assert found_in(row) == FIELDS.read(before + encode_body(row), len(before))


@given(row=ROWS, length=st.integers(0, 60))
def test_of_a_message_that_ends_before_them_nothing_is_told(row: TrailFile, length: int) -> None:
    found = FIELDS.read(encode_body(row)[:length], 0)

    assert found is None or found == found_in(row)


@given(value=st.binary(max_size=200))
def test_random_bytes_never_make_it_fail(value: bytes) -> None:
    found = FIELDS.read(value, 0)

    assert found is None or len(found) == len(NAMES)


def of(*types: object) -> str:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return json.dumps({"type": "record", "name": "R", "fields": fields})


@pytest.mark.parametrize(
    ("of_field", "value"),
    [
        ("string", b"\x01"),  # a length of -1
        ("string", b"\x04a"),  # two bytes, and there is one
        ("string", b"\x80"),
        ("long", b"\xff" * 11),  # longer than any number
        (["null", "long"], b"\x04\x02"),  # a branch that the union does not have
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, b"\x04"),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, b"\x01"),
    ],
)
def test_broken_bytes_are_left_to_the_whole_decode(of_field: object, value: bytes) -> None:
    assert FirstFields(of(of_field), ["f0"]).read(value, 0) is None


@pytest.mark.parametrize(
    "unlike", ["double", "boolean", ["string", "null"], ["null", "string", "long"], {"type": "map"}]
)
def test_other_types_cannot_be_passed_over(unlike: object) -> None:
    with pytest.raises(TypeError, match="passed over"):
        FirstFields(of(unlike, "string"), ["f1"])


def test_what_comes_after_the_last_is_not_looked_at() -> None:
    assert FirstFields(of("long", "double"), ["f0"]).read(b"\x03", 0) == [-2]
