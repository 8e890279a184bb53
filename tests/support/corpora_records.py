"""Every record in the corpora, also in wrappers, beside broken ones, and as text in a text."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_decode = json.JSONDecoder().raw_decode
_BEFORE_AN_IDENTITY = re.compile(r'"userIdentity"\s*:\s*$')


def records_below(folder: Path) -> Iterator[dict[str, Any]]:
    """Return all records of all files; of a record that is broken elsewhere its identity alone."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            yield from _records_in(text.decode("utf-8", errors="replace"))


def _records_in(text: str) -> Iterator[dict[str, Any]]:
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _decode(text, at)
        except ValueError:
            end = at + 1
        else:
            if _BEFORE_AN_IDENTITY.search(text, max(0, at - 40), at):
                value = {"eventName": "", "eventSource": "", "userIdentity": value}
            yield from _records_of(value)
        at = text.find("{", end)


def _records_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("eventName"), str) and isinstance(value.get("eventSource"), str):
            yield value
        for member in value.values():
            yield from _records_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from _records_of(member)
    elif isinstance(value, str) and '"userIdentity"' in value:
        yield from _records_in(value)
