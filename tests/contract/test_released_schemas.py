"""The gate: a schema only ever grows, and old and new read each other (FULL_TRANSITIVE)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.schemas.compatibility import incompatibilities
from tools.schemas.released import (
    current_version,
    is_released,
    record,
    released_versions,
    type_names,
)

Schema = dict[str, Any]


@pytest.mark.parametrize("name", type_names())
def test_the_current_schema_is_compatible_with_every_released_one(name: str) -> None:
    released = released_versions(name)

    assert released, f"no version of {name} is recorded: python -m tools.schemas.released"
    assert incompatibilities(current_version(name), released) == []


def changed(change: Callable[[Schema], object], name: str = "EnrichedEvent") -> str:
    schema = json.loads(current_version(name))
    change(schema)
    return json.dumps(schema)


def event_of(schema: Schema) -> Schema:
    event: Schema = schema["fields"][0]["type"]
    return event


def field(schema: Schema, name: str) -> Schema:
    return next(found for found in schema["fields"] if found["name"] == name)


def without(schema: Schema, name: str) -> None:
    schema["fields"].remove(field(schema, name))


OPTIONAL = {"name": "vpcEndpointId", "type": ["null", "string"], "default": None, "doc": "New."}
REQUIRED = {"name": "vpcEndpointId", "type": "string", "doc": "New."}


def test_a_new_field_with_a_default_passes() -> None:
    new = changed(lambda schema: event_of(schema)["fields"].append(OPTIONAL))

    assert incompatibilities(new, [current_version("EnrichedEvent")]) == []


def test_another_description_passes() -> None:
    new = changed(lambda schema: schema.update(doc="Said better."))

    assert incompatibilities(new, [current_version("EnrichedEvent")]) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda event: event["fields"].append(REQUIRED), "reader_field_missing_default_value"),
        (lambda event: without(event, "eventName"), "event.eventName of version 1 was removed"),
        (lambda event: without(event, "errorCode"), "event.errorCode of version 1 was removed"),
        (lambda event: field(event, "eventName").update(type="long"), "type_mismatch"),
        (lambda event: field(event, "raw").update(type="long"), "type_mismatch"),
        (
            lambda event: field(event, "eventName").update(type=["null", "string"], default=None),
            "version 1 cannot read it",
        ),
        (lambda event: field(event, "eventName").update(name="action"), "was removed"),
        (lambda event: event.update(name="Event"), "name_mismatch"),
    ],
    ids=[
        "new-without-default",
        "required-removed",
        "optional-removed",
        "type-changed",
        "bytes-to-long",
        "made-optional",
        "renamed-field",
        "renamed-record",
    ],
)
def test_the_gate_refuses(change: Callable[[Schema], object], why: str) -> None:
    new = changed(lambda schema: change(event_of(schema)))

    assert why in "\n".join(incompatibilities(new, [current_version("EnrichedEvent")]))


def test_the_gate_refuses_a_removed_symbol() -> None:
    new = changed(
        lambda schema: field(schema, "state")["type"]["symbols"].remove("empty"), "TrailFile"
    )

    assert "state=empty of version 1 was removed" in incompatibilities(
        new, [current_version("TrailFile")]
    )


def test_the_gate_compares_with_every_version_and_not_the_newest_alone() -> None:
    first = changed(lambda schema: event_of(schema)["fields"].append(OPTIONAL))
    second = current_version("EnrichedEvent")

    found = incompatibilities(current_version("EnrichedEvent"), [first, second])

    assert found == ["event.vpcEndpointId of version 1 was removed"]


def test_a_version_is_recorded_once(tmp_path: Path) -> None:
    assert record(tmp_path) == []
    assert record(tmp_path) == []

    for name in type_names():
        assert is_released(current_version(name), released_versions(name, tmp_path))
        assert [path.name for path in (tmp_path / name).iterdir()] == ["1.avsc"]


def test_a_changed_schema_becomes_the_next_version(tmp_path: Path) -> None:
    record(tmp_path)
    before = changed(lambda schema: without(event_of(schema), "errorCode"))
    (tmp_path / "EnrichedEvent" / "1.avsc").write_text(before)

    assert record(tmp_path) == []

    assert len(released_versions("EnrichedEvent", tmp_path)) == 2


def test_nothing_is_recorded_when_one_schema_is_not_compatible(tmp_path: Path) -> None:
    folder = tmp_path / "EnrichedEvent"
    folder.mkdir()
    (folder / "1.avsc").write_text(
        changed(lambda schema: event_of(schema)["fields"].append(OPTIONAL))
    )

    problems = record(tmp_path)

    assert problems == ["EnrichedEvent: event.vpcEndpointId of version 1 was removed"]
    assert list(tmp_path.iterdir()) == [folder]
