"""A document of the store as history reads it (PURE).

The services share no code: what store writes is told in docs/reference/fields.md, and a contract
test holds this module against store's own reading.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

Json = Mapping[str, Any]
_OURS = b',"opstrail":{'
_EMPTY: Json = {}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Record(msgspec.Struct, frozen=True):
    """The record's own text, and our object, as JSON text."""

    raw: bytes
    ours: bytes


def record_in(source: bytes) -> Record:
    """Return the record in a document's exact `_source`. Raises ValueError for none of ours."""
    cut = source.rindex(_OURS)
    ours = source[cut + len(_OURS) - 1 : -1]
    members = msgspec.json.decode(ours, type=dict[str, msgspec.Raw])
    if "rawText" in members:
        return Record(msgspec.json.decode(members["rawText"], type=str).encode(), ours)
    if "rawBytes" in members:
        encoded = msgspec.json.decode(members["rawBytes"], type=str)
        return Record(base64.b64decode(encoded), ours)
    return Record(source[:cut] + b"}", ours)


def document(source: bytes) -> dict[str, Any]:
    """Return a document or a record, parsed, for looking at; exact is only its text.

    Halves of surrogate pairs, which no UTF-8 can hold, become U+FFFD. Raises ValueError where it is
    no JSON object.
    """
    try:
        found = msgspec.json.decode(source)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            found = _whole(json.loads(source.decode("utf-8", "replace")))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - of the text, not of its type
    return found


def _whole(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {_whole(name): _whole(member) for name, member in value.items()}
        case list():
            return [_whole(member) for member in value]
        case _:
            return value


def is_deeper(value: Any, most: int) -> bool:
    """Return whether lists and objects stand in each other more than `most` deep."""
    level = [value]
    for _ in range(most):
        level = [
            member
            for each in level
            if isinstance(each, dict | list)
            for member in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def below(value: Json, *names: str) -> Json:
    """Return the object at a path; an empty one where there is none."""
    for name in names:
        member = value.get(name)
        if not isinstance(member, dict):
            return _EMPTY
        value = member
    return value


def text(value: object) -> str | None:
    """Return a text; None for anything else, and for none."""
    return value if isinstance(value, str) and value else None


def texts(value: object) -> list[str]:
    """Return the texts of a list, or a lone one."""
    if isinstance(value, str):
        return [value] if value else []
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def account_by_itself(record: Json) -> str | None:
    """Return the account that a record names without the key of its file, as ingest takes it."""
    identity = below(record, "userIdentity")
    issuer = below(identity, "sessionContext", "sessionIssuer")
    named = (
        text(record.get("recipientAccountId"))
        or text(identity.get("accountId"))
        or text(issuer.get("accountId"))
    )
    return named if named and "/" not in named else "-"
