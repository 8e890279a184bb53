"""The documentation page of the fields, made from the mapping (PURE).

`python -m opstrail_store.fields_page > docs/reference/fields.md`; a contract test compares.
"""

import sys
from collections.abc import Iterator, Sequence

from opstrail_store.mapping import (
    CLOUDTRAIL_FIELDS,
    DEAD_LETTER_FIELDS,
    FILE_FIELDS,
    OPSTRAIL_FIELDS,
    Field,
)

_TITLE = """\
# Fields of the documents

Made from `services/store/opstrail_store/mapping.py`; do not edit. Whatever else a CloudTrail record
holds is in the document too, and comes back with it, but cannot be searched by. Under a
`flat_object` every path can be searched (`requestParameters.bucketName:x`), as exact text. A `kept`
field is in the document only. A `keyword` of more than 8,191 characters is not indexed.
"""
_SECTIONS = (
    ("Events: CloudTrail's own fields", CLOUDTRAIL_FIELDS),
    ("Events: what opstrail adds", OPSTRAIL_FIELDS),
    ("Files", FILE_FIELDS),
    ("Dead letters", DEAD_LETTER_FIELDS),
)
_KIND_SHOWN = {"iso_date": "date", "epoch_date": "date (ms)", "text": "match_only_text"}


def page() -> str:
    """Return the page as Markdown."""
    parts = [_TITLE]
    for title, fields in _SECTIONS:
        parts.append("\n".join([f"## {title}", "", *_table(fields), ""]))
    return "\n".join(parts)


def _table(fields: Sequence[Field]) -> Iterator[str]:
    yield "| field | indexed as | what it says |"
    yield "|---|---|---|"
    for field in fields:
        kind = _KIND_SHOWN.get(field.kind, field.kind)
        yield f"| `{field.path}` | {kind} | {field.why} |"


if __name__ == "__main__":
    sys.stdout.write(page())
