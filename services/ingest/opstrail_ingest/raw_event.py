"""Turn the text of one record into a RawEvent (PURE).

No field of an unusual type, no odd text makes it fail: what cannot be read is absent in the typed
fields and stays in `raw`. Of a key that comes twice the last value counts, as JSON readers do.
"""

from collections import Counter
from dataclasses import dataclass

from opstrail_ingest.brace_scan import deeper_than
from opstrail_ingest.masking import Masking
from opstrail_ingest.trail_file import Broken, Deferred, Element
from opstrail_schemas.identity import derived_event_id
from opstrail_schemas.messages import Origin, RawEvent
from opstrail_schemas.record_fields import (
    RecordFields,
    event_from,
    event_time_of,
    fields_of,
    loaded,
    text_or_none,
)
from opstrail_schemas.topics import LARGEST_RECORD_BYTES

MOST_WITHOUT_ID = 500_000  # distinct records of a file: some 90 bytes of memory each
# Fewer than Python 3.11's JSON readers follow; those of newer Pythons follow ten thousand.
DEEPEST_RECORD = 500
_EVENT_CATEGORIES = frozenset({None, "", "Management", "Data", "NetworkActivity"})
_DEFERRED = {"Insight": "insight", "Aggregated": "aggregated"}
_DEFERRED_TYPES = {"AwsCloudTrailInsight": "insight", "AwsAggregatedEvent": "aggregated"}


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """The file that records stand in. `account_id` is the one in its key, where it has layout."""

    bucket: str
    key: str
    sha256: str
    version_id: str | None = None
    e_tag: str | None = None
    delivered_at: int | None = None
    account_id: str | None = None


class RecordReader:
    """Reads the records of one file, in order from its first: it counts equal ones."""

    def __init__(self, origin: FileOrigin, masking: Masking, *, salvaged: bool = False) -> None:
        self._origin = origin
        self._masking = masking
        self._salvaged = salvaged
        # Only what came more than once is counted, by eight bytes of its hash: a large file may
        # hold a million records without an id.
        self._seen: set[int] = set()
        self._repeats: Counter[int] = Counter()

    def read(self, element: Element) -> RawEvent | Deferred | Broken:
        """Return the record's event, or its category where that is kept for later."""
        text = element.text
        if len(text) > LARGEST_RECORD_BYTES:
            message = f"a record of {len(text)} bytes: the largest is {LARGEST_RECORD_BYTES}"
            return _refused(element, "too-large", message)
        if deeper_than(text, DEEPEST_RECORD):
            message = f"JSON is nested too deeply: {DEEPEST_RECORD} levels at most"
            return _refused(element, "too-deep", message)
        flags: list[str] = []
        fields = fields_of(text, flags)
        category = _deferred_category(fields, text)
        if category is not None:
            return Deferred(category)
        name, source = fields.eventName, fields.eventSource
        if not name or not source:
            return _refused(element, "not-an-event", "a record needs eventName and eventSource")
        if source == "aws:s3":
            return _refused(element, "not-an-event", "an S3 notification, not a CloudTrail record")
        return self._event(element, fields, flags)

    def _event(self, element: Element, fields: RecordFields, flags: list[str]) -> RawEvent | Broken:
        event_id = fields.eventID
        if not event_id:
            if len(self._seen) == MOST_WITHOUT_ID:
                message = f"over {MOST_WITHOUT_ID} records without an eventID in one file"
                return _refused(element, "too-many-without-id", message)
            event_id = self._derived_id(element.text)
            flags.append("derivedEventID")
        event_time = event_time_of(fields.eventTime, flags)
        if self._salvaged or element.salvaged:
            flags.append("salvaged")
        if fields.eventVersion is not None and not fields.eventVersion.startswith("1."):
            flags.append("unknownVersion")
        raw, masked_paths = self._masking.mask(element.text)
        origin = self._origin
        return event_from(
            fields,
            account_id=self._account(fields, element.text, flags),
            event_id=event_id,
            event_time=event_time,
            origin=Origin(
                bucket=origin.bucket,
                key=origin.key,
                version_id=origin.version_id,
                e_tag=origin.e_tag,
                sha256=origin.sha256,
                record_index=element.record_index,
                delivered_at=origin.delivered_at,
            ),
            flags=flags,
            masked_paths=masked_paths,
            raw=raw,
        )

    def _derived_id(self, text: bytes) -> str:
        short = hash(text)
        if short not in self._seen:
            self._seen.add(short)
            return derived_event_id(text, 0)
        self._repeats[short] += 1
        return derived_event_id(text, self._repeats[short])

    def _account(self, fields: RecordFields, text: bytes, flags: list[str]) -> str:
        named = fields.recipientAccountId
        account = self._origin.account_id
        if account is not None:
            if named and named != account:
                flags.append("accountMismatch")
            return account
        identity = fields.userIdentity
        account = named or (identity and identity.accountId) or _issuer_account(text)
        # The slash is what parts account and id in a key.
        return account if account and "/" not in account else "-"


def _refused(element: Element, reason: str, message: str) -> Broken:
    message = f"{message} (byte {element.start})"
    return Broken(element.record_index, element.start, element.end, reason, message, element.text)


def _issuer_account(text: bytes) -> str | None:
    """Return the account of the session's issuer: only records that name no other one need it."""
    value: object = loaded(text)[0]
    for key in ("userIdentity", "sessionContext", "sessionIssuer", "accountId"):
        value = value.get(key) if isinstance(value, dict) else None
    return text_or_none(value)


def _deferred_category(fields: RecordFields, text: bytes) -> str | None:
    """Return the category of a record that is no event; unknown categories are `other`."""
    if fields.eventType in _DEFERRED_TYPES:
        return _DEFERRED_TYPES[fields.eventType]
    if fields.eventCategory not in _EVENT_CATEGORIES:
        return _DEFERRED.get(fields.eventCategory or "", "other")
    if fields.eventName is None and b'"insightDetails"' in text:
        return "insight"
    return None
