"""The sample through the services' pure code: what is expected of it is what they make of it."""

import io
from collections import Counter

import pytest

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.expectation import expected
from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_ingest.gunzip import Budget, unpack
from opstrail_ingest.masking import Masking
from opstrail_ingest.object_key import object_key
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Broken, Element, split
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import RawEvent

ARCHIVE = archive()
EXPECTED = expected(ARCHIVE)


class Read:
    """What the pure code makes of the archive."""

    def __init__(self) -> None:
        self.events: dict[str, RawEvent] = {}
        self.records = 0
        self.dead: set[tuple[str, str]] = set()
        for file in ARCHIVE.files:
            try:
                self._read(file.key, file.body)
            except InvalidRecord as refused:
                self.dead.add((file.key, refused.reason))

    def _read(self, key: str, body: bytes) -> None:
        unpacked = unpack(
            io.BytesIO(body), stored_bytes=len(body), budget=Budget(), beat=lambda: None
        )
        account = object_key(key).account_id
        origin = FileOrigin(bucket="local", key=key, sha256=unpacked.sha256, account_id=account)
        reader = RecordReader(origin, Masking())
        for item in split(unpacked.blocks()):
            result = reader.read(item) if isinstance(item, Element) else item
            match result:
                case Broken():
                    self.dead.add((key, result.reason))
                    self.records += 1
                case RawEvent():
                    identity = event_key(result.account_id, result.event_id).decode()
                    self.events[identity] = result
                    self.records += 1


@pytest.fixture(scope="module")
def read() -> Read:
    return Read()


def test_the_same_identities(read: Read) -> None:
    assert EXPECTED.identities == set(read.events)
    assert EXPECTED.records == read.records


def test_the_same_dead_letters(read: Read) -> None:
    assert EXPECTED.dead_letters == read.dead


def test_the_same_callers_and_credentials(read: Read) -> None:
    callers = [enrich(event, Catalogs()).caller for event in read.events.values()]

    assert EXPECTED.by_caller_kind == Counter(caller.kind for caller in callers)
    assert EXPECTED.by_credential_kind == Counter(caller.credential_kind for caller in callers)


def test_each_stack_is_found_where_its_id_stands(read: Read) -> None:
    stacks = [enrich(event, Catalogs()).stack for event in read.events.values()]
    found = Counter(stack.id for stack in stacks if stack is not None)

    assert EXPECTED.naming_stack == {each: found[each] for each in EXPECTED.naming_stack}


def test_secrets_are_masked(read: Read) -> None:
    text = b"".join(event.raw for event in read.events.values())

    assert b"must-be-masked" not in text
    assert b"PRIVATE KEY" not in text
