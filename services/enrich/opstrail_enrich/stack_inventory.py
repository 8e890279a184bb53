"""Saved answers of describe-stacks, -layers, -instances and -apps as facts (PURE).

OpsWorks is gone, so such files are all that is left of its own knowledge. An answer says what was
so when it was saved, not since when: its facts hold always, unless a time is given from which.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from opstrail_enrich.event_keys import LONGEST_ID
from opstrail_enrich.inventory_shape import (
    Saved,
    json_of,
    object_at,
    optional_text,
    refuse_duplicates,
    refused,
    required_text,
)
from opstrail_enrich.redaction import shown
from opstrail_enrich.stack_members import (
    CHILD_TEXTS,
    STACK_FLAGS,
    STACK_TEXTS,
    kept_flag,
    kept_text,
)
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import StackFact

SOURCE: Final = "import"
# Stacks in other Regions could be made through this endpoint, and an answer does not say its own.
_CLASSIC_ENDPOINT: Final = "us-east-1"
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_ACCOUNT_IN_ARN = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):.+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Child:
    """How one kind of child looks in an answer."""

    kind: str
    id_member: str
    texts: Sequence[str]


_CHILDREN: Final = {
    "Layers": _Child("layer", "LayerId", (*CHILD_TEXTS["layer"], "type")),
    "Instances": _Child("instance", "InstanceId", (*CHILD_TEXTS["instance"], "ec2InstanceId")),
    "Apps": _Child("app", "AppId", (*CHILD_TEXTS["app"], "type")),
}
_KINDS: Final = ("Stacks", *_CHILDREN)


def stack_facts(
    files: Sequence[Saved],
    *,
    account_id: str | None = None,
    accounts_of_stacks: Mapping[str, str] | None = None,
    valid_from: int | None = None,
) -> list[StackFact]:
    """Return the facts of saved answers. Raises InvalidRecord, naming file and item.

    The account of a stack is in its ARN or its role's. Of what is in a stack it is the stack's:
    of one in these files, or in `accounts_of_stacks`. Else it is `account_id`.
    """
    if account_id is not None and not _ACCOUNT.fullmatch(account_id):
        raise refused("--account", f"{account_id} is no account number")
    items = [item for file in files for item in _items(file)]
    refuse_duplicates((f"{item.id_member} {item.id}", item.place) for item in items)
    accounts = dict(accounts_of_stacks or {})
    for item in items:
        if item.kind == "Stacks":
            accounts[item.id] = _account_of_stack(item, account_id, accounts.get(item.id))
    facts: list[StackFact] = []
    layers: dict[str, _Link] = {}
    for item in items:
        account = accounts.get(item.stack_id) or _given(account_id, item.place)
        if item.kind == "Stacks":
            facts.append(_stack(item, account, valid_from))
        else:
            facts += _child(item, account, valid_from)
        for layer in _layers_of(item):
            _add(layers, layer, _Link(account, item.stack_id, item.place))
    listed = {item.id for item in items if item.kind == "Layers"}
    facts += (
        _belongs("layer", layer, link.account_id, link.stack_id)
        for layer, link in layers.items()
        if layer not in listed
    )
    return facts


@dataclass(frozen=True, slots=True)
class _Item:
    kind: str
    place: str
    id_member: str
    id: str
    stack_id: str
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Link:
    """The stack that a layer is in, and what says so."""

    account_id: str
    stack_id: str
    place: str


def _items(saved: Saved) -> Iterator[_Item]:
    answer = object_at(json_of(saved), saved.file)
    kinds = [kind for kind in _KINDS if kind in answer]
    if not kinds:
        raise refused(saved.file, f"none of {', '.join(_KINDS)} is in it")
    for kind in kinds:
        if not isinstance(answer[kind], list):
            raise refused(saved.file, f"{kind} is not a list", field=kind)
        id_member = "StackId" if kind == "Stacks" else _CHILDREN[kind].id_member
        for number, value in enumerate(answer[kind], start=1):
            place = f"{saved.file}: item {number} of {kind}"
            members = object_at(value, place)
            _refuse_unwritable(members, place)
            identifier = _id(members.get(id_member), id_member, place)
            stack_id = _id(members.get("StackId"), "StackId", place)
            yield _Item(kind, place, id_member, identifier, stack_id, members)


def _refuse_unwritable(members: Mapping[str, Any], place: str) -> None:
    try:
        json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise refused(place, "a text has half of a surrogate pair") from error
    except RecursionError as error:
        raise refused(place, "too deep") from error


def _id(value: Any, name: str, place: str) -> str:
    """Return an id that keys can be made of."""
    identifier = required_text({name: value}, name, place)
    if len(identifier) > LONGEST_ID:
        raise refused(place, f"{name} is longer than {LONGEST_ID} characters", field=name)
    if shown(identifier) is None:
        raise refused(place, f"{name} is held back: {identifier}", field=name)
    return identifier


def _account_of_stack(item: _Item, account_id: str | None, known: str | None) -> str:
    for name in ("Arn", "ServiceRoleArn"):
        found = _ACCOUNT_IN_ARN.fullmatch(optional_text(item.members, name, item.place) or "")
        if found is not None:
            if known not in (None, found[1]):
                raise refused(
                    item.place, f"{name} names account {found[1]}; the stack is known in {known}"
                )
            return found[1]
    return known or _given(account_id, item.place)


def _given(account_id: str | None, place: str) -> str:
    if account_id is None:
        raise refused(place, "its account is not known; name it with --account")
    return account_id


def _stack(item: _Item, account_id: str, valid_from: int | None) -> StackFact:
    name = required_text(item.members, "Name", item.place)
    attributes = _attributes(item, (*STACK_TEXTS, "arn"), STACK_FLAGS) | _created_at(item)
    stack = key_of(account_id, None, "stack", item.id)
    names, role = [], attributes.get("serviceRoleArn")
    if attributes.get("name") == name and len(name) <= LONGEST_ID and "region" in attributes:
        endpoints = dict.fromkeys((attributes["region"], _CLASSIC_ENDPOINT))
        names = [key_of(account_id, endpoint, "stackName", name) for endpoint in endpoints]
    # Its role leads to it: this fact itself says so, as long as the stack's history holds it.
    roles = [key_of(account_id, None, "role", role)] if role and len(role) <= LONGEST_ID else []
    return StackFact(
        kind="stackDefined",
        account_id=account_id,
        stack_id=item.id,
        attributes=attributes,
        valid_from=valid_from,
        concerns=[stack, *names, *roles],
        leads_to=[stack, *names],
        source=SOURCE,
    )


def _child(item: _Item, account_id: str, valid_from: int | None) -> Iterator[StackFact]:
    """Yield the link of a child, which holds always, and what it is called."""
    child = _CHILDREN[item.kind]
    yield _belongs(child.kind, item.id, account_id, item.stack_id)
    attributes = _attributes(item, child.texts)
    if attributes:
        yield StackFact(
            kind="childDefined",
            account_id=account_id,
            stack_id=item.stack_id,
            subject_kind=child.kind,
            subject_id=item.id,
            attributes=attributes,
            valid_from=valid_from,
            concerns=[key_of(account_id, None, child.kind, item.id)],
            source=SOURCE,
        )


def _belongs(kind: str, identifier: str, account_id: str, stack_id: str) -> StackFact:
    return StackFact(
        kind="childBelongs",
        account_id=account_id,
        stack_id=stack_id,
        subject_kind=kind,
        subject_id=identifier,
        concerns=[key_of(account_id, None, kind, identifier)],
        leads_to=[key_of(account_id, None, "stack", stack_id)],
        source=SOURCE,
    )


def _layers_of(item: _Item) -> Iterator[str]:
    """Yield the layers that an item says are in its stack: itself, or those of an instance."""
    if item.kind == "Layers":
        yield item.id
    value = item.members.get("LayerIds") if item.kind == "Instances" else None
    if value is not None and not isinstance(value, list):
        raise refused(item.place, "LayerIds is not a list", field="LayerIds")
    for layer in value or ():
        yield _id(layer, "LayerIds", item.place)


def _add(layers: dict[str, _Link], layer: str, link: _Link) -> None:
    known = layers.setdefault(layer, link)
    if known.stack_id != link.stack_id:
        raise refused(
            link.place,
            f"layer {layer} is in stack {link.stack_id} here, in {known.stack_id} by {known.place}",
        )


def _attributes(item: _Item, texts: Iterable[str], flags: Iterable[str] = ()) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for path in texts:
        members, name, place = _at(item, path)
        found[path] = kept_text(optional_text(members, name, place))
    for path in flags:
        members, name, place = _at(item, path)
        found[path] = kept_flag(members.get(name))
        if found[path] is None and members.get(name) is not None:
            raise refused(place, f"{name} is neither true nor false", field=name)
    return {path: text for path, text in found.items() if text is not None}


def _at(item: _Item, path: str) -> tuple[Mapping[str, Any], str, str]:
    """Return the object that holds a member, the member's name there, and the object's place."""
    *outer, name = (part[0].upper() + part[1:] for part in path.split("."))
    members, place = item.members, item.place
    for part in outer:
        value = members.get(part)
        place = f"{place}: {part}"
        members = {} if value is None else object_at(value, place)
    return members, name, place


def _created_at(item: _Item) -> dict[str, str]:
    text = shown(optional_text(item.members, "CreatedAt", item.place))
    if text is None:
        return {}
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise refused(item.place, f"CreatedAt is not a time: {text}", field="CreatedAt") from error
    return {"createdAt": text if time.tzinfo else time.replace(tzinfo=UTC).isoformat()}
