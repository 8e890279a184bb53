"""What is wrong with an inventory: always names the file and the item (PURE)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opstrail_runtime.errors import InvalidRecord


@dataclass(frozen=True, slots=True)
class Saved:
    """One file: its name, for errors, and its text."""

    file: str
    text: str


def refused(place: str, what: str, *, field: str | None = None) -> InvalidRecord:
    """Return the error for something at a place such as `stacks.json: item 3 of Stacks`."""
    return InvalidRecord(f"{place}: {what}", reason="invalid-inventory", field=field)


def json_of(saved: Saved) -> Any:
    """Return what a JSON file holds. Raises InvalidRecord, also for a member that comes twice."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        refuse_repeated((name for name, _ in pairs), saved.file)
        return dict(pairs)

    try:
        return json.loads(saved.text, object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise refused(saved.file, f"not JSON: {error}") from error


def required_text(item: Mapping[str, Any], name: str, place: str) -> str:
    """Return a member that must be a text that is not empty."""
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise refused(place, f"{name} is missing, or not a text", field=name)
    return value


def optional_text(item: Mapping[str, Any], name: str, place: str) -> str | None:
    """Return a member that may be missing, null or empty, and else is a text."""
    value = item.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise refused(place, f"{name} is not a text", field=name)
    return value


def object_at(value: Any, place: str) -> Mapping[str, Any]:
    """Return what must be an object."""
    if not isinstance(value, dict):
        raise refused(place, "not an object")
    return value


def refuse_repeated(names: Iterable[str], place: str) -> None:
    """Refuse a name that one object or one line of names has twice: nobody knows which counts."""
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise refused(place, f"{repeated[0]} is there twice in one object")


def refuse_duplicates(ids: Iterable[tuple[str, str]]) -> None:
    """Refuse an id that occurs twice; each comes with its place."""
    first: dict[str, str] = {}
    for identifier, place in ids:
        if identifier in first:
            raise refused(place, f"{identifier} is there twice, first at {first[identifier]}")
        first[identifier] = place
