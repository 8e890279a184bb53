"""Whatever bytes come, nothing but the errors that are named: 60 s in all, from a seed.

OPSTRAIL_FUZZ_SECONDS makes it longer, OPSTRAIL_FUZZ_INPUTS asks each target for as many inputs,
however long that takes; OPSTRAIL_FUZZ_SEED replays; each failure prints its input.
"""

import gzip
import io
import json
import os
import random
import time
from collections.abc import Callable

import pytest

from opstrail_ingest.gunzip import Budget, unpack
from opstrail_ingest.masking import Masking
from opstrail_ingest.notification import Found, Ignored, read_notification
from opstrail_ingest.object_key import object_key
from opstrail_ingest.raw_event import FileOrigin, RecordReader
from opstrail_ingest.trail_file import Deferred, Element, split
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.codec import BadMessage, Codec, UnknownSchema
from opstrail_schemas.identity import LONGEST_ID_BYTES, derived_event_id, event_key
from opstrail_schemas.messages import DeadLetter, RawEvent
from tests.support.figures import Figure
from tests.support.records import KEY, a_record, record_text, trail_text

SECONDS = float(os.environ.get("OPSTRAIL_FUZZ_SECONDS", "60"))
INPUTS = int(os.environ.get("OPSTRAIL_FUZZ_INPUTS", "0"))
SEED = int(os.environ.get("OPSTRAIL_FUZZ_SEED", "1"))
AT_ONCE = 50
MASKING = Masking()
pytestmark = pytest.mark.timeout(0 if INPUTS else max(300, SECONDS * 2))


def _unknown(schema_id: int) -> str:
    raise UnknownSchema(f"no schema {schema_id}")


RAW = Codec(RawEvent, 1, _unknown)
LETTERS = Codec(DeadLetter, 2, _unknown)
ORIGIN = FileOrigin("b", "k", "0" * 64, None, "e", None, None)


def split_target(data: bytes) -> None:
    """Items are in order, do not overlap, and are the file's own bytes; then to events."""
    try:
        items = list(split(iter([data[:700], data[700:]])))
    except InvalidRecord:
        return
    reader = RecordReader(ORIGIN, MASKING)
    end = 0
    for item in items:
        if isinstance(item, Deferred):
            continue
        assert end <= item.start <= item.end <= len(data)
        end = item.end
        if isinstance(item, Element):
            assert data[item.start : item.end] == item.text
            event = reader.read(item)
            if isinstance(event, RawEvent):
                RAW.decode(RAW.encode(event))


def gzip_target(data: bytes) -> None:
    """A file unpacks, or says why not, within its budget."""
    try:
        unpacked = unpack(
            io.BytesIO(data),
            stored_bytes=len(data),
            budget=Budget(1_000_000, 200),
            beat=lambda: None,
        )
    except InvalidRecord:
        return
    assert unpacked.size <= 1_000_000
    assert unpacked.size == sum(map(len, unpacked.blocks()))


def notification_target(data: bytes) -> None:
    """A message names objects, is ignored, or is refused."""
    try:
        said = read_notification(data.decode("utf-8", "surrogateescape"))
    except InvalidRecord:
        return
    assert isinstance(said, Found | Ignored)


def codec_target(data: bytes) -> None:
    """A message is one of ours, or bad."""
    for codec in (RAW, LETTERS):
        try:
            codec.decode(data)
        except BadMessage:
            continue


def key_target(data: bytes) -> None:
    """Any key says something or nothing."""
    object_key(data.decode("utf-8", "replace"))


def identity_target(data: bytes) -> None:
    """A key is bounded, and the same every time."""
    account, _, event_id = data.decode("utf-8", "replace").partition("/")
    key = event_key(account, event_id)
    assert len(key) <= LONGEST_ID_BYTES
    assert key == event_key(account, event_id)
    assert derived_event_id(data, 0) != derived_event_id(data, 1)


def masking_target(data: bytes) -> None:
    """No bytes make it fail; what was JSON stays JSON."""
    masked, _ = MASKING.mask(data)
    MASKING.mask_fragment(data)
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return
    json.loads(masked)


RECORDS = [record_text(a_record(n)) for n in range(4)]
SECRET = record_text(
    a_record(requestParameters={"password": "x", "env": [{"value": "y", "secure": True}]})
)
FILE = trail_text([*RECORDS, SECRET, b'{"eventVersion": "1.01"ed}', b"null", b"[1]"])
NOTIFICATION = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": "a%2Bb", "size": 3, "eTag": "x"}},
        }
    ]
}
LETTER = DeadLetter(stage="split", reason="r", message="m", first_failed_at=1, failed_at=2)
WORDS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xed\xa0\x80", b"\n"),
    *(b"null", b"1e400", b"NaN", b"\\ud800", b'{"Records":[', b"]}", b'},{"eventVersion":', b"%2B"),
    *(b"[" * 2_000, b'{"a":' * 200, b"9" * 5_000, b"\xef\xbb\xbf", b'"password":"', b"../"),
)
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "split": (split_target, [FILE, *RECORDS, b'{"Records":[]}', b"[" + RECORDS[0] + b"]"]),
    "gzip": (gzip_target, [gzip.compress(FILE), gzip.compress(b"x" * 9_000), FILE]),
    "notification": (
        notification_target,
        [
            json.dumps(NOTIFICATION).encode(),
            json.dumps({"Type": "Notification", "Message": json.dumps(NOTIFICATION)}).encode(),
            b'{"s3Bucket":"b","s3ObjectKey":["k","l"]}',
        ],
    ),
    "codec": (codec_target, [LETTERS.encode(LETTER), b"\x00\x00\x00\x00\x01" + bytes(60)]),
    "key": (key_target, [KEY.encode(), f"AWSLogs/o-abcdefghij/{KEY[8:]}".encode()]),
    "identity": (identity_target, [b"111122223333/e-1", "1/é".encode() * 90]),
    "masking": (masking_target, [SECRET, *RECORDS]),
}


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with a few cuts, repeats, swapped bytes and words in it."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.choice(WORDS)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                del data[at : at + rng.randrange(1, 40)]
            case 3:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randrange(1, 200)]
            case 4:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other)) :]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_makes_it_fail(name: str, figure: Figure) -> None:
    target, seeds = TARGETS[name]
    rng = random.Random(f"{SEED} {name}")
    until = time.monotonic() + SECONDS / len(TARGETS)
    inputs = 0
    for each in seeds:
        target(each)
    while inputs < INPUTS or time.monotonic() < until:
        for _ in range(AT_ONCE):
            data = mutated(rng, seeds)
            try:
                target(data)
            except Exception as error:
                error.add_note(f"{name}, seed {SEED}, input {inputs}: {data[:2_000]!r}")
                raise
            inputs += 1
    figure(f"inputs for {name}, seed {SEED}, none of which made it fail", f"{inputs:,}", "all")
    assert inputs
