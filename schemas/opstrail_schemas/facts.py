"""Facts about stacks and accounts: their keys, what identifies one, what leads where (PURE).

A fact never changes and is never taken back, so facts form a set, and the order in which they
arrive can't matter. Each fact lists the keys of the things that it *concerns*, and the keys that
it *leads to*: whoever hangs on a thing that it concerns hangs on those too. Each document lists the
keys that its event names (`opstrail.stackKeys`). The facts that count for an event are those that
can be reached from its keys; their number is its version.

A key is a text, at most 512 characters of id in it. Its forms never change, since they are stored
with documents and facts; new kinds may come:

| key | thing |
|---|---|
| `account/ACCOUNT` | an account: its name, path, state |
| `ACCOUNT/KIND/ID` | stack, layer, instance, app, deployment, command, volume, ... |
| `ACCOUNT/REGION/KIND/ID` | elasticIp, loadBalancer, stackName: unique in account and Region only |
| `ACCOUNT/KIND/ARN` | rds, ecsCluster, role |
| `ACCOUNT/details/ID` | what is known of a thing and shapes no document: settings, tags, rights |

ACCOUNT is the event's, REGION the API endpoint's (`-` where it is not known).
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from opstrail_schemas.messages import Account, StackFact

FACT_VERSION: Final = 1  # the form that this code writes; of others it knows nothing
_REGIONAL: Final = frozenset({"elasticIp", "loadBalancer", "stackName"})


def account_key(account_id: str) -> str:
    """Return the key of an account."""
    return f"account/{account_id}"


def key_of(account_id: str, aws_region: str | None, kind: str, identifier: str) -> str:
    """Return the key of a thing of OpsWorks."""
    if kind in _REGIONAL:
        return f"{account_id}/{aws_region or '-'}/{kind}/{identifier}"
    return f"{account_id}/{kind}/{identifier}"


def concerned_by(fact: StackFact | Account) -> list[str]:
    """Return the keys of what a fact is about, each once."""
    if isinstance(fact, Account):
        return [account_key(fact.account_id)]
    return list(dict.fromkeys(fact.concerns))


def led_to_by(fact: StackFact | Account) -> list[str]:
    """Return the keys that a fact leads to, each once."""
    return [] if isinstance(fact, Account) else list(dict.fromkeys(fact.leads_to))


def digest_of(fact: StackFact | Account) -> bytes:
    """Return the message key of a fact: SHA-256 of all that it says.

    Members at their default are left out, so that a field added later changes no old key.
    """
    empty = _EMPTY[type(fact)]
    said = {
        name: value
        for name in fact.__struct_fields__
        if (value := getattr(fact, name)) != getattr(empty, name) or name == "account_id"
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).digest()


_EMPTY: Final[Mapping[type, StackFact | Account]] = {
    StackFact: StackFact(kind="", account_id="", source=""),
    Account: Account(account_id="", source=""),
}


def version_of(rules_version: int, facts: int) -> int:
    """Return the version of an enriched event: rules first, then the number of facts about it."""
    return (rules_version << 32) + 1 + facts


def facts_in(version: int) -> int:
    """Return the number of facts that a version was made of."""
    return (version & 0xFFFFFFFF) - 1
