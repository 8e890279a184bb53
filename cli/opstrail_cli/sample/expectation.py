"""What must become of the archive, said without any code of opstrail (PURE)."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from opstrail_cli.sample.archive import ACCOUNT_NAMES, Archive, File
from opstrail_cli.sample.records import Event, Json, text_of
from opstrail_cli.sample.stacks import SHOP_PROD, SHOP_STAGING, named_as_of


@dataclass(frozen=True, slots=True)
class Expectation:
    """The figures of a first run, and what the store holds after it.

    `identities` are document ids; `dead_letters` pairs of object key and reason; `records` counts
    repeats and the fragments that became dead letters, not the records of deferred files.
    `naming_stack` counts the events that hold a stack's id: the least that must be found for it.
    `stacks` tells of each event of a stack's life its stack's id and name, as of its own time.
    """

    files: int
    records: int
    identities: frozenset[str]
    repeats: int
    dead_letters: frozenset[tuple[str, str]]
    deferred: Mapping[str, str]
    empty: frozenset[str]
    by_caller_kind: Mapping[str, int]
    by_credential_kind: Mapping[str, int]
    by_account_name: Mapping[str, int]
    naming_stack: Mapping[str, int]
    stacks: Mapping[str, tuple[str, str]]


def expected(archive: Archive) -> Expectation:
    """Return what a run over the archive must end with."""
    events = {
        identity: each
        for file in archive.files
        for identity, each in zip(_identities(file), file.events, strict=True)
    }
    copies = sum(len(file.events) for file in archive.files)
    fragments = sum(len(file.dead) for file in archive.files if file.events)
    accounts = [identity.split("/")[0] for identity in events]
    names = named_as_of()
    return Expectation(
        files=len(archive.files),
        records=copies + fragments,
        identities=frozenset(events),
        repeats=copies - len(events),
        dead_letters=frozenset((file.key, why) for file in archive.files for why in file.dead),
        deferred={file.key: file.deferred for file in archive.files if file.deferred},
        empty=frozenset(
            file.key for file in archive.files if not (file.events or file.dead or file.deferred)
        ),
        by_caller_kind=Counter(each.caller.kind for each in events.values()),
        by_credential_kind=Counter(each.caller.credentials for each in events.values()),
        by_account_name=Counter(ACCOUNT_NAMES.get(account, "") for account in accounts),
        naming_stack={
            stack.id: sum(stack.id in text_of(each.record) for each in events.values())
            for stack in (SHOP_PROD, SHOP_STAGING)
        },
        stacks={
            identity: names[each.record["eventID"]]
            for identity, each in events.items()
            if each.record.get("eventID") in names
        },
    )


def _identities(file: File) -> list[str]:
    """Return the document id of each record of a file, in its order."""
    return [f"{file.account or _account(each.record)}/{_event_id(each)}" for each in file.events]


def _account(record: Json) -> str:
    identity = record["userIdentity"]
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
    named = (
        record.get("recipientAccountId"),
        identity.get("accountId"),
        issuer.get("accountId"),
    )
    return next((account for account in named if account), "-")


def _event_id(each: Event) -> str:
    """Return the eventID, or the hash of the record's text where it has none (eventVersion 1.0)."""
    given = each.record.get("eventID")
    # `:0`: no file of the archive holds two such records with the same text.
    return given or f"sha256:{hashlib.sha256(text_of(each.record).encode()).hexdigest()}:0"
