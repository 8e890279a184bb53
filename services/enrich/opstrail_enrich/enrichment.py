"""What opstrail adds to an event: a pure function of the event and the catalogs (PURE)."""

from dataclasses import dataclass, field
from typing import Final

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_enrich.caller import caller_of
from opstrail_enrich.event_keys import is_opsworks, keys_of, named_by
from opstrail_enrich.record_view import RecordView, members, parsed, text_of, view_of
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_enrich.stack_info import stack_info
from opstrail_schemas.facts import version_of
from opstrail_schemas.messages import Enrichment, RawEvent

# Raised whenever the rules give another result for the same event and facts: what is enriched
# anew then replaces what the older rules wrote, and never the other way round.
RULES_VERSION: Final = 1


@dataclass(slots=True)
class Catalogs:
    """All facts known, and how far their topics were read: offsets of the next messages."""

    stacks: StackCatalog = field(default_factory=StackCatalog)
    accounts: AccountCatalog = field(default_factory=AccountCatalog)
    stack_facts_offset: int = 0
    accounts_offset: int = 0


def enrich(event: RawEvent, catalogs: Catalogs) -> Enrichment:
    """Return who called, in which account, on which stack, as of the event's own time."""
    view = view_of(event.raw)
    named = named_by(event, view)
    keys = keys_of(event, named)
    facts = catalogs.stacks.facts.reach(keys) + catalogs.accounts.facts.reach(keys)
    return Enrichment(
        rules_version=RULES_VERSION,
        version=version_of(RULES_VERSION, facts),
        stack_facts_offset=catalogs.stack_facts_offset,
        accounts_offset=catalogs.accounts_offset,
        caller=caller_of(event, view),
        account=catalogs.accounts.info(event.account_id, event.event_time),
        stack=stack_info(event, named, catalogs.stacks) if is_opsworks(event) else None,
        stack_keys=list(keys),
        issued_access_key_id=_issued_key(event, view),
    )


def _issued_key(event: RawEvent, view: RecordView) -> str | None:
    """Return the access key that the call issued: where a session comes from."""
    if b'"credentials"' not in event.raw:  # spares parsing the response of nearly all events
        return None
    credentials = members(members(parsed(view.response_elements)).get("credentials"))
    return text_of(credentials.get("accessKeyId"))
