"""A story's records as split makes events of them, and the documents that must come of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_schemas.facts import digest_of
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import Account, Enrichment, RawEvent, StackFact
from tests.support.enriching import raw_event

Document = tuple[int, Enrichment]


def event_of(record: Mapping[str, Any]) -> RawEvent:
    """Return the event that split makes of a record."""
    event = raw_event(
        account_id=record["recipientAccountId"],
        event_id=record["eventID"],
        event_time=int(datetime.fromisoformat(record["eventTime"]).timestamp() * 1000),
        **record,
    )
    return msgspec.structs.replace(event, error_code=record.get("errorCode"))


def expected(
    events: Iterable[RawEvent], facts: Iterable[StackFact | Account]
) -> dict[str, Document]:
    """Return what one enrichment says that knows all facts from the start, by document id."""
    catalogs = Catalogs()
    for fact in facts:
        if isinstance(fact, StackFact):
            catalogs.stacks.facts.add(digest_of(fact), fact)
        else:
            catalogs.accounts.facts.add(digest_of(fact), fact)
    found = {}
    for event in events:
        enrichment = enrich(event, catalogs)
        key = event_key(event.account_id, event.event_id).decode()
        found[key] = (enrichment.version, without_delivery(enrichment))
    return found


def without_delivery(enrichment: Enrichment) -> Enrichment:
    """Return what two equal documents share."""
    return msgspec.structs.replace(enrichment, stack_facts_offset=0, accounts_offset=0)
