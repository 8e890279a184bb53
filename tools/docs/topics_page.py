"""Write docs/reference/topics.md: `python -m tools.docs.topics_page`.

The page is made from the topic files and the schemas, and never written by hand; a test fails
while it is older than they are.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from opstrail_schemas.topics import LARGEST_MESSAGE_BYTES, Topic, all_topics

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "topics.md"
_NAMESPACE = "io.opstrail.v1."
_HEAD = f"""\
# Topics and messages

<!-- Made by `python -m tools.docs.topics_page` from schemas/opstrail_schemas: edit those. -->

Values are Avro in Confluent's framing: a zero byte, four bytes of schema id, the Avro body. Schemas
are registered under the topic's name and `-value`, compatibility FULL_TRANSITIVE: fields are only
ever added, with defaults; what would break a reader becomes a new topic. No header is needed to
read a message, and none is larger than {LARGEST_MESSAGE_BYTES // 1024**2} MiB. Read with
`isolation.level=read_committed`.
`examples/subscriber.py` is a subscriber that needs nothing of opstrail.

An installation may put a prefix of its own before every topic's name
(`OPSTRAIL_KAFKA__TOPIC_PREFIX`), and choose the numbers of partitions when the topics are created:
`files` stands for `OPSTRAIL_KAFKA__FILES_PARTITIONS`, `events` for
`OPSTRAIL_KAFKA__EVENTS_PARTITIONS`. Both are fixed from then on.
"""


def page() -> str:
    """Return the page."""
    schemas = dict(sorted(_schemas().items()))
    sections = [_HEAD, "## Topics\n", _table_of_topics()]
    sections += [_topic_section(described) for described in all_topics()]
    sections.append("## Messages\n")
    for schema in schemas.values():
        sections += [_record_section(record) for record in _records(schema)]
    return "\n".join(sections)


def _schemas() -> dict[str, dict[str, Any]]:
    folder = files("opstrail_schemas").joinpath("avro")
    return {path.name: json.loads(path.read_text("utf-8")) for path in folder.iterdir()}


def _records(schema: Any) -> Iterator[dict[str, Any]]:
    """Give the record and the records that are defined inside it."""
    match schema:
        case {"type": "record", "fields": list(fields)}:
            yield schema
            for field in fields:
                yield from _records(field["type"])
        case list(branches):
            for branch in branches:
                yield from _records(branch)


def _link(full_name: str) -> str:
    name = full_name.removeprefix(_NAMESPACE)
    return f"[{name}](#{name.lower()})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table_of_topics() -> str:
    rows = [
        f"| `{described.name}` | {_cell(described.key)} | {_link(described.schema)} "
        f"| {', '.join(described.writers)} | {', '.join(described.readers)} |"
        for described in all_topics()
    ]
    head = ["| topic | key | value | writers | readers |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _topic_section(described: Topic) -> str:
    settings = [f"| `{key}` | `{value}` |" for key, value in described.config().items()]
    lines = [
        f"### {described.name}",
        "",
        described.why,
        "",
        f"Value: {_link(described.schema)}. Key: {described.key}.",
        f"Partitions: {described.partitions}. Subject: `{described.subject}`.",
        "",
        "| setting | value |",
        "|---|---|",
        *settings,
    ]
    return "\n".join(lines) + "\n"


def _record_section(record: dict[str, Any]) -> str:
    lines = [
        f"### {record['name']}",
        "",
        record["doc"],
        "",
        "| field | type | default | what it is |",
        "|---|---|---|---|",
    ]
    for field in record["fields"]:
        cells = [f"`{field['name']}`", _type(field["type"]), _default(field), _cell(field["doc"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _type(schema: Any) -> str:
    match schema:
        case ["null", inner]:
            return f"{_type(inner)}, or null"
        case {"logicalType": "timestamp-millis"}:
            return "time (long, milliseconds since 1970 UTC)"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "map", "values": values}:
            return f"map of {_type(values)}"
        case {"type": "enum", "symbols": symbols}:
            return "one of " + ", ".join(f"`{symbol}`" for symbol in symbols)
        case {"type": "record", "name": name}:
            return _link(name)
        case str(name) if name.startswith(_NAMESPACE):
            enum = _enums().get(name.removeprefix(_NAMESPACE))
            return _type(enum) if enum else _link(name)
    return str(schema)


def _enums() -> dict[str, Any]:
    fields = [field for schema in _schemas().values() for field in schema["fields"]]
    return {
        field["type"]["name"]: field["type"]
        for field in fields
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum"
    }


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "required"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), "utf-8")
