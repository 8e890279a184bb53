"""What calls of AWS Organizations and Account Management teach about accounts (PURE)."""

from collections.abc import Sequence
from typing import Final

from opstrail_enrich.record_view import RecordView
from opstrail_schemas.messages import Account, RawEvent

SOURCES: Final = frozenset({"organizations.amazonaws.com", "account.amazonaws.com"})


def facts_of(event: RawEvent, view: RecordView) -> Sequence[Account]:
    """Return the facts that a successful call shows."""
    return ()
