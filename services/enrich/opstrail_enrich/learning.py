"""What an event teaches: facts about stacks and accounts (PURE)."""

from collections.abc import Sequence

from opstrail_enrich import account_learning, stack_learning
from opstrail_enrich.event_keys import is_opsworks
from opstrail_enrich.record_view import view_of
from opstrail_schemas.event_time import at_its_time
from opstrail_schemas.messages import Account, RawEvent, StackFact


def facts_of(event: RawEvent) -> Sequence[StackFact | Account]:
    """Return the facts that an event shows, in a fixed order; none for calls that failed.

    An absurd time dates no fact.
    """
    if event.error_code is not None:
        return ()
    event = at_its_time(event)
    if is_opsworks(event):
        return stack_learning.facts_of(event, view_of(event.raw))
    if event.event_source in account_learning.SOURCES:
        return account_learning.facts_of(event, view_of(event.raw))
    return ()
