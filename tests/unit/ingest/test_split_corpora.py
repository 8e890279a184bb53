"""Real trail files, told apart to the record. Needs the folder named by SHARED."""

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from opstrail_ingest.gunzip import Budget, unpack
from opstrail_ingest.masking import Masking
from opstrail_ingest.object_key import object_key
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Broken, Deferred, Element, split
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.messages import RawEvent
from tests.support.corpora import CORPORA, corpora

pytestmark = corpora


def files(name: str) -> list[Path]:
    return sorted(path for path in (CORPORA / name).rglob("*") if path.is_file())


def found_in(path: Path) -> Iterator[RawEvent | Broken | Deferred]:
    stored = path.read_bytes()
    key = path.relative_to(CORPORA).as_posix()
    unpacked = unpack(
        io.BytesIO(stored), stored_bytes=len(stored), budget=Budget(), beat=lambda: None
    )
    origin = FileOrigin("local", key, unpacked.sha256, account_id=object_key(key).account_id)
    reader = RecordReader(origin, Masking())
    for item in split(unpacked.blocks()):
        yield reader.read(item) if isinstance(item, Element) else item


@pytest.mark.parametrize(
    ("name", "records", "identities"), [("sans504", 19_624, 15_537), ("invictus", 2_900, 2_900)]
)
def test_every_record_of_a_real_bucket_is_an_event(
    name: str, records: int, identities: int
) -> None:
    found = [item for path in files(name) for item in found_in(path)]
    events = [item for item in found if isinstance(item, RawEvent)]

    assert len(found) == len(events) == records
    assert len({(event.account_id, event.event_id) for event in events}) == identities
    assert not any(event.flags for event in events)


def test_events_are_what_json_finds() -> None:
    for path in files("sans504")[:300]:
        expected = json.loads(gzip.decompress(path.read_bytes()))["Records"]
        events = [item for item in found_in(path) if isinstance(item, RawEvent)]

        assert [event.event_id for event in events] == [record["eventID"] for record in expected]
        assert [json.loads(event.raw) for event in events if not event.masked_paths] == [
            record for event, record in zip(events, expected, strict=True) if not event.masked_paths
        ]


@pytest.mark.parametrize("name", sorted(path.name for path in CORPORA.glob("*/")))
def test_no_file_makes_it_fail(name: str) -> None:
    for path in files(name)[:300]:
        with suppress(InvalidRecord):
            list(found_in(path))


def test_the_manuals_broken_sample_gives_its_sound_record() -> None:
    (path,) = (
        path
        for path in files("aws-guides/opsworks")
        if path.name == "monitoring-cloudtrail.1.malformed.json"
    )

    names = [getattr(item, "event_name", "broken") for item in found_in(path)]

    assert names == ["broken", "DescribeInstances"]
