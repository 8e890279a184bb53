"""Names of accounts from files as facts: CSV, YAML, JSON, `organizations list-accounts` (PURE).

A list of objects, an object of accounts by number, or `{"Accounts": [...]}`. Members may be
spelled as one likes: `accountId`, `account_id`, `Id`. Numbers are texts, with their zeros.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

import yaml

from opstrail_enrich.inventory_shape import (
    Saved,
    json_of,
    object_at,
    optional_text,
    refuse_duplicates,
    refuse_repeated,
    refused,
)
from opstrail_schemas.messages import Account

_SPELLINGS: Final = {
    "id": "id", "account": "id", "accountid": "id", "accountnumber": "id",
    "name": "name", "accountname": "name", "alias": "name",
    "email": "email",
    "arn": "arn",
    "oupath": "ou_path", "ou": "ou_path", "path": "ou_path", "paths": "paths",
    "state": "state", "status": "status",
    "tags": "tags",
}  # fmt: skip


def account_facts(files: Sequence[Saved], *, valid_from: int | None = None) -> list[Account]:
    """Return one fact for each account of files. Raises InvalidRecord, naming file and item."""
    found = [
        (place, _fact(source, place, item, valid_from))
        for saved in files
        for source, items in [_read(saved)]
        for place, item in items
    ]
    refuse_duplicates((f"account {fact.account_id}", place) for place, fact in found)
    return [fact for _, fact in found]


class _TextLoader(yaml.BaseLoader):
    """Leaves all values texts: 012345678901 is no octal number. Refuses a key that comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is there twice", node.start_mark
            )
        return found


def _read(saved: Saved) -> tuple[str, list[tuple[str, Mapping[str, Any]]]]:
    """Return where the accounts come from, and each with its place."""
    file, kind = saved.file, PurePath(saved.file).suffix.lower()
    if kind == ".csv":
        return "file", list(_rows(file, saved.text))
    if kind not in (".json", ".yaml", ".yml"):
        raise refused(file, "neither .csv, .yaml nor .json")
    value = json_of(saved) if kind == ".json" else _yaml_of(saved)
    if isinstance(value, dict) and isinstance(value.get("Accounts"), list):
        return "organizations", list(_listed(file, value["Accounts"]))
    if isinstance(value, list):
        return "file", list(_listed(file, value))
    return "file", list(_by_number(file, object_at(value, file)))


def _yaml_of(saved: Saved) -> Any:
    try:
        return yaml.load(saved.text, _TextLoader)  # noqa: S506 - it makes texts only
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise refused(saved.file, f"not YAML: {error}") from error


def _rows(file: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Lines are what CSV says: a quoted value may have breaks, and U+2028 breaks none.
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        refuse_repeated(filter(None, rows.fieldnames or ()), f"{file}: line 1")
        for row in rows:
            place = f"{file}: line {rows.line_num}"
            if None in row:
                raise refused(place, "more values than the first line has names")
            yield place, row
    except csv.Error as error:
        raise refused(f"{file}: after line {rows.line_num}", f"not CSV: {error}") from error


def _listed(file: str, values: Sequence[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, value in enumerate(values, start=1):
        place = f"{file}: item {number}"
        yield place, object_at(value, place)


def _by_number(file: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for account_id, value in values.items():
        place = f"{file}: {account_id}"
        given = {"name": value} if isinstance(value, str) else object_at(value, place)
        yield place, {**given, "id": account_id}


def _fact(source: str, place: str, item: Mapping[str, Any], valid_from: int | None) -> Account:
    said: dict[str, Any] = {}
    for name, value in item.items():
        known = _SPELLINGS.get(re.sub(r"[ _-]", "", name.lower()))
        if known is not None:
            said[known] = value
    fact = Account(
        account_id=_account_id(said.get("id"), place),
        name=optional_text(said, "name", place),
        arn=optional_text(said, "arn", place),
        email=optional_text(said, "email", place),
        ou_path=optional_text(said, "ou_path", place) or _path(said.get("paths"), place),
        state=optional_text(said, "state", place) or optional_text(said, "status", place),
        tags=_tags(said.get("tags"), place),
        valid_from=valid_from,
        source=source,
    )
    if fact.name is None and fact.ou_path is None:
        raise refused(place, "it has neither a name nor a path")
    return fact


def _account_id(value: Any, place: str) -> str:
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not re.fullmatch(r"\d{12}", text, re.ASCII):
        raise refused(
            place,
            f"{text or 'nothing'} is no account number: 12 digits (spreadsheets drop zeros)",
            field="id",
        )
    return text


def _path(value: Any, place: str) -> str | None:
    """Return the units of Organizations' `o-ORG/r-ROOT/ou-UNIT/ACCOUNT/`: all but the account."""
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not isinstance(value[0], str):
        raise refused(place, "Paths is not a list of texts", field="Paths")
    return value[0].rstrip("/").rpartition("/")[0] or None


def _tags(value: Any, place: str) -> dict[str, str]:
    """Return tags, from an object or from AWS's list of Key and Value."""
    if value is None or value == "":
        return {}
    if isinstance(value, list):
        pairs = [object_at(tag, place) for tag in value]
        value = {tag.get("Key"): tag.get("Value") for tag in pairs}
    tags = object_at(value, place)
    if not all(isinstance(text, str) for pair in tags.items() for text in pair):
        raise refused(place, "a tag's key or value is not a text", field="tags")
    return dict(tags)
