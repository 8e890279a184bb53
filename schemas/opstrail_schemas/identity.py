"""What an event is: the text `account/eventID`, message key and document id (PURE)."""

import hashlib

LONGEST_ID_BYTES = 200  # OpenSearch refuses ids over 512 bytes (measured); keys stay well below


def event_key(account_id: str, event_id: str) -> bytes:
    """Return the key of an event: `account/eventID`, its hash where that is over 200 bytes."""
    key = f"{account_id}/{event_id}".encode()
    if len(key) <= LONGEST_ID_BYTES:
        return key
    return f"sha256/{hashlib.sha256(key).hexdigest()}".encode()


def derived_event_id(record: bytes, ordinal: int) -> str:
    """Return the id of a record without eventID (eventVersion 1.0).

    `record` is its unmasked text, `ordinal` its place among equal texts in its file, from 0: two
    equal records in one file are two events, the same file read twice is not.
    """
    return f"sha256:{hashlib.sha256(record).hexdigest()}:{ordinal}"


def file_key(bucket: str, key: str) -> bytes:
    """Return the message key of everything about one file: `bucket/key`."""
    return f"{bucket}/{key}".encode()
