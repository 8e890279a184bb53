"""What opstrail adds to an event: a pure function of the event and the catalogs (PURE)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from opstrail_enrich.account_catalog import AccountCatalog
from opstrail_enrich.caller import caller_of
from opstrail_enrich.event_keys import Named, is_opsworks, keys_of, named_by, role_named_by
from opstrail_enrich.record_view import RecordView, members, parsed, text_of, view_of
from opstrail_enrich.redaction import shown
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_enrich.stack_info import stack_info, stack_of_role
from opstrail_schemas.event_time import at_its_time
from opstrail_schemas.facts import version_of
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import Enrichment, RawEvent, StackInfo

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
    """Return who called, in which account, on which stack, as of the event's own time.

    Of an event with an absurd time only that is told which holds always.
    """
    event = at_its_time(event)
    view = view_of(event.raw)
    caller = caller_of(event, view)
    named = named_by(event, view)
    role = None if is_opsworks(event) else role_named_by(caller)
    keys = keys_of(event, named if role is None else (role,))
    # The account's key comes first, and no other is one of an account.
    facts = catalogs.stacks.facts.reach(keys) + catalogs.accounts.facts.reach(keys[:1])
    return Enrichment(
        rules_version=RULES_VERSION,
        version=version_of(RULES_VERSION, facts),
        stack_facts_offset=catalogs.stack_facts_offset,
        accounts_offset=catalogs.accounts_offset,
        caller=caller,
        account=catalogs.accounts.info(event.account_id, event.event_time),
        stack=_stack(event, named, role, catalogs.stacks),
        stack_keys=list(keys),
        issued_access_key_id=_issued_key(event, view),
        corrects=_corrects(event, view),
    )


def _stack(
    event: RawEvent, named: Sequence[Named], role: Named | None, catalog: StackCatalog
) -> StackInfo | None:
    if is_opsworks(event):
        return stack_info(event, named, catalog)
    return None if role is None else stack_of_role(event, role.id, catalog)


def _issued_key(event: RawEvent, view: RecordView) -> str | None:
    """Return the access key that the call issued: where later calls with it come from.

    `credentials` is what STS answers (AssumeRole and its kin, AssumeRoot, GetSessionToken,
    GetFederationToken), and what other services answer that hand out sessions; `accessKey` is the
    long-term key of IAM's CreateAccessKey.
    """
    # spares parsing the response of nearly all events
    if b'"credentials"' not in event.raw and b'"accessKey"' not in event.raw:
        return None
    response = members(parsed(view.response_elements))
    return next(
        (
            key_id
            for name in ("credentials", "accessKey")
            if (key_id := shown(members(response.get(name)).get("accessKeyId")))
        ),
        None,
    )


def _corrects(event: RawEvent, view: RecordView) -> str | None:
    """Return the key of the event that this one corrects; itself it stays an event of its own."""
    original = text_of(members(view.addendum).get("originalEventID"))
    if original is None or original == event.event_id:
        return None
    return event_key(event.account_id, original).decode()
