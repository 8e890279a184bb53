"""Values that a record holds back: a marker stands in their place (PURE)."""

import re
from typing import Any, Final

from opstrail_enrich.record_view import text_of

# AWS's own (`****`, `**redacted**`, `*** Redacted ***`, HIDDEN_DUE_TO_SECURITY_REASONS,
# <sensitiveDataRemoved>) and the one that split puts in the place of a secret.
_MARKER: Final = re.compile(
    r"\*+(?: ?redacted ?\*+|masked by opstrail\*+)?|hidden_due_to_security_reasons"
    r"|<?sensitivedataremoved>?",
    re.IGNORECASE,
)


def shown(value: Any) -> str | None:
    """Return a text that says something; None for a marker, and for what is no text."""
    text = text_of(value)
    return None if text is None or _MARKER.fullmatch(text.strip()) else text
