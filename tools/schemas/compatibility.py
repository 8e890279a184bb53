"""Whether versions of a schema can read each other: the gate FULL_TRANSITIVE (PURE)."""

import json
from collections.abc import Iterator, Sequence

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse


def incompatibilities(current: str, released: Sequence[str]) -> list[str]:
    """Return what keeps `current` from joining the released versions; empty: nothing.

    Both directions with every version: old readers meet new messages, new readers old ones. And
    nothing is removed, though Avro would allow that for a field with a default: a subscriber that
    uses the field would read the default for ever. `released` begins with version 1.
    """
    found = []
    for number, text in enumerate(released, start=1):
        found += [f"cannot read version {number}: {why}" for why in _unreadable(current, text)]
        found += [f"version {number} cannot read it: {why}" for why in _unreadable(text, current)]
        gone = set(_parts(json.loads(text))) - set(_parts(json.loads(current)))
        found += [f"{part} of version {number} was removed" for part in sorted(gone)]
    return found


def _unreadable(reader: str, writer: str) -> list[str]:
    result = ReaderWriterCompatibilityChecker().get_compatibility(parse(reader), parse(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(sorted({kind.name for kind in result.incompatibilities}))
    return [f"{kinds} ({'; '.join(sorted(result.messages))})"]


def _parts(schema: object, at: str = "") -> Iterator[str]:
    """Give the paths of all fields, and of the symbols of all enums."""
    match schema:
        case {"type": "record", "fields": list(fields)}:
            for field in fields:
                path = f"{at}.{field['name']}".removeprefix(".")
                yield path
                yield from _parts(field["type"], path)
        case {"type": "enum", "symbols": list(symbols)}:
            yield from (f"{at}={symbol}" for symbol in symbols)
        case {"type": "array", "items": inner} | {"type": "map", "values": inner}:
            yield from _parts(inner, at)
        case list(branches):
            for branch in branches:
                yield from _parts(branch, at)
