"""Saved answers of describe-stacks, -layers, -instances and -apps as facts (PURE).

OpsWorks is gone, so such files are all that is left of its own knowledge. An answer says what was
so when it was saved, not since when: its facts hold always, unless a time is given from which.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opstrail_enrich.inventory_shape import (
    Saved,
    object_at,
    optional_text,
    refuse_duplicates,
    refused,
    required_text,
)
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import StackFact

SOURCE: Final = "import"
_REDACTED: Final = "**redacted**"  # OpsWorks's own marker: it never stands for a value
_STACK_ATTRIBUTES: Final = {
    "Name": "name",
    "Region": "region",
    "VpcId": "vpcId",
    "ServiceRoleArn": "serviceRoleArn",
    "DefaultInstanceProfileArn": "defaultInstanceProfileArn",
    "DefaultOs": "defaultOs",
    "DefaultAvailabilityZone": "defaultAvailabilityZone",
    "DefaultSubnetId": "defaultSubnetId",
    "CreatedAt": "createdAt",
    "Arn": "arn",
}
_ACCOUNT_IN_ARN = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):.+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Child:
    """How one kind of child looks in an answer."""

    kind: str
    id_member: str
    attributes: Mapping[str, str]


_CHILDREN: Final = {
    "Layers": _Child(
        "layer", "LayerId", {"Name": "name", "Shortname": "shortname", "Type": "type"}
    ),
    "Instances": _Child(
        "instance", "InstanceId", {"Hostname": "hostname", "Ec2InstanceId": "ec2InstanceId"}
    ),
    "Apps": _Child("app", "AppId", {"Name": "name", "Shortname": "shortname", "Type": "type"}),
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
    items = [item for file in files for item in _items(file)]
    refuse_duplicates((f"{item.id_member} {item.id}", item.place) for item in items)
    accounts = dict(accounts_of_stacks or {})
    for item in items:
        if item.kind == "Stacks":
            accounts[item.id] = _account_of_stack(item, account_id)
    return [_fact(item, accounts, account_id, valid_from) for item in items]


@dataclass(frozen=True, slots=True)
class _Item:
    kind: str
    place: str
    id_member: str
    id: str
    members: Mapping[str, Any]


def _items(saved: Saved) -> Iterator[_Item]:
    try:
        answer = object_at(json.loads(saved.text), saved.file)
    except (ValueError, RecursionError) as error:
        raise refused(saved.file, f"not JSON: {error}") from error
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
            yield _Item(kind, place, id_member, required_text(members, id_member, place), members)


def _account_of_stack(item: _Item, account_id: str | None) -> str:
    for name in ("Arn", "ServiceRoleArn"):
        found = _ACCOUNT_IN_ARN.fullmatch(optional_text(item.members, name, item.place) or "")
        if found is not None:
            return found[1]
    return _given(account_id, item.place)


def _given(account_id: str | None, place: str) -> str:
    if account_id is None:
        raise refused(place, "its account is not known; name it with --account")
    return account_id


def _fact(
    item: _Item,
    accounts: Mapping[str, str],
    account_id: str | None,
    valid_from: int | None,
) -> StackFact:
    stack_id = required_text(item.members, "StackId", item.place)
    account = accounts.get(stack_id) or _given(account_id, item.place)
    if item.kind == "Stacks":
        attributes = _attributes(item, _STACK_ATTRIBUTES) | _configuration_manager(item)
        required_text(item.members, "Name", item.place)
        concerns = [key_of(account, None, "stack", stack_id)]
        if (role := attributes.get("serviceRoleArn")) is not None:
            concerns.append(key_of(account, None, "role", role))
        return StackFact(
            kind="stackDefined",
            account_id=account,
            stack_id=stack_id,
            attributes=attributes,
            valid_from=valid_from,
            concerns=concerns,
            source=SOURCE,
        )
    child = _CHILDREN[item.kind]
    return StackFact(
        kind="childBelongs",
        account_id=account,
        stack_id=stack_id,
        subject_kind=child.kind,
        subject_id=item.id,
        attributes=_attributes(item, child.attributes),
        valid_from=valid_from,
        concerns=[key_of(account, None, child.kind, item.id)],
        source=SOURCE,
    )


def _attributes(item: _Item, names: Mapping[str, str]) -> dict[str, str]:
    found = {
        ours: optional_text(item.members, theirs, item.place) for theirs, ours in names.items()
    }
    return {
        name: value for name, value in found.items() if value is not None and value != _REDACTED
    }


def _configuration_manager(item: _Item) -> dict[str, str]:
    value = item.members.get("ConfigurationManager")
    if value is None:
        return {}
    members = object_at(value, f"{item.place}: ConfigurationManager")
    found = {
        f"configurationManager{name}": optional_text(members, name, item.place)
        for name in ("Name", "Version")
    }
    return {name: text for name, text in found.items() if text is not None}
