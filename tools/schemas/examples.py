"""Write the bytes of new golden examples: `python -m tools.schemas.examples`.

`schemas/examples/<Type>/<n>/<name>.json` is a message by its names on the wire, `bytes` as text;
`<name>.hex` beside it is its Avro body as version n of the schema wrote it. An example is never
changed: the bytes stand for those that lie in people's topics. Bytes are made by Apache's own
library, not by our codec, which is tested against them.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from avro.io import BinaryEncoder, DatumWriter
from avro.schema import Schema, parse

from opstrail_schemas import messages
from tools.schemas.released import released_versions

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
_BYTES_A_LINE = 16


@dataclass(frozen=True, slots=True)
class Example:
    """One golden example: a message, and the version of the schema that its bytes are in."""

    type_name: str
    version: int
    json_path: Path

    @property
    def hex_path(self) -> Path:
        """Where its bytes are."""
        return self.json_path.with_suffix(".hex")

    def message(self) -> dict[str, Any]:
        """Return the message by its names on the wire."""
        message: dict[str, Any] = json.loads(self.json_path.read_text("utf-8"))
        return message

    def body(self) -> bytes:
        """Return its bytes."""
        lines = self.hex_path.read_text("utf-8").splitlines()
        return bytes.fromhex("".join(line[10 : 10 + 3 * _BYTES_A_LINE] for line in lines))

    def schema_text(self) -> str:
        """Return the schema that its bytes were written with."""
        return released_versions(self.type_name)[self.version - 1]


def apache_schema(text: str) -> Schema:
    """Return a schema for Apache's library, with times as the plain numbers that we hold."""
    return parse(json.dumps(json.loads(text, object_hook=_without_logical_type)))


def all_examples() -> list[Example]:
    """Return the examples in alphabetical order."""
    return [
        Example(path.parts[-3], int(path.parts[-2]), path)
        for path in sorted(EXAMPLES.glob("*/*/*.json"))
    ]


def with_bytes(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message with `raw` as bytes: the only field of ours that is not text."""
    if "event" in message:
        return {**message, "event": with_bytes(message["event"])}
    return {**message, "raw": message["raw"].encode()} if "raw" in message else message


def _without_logical_type(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "logicalType"}


def _dump(body: bytes) -> Iterator[str]:
    for at in range(0, len(body), _BYTES_A_LINE):
        row = body[at : at + _BYTES_A_LINE]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)  # noqa: PLR2004
        yield f"{at:08x}  {row.hex(' '):<{3 * _BYTES_A_LINE}} {shown}\n"


def main() -> None:
    """Write the bytes that are missing."""
    for example in all_examples():
        if not example.hex_path.exists():
            out = io.BytesIO()
            writer = DatumWriter(apache_schema(example.schema_text()))
            message_type = getattr(messages, example.type_name)
            message = msgspec.convert(with_bytes(example.message()), message_type)
            writer.write(messages.as_record(message), BinaryEncoder(out))
            example.hex_path.write_text("".join(_dump(out.getvalue())), "utf-8")
            print(f"wrote {example.hex_path.relative_to(EXAMPLES)}")


if __name__ == "__main__":
    main()
