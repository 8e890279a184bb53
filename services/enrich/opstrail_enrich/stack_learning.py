"""What a call of OpsWorks Stacks teaches about stacks (PURE)."""

from collections.abc import Sequence
from typing import Final

from opstrail_enrich.record_view import RecordView
from opstrail_schemas.messages import RawEvent, StackFact

SOURCE: Final = "opsworks.amazonaws.com"


def facts_of(event: RawEvent, view: RecordView) -> Sequence[StackFact]:  # noqa: ARG001
    """Return the facts that a successful call shows."""
    return ()
