"""Templates: bounded mappings, the layout they remember, and what differs."""

from opstrail_schemas.messages import (
    AccountInfo,
    Caller,
    DeadLetter,
    Message,
    StackInfo,
    TrailFile,
    wire_name,
)
from opstrail_store.index_name import IndexNames
from opstrail_store.mapping import (
    DEAD_LETTER_FIELDS,
    EVENT_FIELDS,
    FILE_FIELDS,
    MAPPING_VERSION,
)
from opstrail_store.templates import (
    Layout,
    differences,
    layout_of,
    mapping_version_of,
    templates,
    with_horizon,
)

ALL = templates(IndexNames("x"), Layout("day", 3, 5), replicas="0-1")


def names_of(message_type: type[Message]) -> set[str]:
    return {wire_name(name) for name in message_type.__struct_fields__}


def below(prefix: str) -> set[str]:
    return {f.path.removeprefix(prefix) for f in EVENT_FIELDS if f.path.startswith(prefix)}


def test_the_events_template_remembers_the_layout():
    assert Layout("day", 3, 5) == layout_of(ALL["x-events"])
    assert MAPPING_VERSION == mapping_version_of(ALL["x-events"])


def test_a_horizon_is_remembered_with_its_time_and_changes_nothing_else():
    closed = with_horizon(ALL["x-events"], 7, 8)

    assert Layout("day", 3, 7, 8) == layout_of(closed)
    assert templates(IndexNames("x"), Layout("day", 3, 7, 8), replicas="0-1")["x-events"] == closed
    assert 0 == mapping_version_of({})


def test_no_index_ever_maps_what_it_is_not_told():
    for template in ALL.values():
        assert template["template"]["mappings"]["dynamic"] is False


def test_every_member_of_our_messages_is_mapped():
    assert names_of(Caller) == below("opstrail.caller.")
    assert names_of(AccountInfo) == below("opstrail.account.")
    assert names_of(StackInfo) == below("opstrail.stack.")
    assert names_of(TrailFile) == {f.path for f in FILE_FIELDS}
    assert names_of(DeadLetter) | {"letterKey"} == {f.path for f in DEAD_LETTER_FIELDS}


def test_no_field_is_mapped_twice():
    for fields in (EVENT_FIELDS, FILE_FIELDS, DEAD_LETTER_FIELDS):
        paths = [f.path for f in fields]
        assert len(paths) == len(set(paths))


def test_templates_are_compared_however_values_are_spelled():
    there = {"a": {"b": "1", "c": "false", "e": {}}, "list": ["x"]}

    assert [] == differences(there, {"a": {"b": 1, "c": False, "e": {}}, "list": ["x"]})
    assert ["a.b", "a.e", "list.0"] == differences(
        there, {"a": {"b": 2, "c": False}, "list": ["y"]}
    )
