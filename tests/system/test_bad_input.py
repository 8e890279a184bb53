"""Bad input through `opstrail run` on real servers: stored or a dead letter, never in the way."""

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.installed import FEW_PARTITIONS, Ended, Installed, Place, installed
from tests.support.records import ACCOUNT, a_record, record_text, trail_file, trail_text
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PARTITIONS = 4
SOUND_IDS = 40  # enough for every partition to have some


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter of a file: of the fragment, or of the file as a whole."""

    reason: str
    fragment: bytes | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file of the folder, and what becomes of it. `stored` are event ids."""

    text: bytes
    state: str = "done"
    stored: tuple[str, ...] = ()
    letters: tuple[Letter, ...] = ()
    packed: bytes | None = None
    """As it lies in the folder; else `text` in gzip."""

    @property
    def body(self) -> bytes:
        return gzip.compress(self.text, mtime=0) if self.packed is None else self.packed


@dataclass(frozen=True, slots=True)
class Odd:
    """A record that is stored: whole, or in the reduced form for a reason."""

    text: bytes
    reduced: str | None = None
    index: str = "2024.03"
    ours: Mapping[str, Any] = field(default_factory=dict)


def record(event_id: str, **fields: Any) -> bytes:
    return record_text(a_record(event_id, **fields))


def between(event_id: str, *odd: bytes) -> bytes:
    """A file that holds what is odd between two sound records."""
    return trail_text([record(f"{event_id}-first"), *odd, record(f"{event_id}-last")])


def around(event_id: str) -> tuple[str, str]:
    return f"{event_id}-first", f"{event_id}-last"


SOUND = [f"sound-{number}" for number in range(SOUND_IDS)]
ODD = {
    "no-time": Odd(
        record("no-time", eventTime=...), index="undated", ours={"flags": ["noEventTime"]}
    ),
    "long-term": Odd(
        record("long-term", requestParameters={"userData": "x" * 40_000}), reduced="longTerm"
    ),
    "duplicate-keys": Odd(
        record("duplicate-keys")[:-1] + b',"requestParameters":{"a":1,"a":2}}', reduced="refused"
    ),
    "own-key": Odd(record("own-key", opstrail={"caller": {"kind": "root"}}), reduced="ownKey"),
    "object": Odd(record("object", requestParameters={"stackId": "s-1"})),
    "string": Odd(
        record("string", requestParameters="stackId=s-1"), ours={"wrapped": ["requestParameters"]}
    ),
    "string-where-it-is-typed": Odd(
        record("string-where-it-is-typed", userIdentity="root"), reduced="refused"
    ),
    # Cases 52, 53, 54, 59, 60, 61 of what real archives hold.
    "large-numbers": Odd(
        record("large-numbers")[:-1] + b',"additionalEventData":{"a":18446744073709551616}}'
    ),
    "new-version": Odd(record("new-version", eventVersion="1.99", quantumState={"spin": "up"})),
    "other-version": Odd(
        record("other-version", eventVersion="2.0"), ours={"flags": ["unknownVersion"]}
    ),
    "far-future": Odd(
        record("far-future", eventTime="9999-01-01T00:00:00Z"),
        index="undated",
        ours={"flags": ["absurdEventTime"]},
    ),
    "identity-null": Odd(record("identity-null", userIdentity=None)),
    "identity-missing": Odd(record("identity-missing", userIdentity=...)),
    "identity-unknown": Odd(record("identity-unknown", userIdentity={"type": "Martian"})),
    "object-where-it-is-typed": Odd(
        record("object-where-it-is-typed", errorMessage={"a": {"b": 1}}), reduced="refused"
    ),
}
CUT = record("cut-off")[:60]
BYTES = random.Random(3)
NOT_OURS = b'{"hello":"world"}'
LOST_QUOTE = record("lost-quote").replace(b'"DescribeStacks"', b'"DescribeStacks')
LOST_BRACE = record("lost-brace")[:-1]
NOT_A_NUMBER = record("not-a-number")[:-1] + b',"additionalEventData":{"a":NaN}}'
ODD_KEY = "odd ;rm -rf $(x) .. é \U0001f389\n.json.gz"
FILES = {
    "lost-quote.json.gz": File(
        between("lost-quote-between", LOST_QUOTE),
        "partial",
        around("lost-quote-between"),
        (Letter("not-json", LOST_QUOTE),),
    ),
    "lost-brace.json.gz": File(
        between("lost-brace-between", LOST_BRACE),
        "partial",
        around("lost-brace-between"),
        (Letter("not-json", LOST_BRACE),),
    ),
    "not-a-number.json.gz": File(
        between("not-a-number-between", NOT_A_NUMBER),
        "partial",
        around("not-a-number-between"),
        (Letter("not-json", NOT_A_NUMBER),),
    ),
    "two-members.json.gz": File(
        b"",
        stored=(*around("member-1"), *around("member-2")),
        packed=gzip.compress(between("member-1")) + gzip.compress(between("member-2")),
    ),
    "twice-in-gzip.json.gz": File(
        b"",
        stored=around("twice-in-gzip"),
        packed=gzip.compress(gzip.compress(between("twice-in-gzip"))),
    ),
    "plain-named-gz.json.gz": File(
        b"", stored=around("plain-named-gz"), packed=between("plain-named-gz")
    ),
    "byte-order-mark.json.gz": File(b"\xef\xbb\xbf" + between("bom"), stored=around("bom")),
    "no-bytes.json.gz": File(b"", "empty", packed=b""),
    "records-null.json.gz": File(b'{"Records":null}', "quarantined", (), (Letter("no-records"),)),
    "empty-object.json.gz": File(b"{}", "quarantined", (), (Letter("no-records"),)),
    "utf-16.json": File(
        b"",
        "quarantined",
        (),
        (Letter("not-json"),),
        packed=between("utf-16").decode().encode("utf-16"),
    ),
    ODD_KEY: File(between("odd-key"), stored=around("odd-key")),
    "odd.json.gz": File(
        between("odd", *(odd.text for odd in ODD.values())), stored=(*around("odd"), *ODD)
    ),
    "pretty.json.gz": File(
        json.dumps({"Records": [a_record("pretty-1"), a_record("pretty-2")]}, indent=2).encode(),
        stored=("pretty-1", "pretty-2"),
    ),
    "plain.json": File(between("plain"), packed=between("plain"), stored=around("plain")),
    "empty.json.gz": File(trail_text([]), "empty"),
    "digest.json.gz": File(b'{"digestStartTime":"2024-03-01T12:00:00Z"}', "deferred"),
    "nonsense.json.gz": File(
        b"", "quarantined", (), (Letter("not-json"),), packed=b"\xfe" + BYTES.randbytes(2_000)
    ),
    "cut-short.json": File(
        b"",
        "partial",
        ("before-the-cut",),
        (Letter("cut-short", CUT),),
        packed=b'{"Records":[' + record("before-the-cut") + b"," + CUT,
    ),
    "not-a-trail-file.json.gz": File(NOT_OURS, "quarantined", (), (Letter("not-a-trail-file"),)),
    "no-records.json.gz": File(b'{"Records":7}', "quarantined", (), (Letter("no-records"),)),
    "not-objects.json.gz": File(
        between("not-objects", b"null", b"7", b'"a string"'),
        "partial",
        around("not-objects"),
        (
            Letter("not-an-object", b"null"),
            Letter("not-an-object", b"7"),
            Letter("not-an-object", b'"a string"'),
        ),
    ),
    "broken-record.json.gz": File(
        between("broken-record", b'{"eventVersion": "1.01"ed}'),
        "partial",
        around("broken-record"),
        (Letter("not-json", b'{"eventVersion": "1.01"ed}'),),
    ),
    "sound.json.gz": File(trail_text(map(record, SOUND)), stored=tuple(SOUND)),
}
# Packed records that share little, so that what comes before the cut can be unpacked.
LONG = [record(f"packed-{n}", noise=BYTES.randbytes(300).hex()) for n in range(40)]
CUT_PACKED = "cut-short-packed.json.gz"

READ_BY = {
    "files.noticed": "split",
    "events.raw": "enrich",
    "events.enriched": "store",
    "files.ledger": "store",
    "dead-letters": "store",
}
POISON = (b"\xfe" + BYTES.randbytes(60), b"\x00" + (987_654).to_bytes(4, "big") + b"abc", b"")


@dataclass(frozen=True, slots=True)
class Run:
    """A run over the folder, with bad messages on every partition of every topic before it."""

    installed: Installed
    ended: Ended
    bad: Mapping[str, list[Place]]
    events: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, Any]]
    letters: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    base = tmp_path_factory.mktemp("bad")
    first, folder = base / "first", base / "folder"
    first.mkdir()
    folder.mkdir()
    (first / "first.json.gz").write_bytes(
        trail_file([record(f"first-{number}") for number in range(SOUND_IDS)])
    )
    for name, file in FILES.items():
        (folder / name).write_bytes(file.body)
    (folder / CUT_PACKED).write_bytes(trail_file(LONG)[:-4_000])
    with installed(servers, base, **FEW_PARTITIONS) as own:
        assert 0 == own.run(first).code
        bad = {name: own.produce(name, _poison(own, name)) for name in READ_BY}
        ended = own.run(folder)
        yield Run(
            own,
            ended,
            bad,
            {hit["_id"]: hit for hit in own.hits()},
            own.files(),
            own.dead_letters(),
        )


def _poison(own: Installed, name: str) -> Iterator[tuple[int, bytes, bytes]]:
    for partition in own.partitions(name):
        for number, value in enumerate(POISON):
            yield partition, f"poison-{partition}-{number}".encode(), value


def test_nothing_restarts_and_the_exit_code_tells_of_dead_letters(run: Run) -> None:
    assert 0 == run.ended.result["restarts"], run.ended.logs
    assert 3 == run.ended.code
    assert "do not add up" not in run.ended.said


def test_the_run_counts_each_dead_letter(run: Run) -> None:
    # A letter about a message on dead-letters is shown in the index only: sent, it would be read
    # and refused again, for ever.
    sent = [each for each in run.letters if each.get("topic") != "opstrail.dead-letters.v1"]

    assert len(sent) == run.ended.result["deadLetters"]


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_its_state(run: Run, name: str) -> None:
    assert FILES[name].state == run.rows[name]["state"]


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.stored])
def test_the_records_of_a_file_are_stored(run: Run, name: str) -> None:
    wanted = {f"{ACCOUNT}/{event_id}" for event_id in FILES[name].stored}

    assert wanted == {
        identity
        for identity, hit in run.events.items()
        if hit["_source"]["opstrail"]["delivery"]["key"] == name
    }


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_is_stored_and_loses_nothing(run: Run, name: str) -> None:
    odd, hit = ODD[name], run.events[f"{ACCOUNT}/{name}"]
    ours = hit["_source"]["opstrail"]

    assert f"{run.installed.name}-events-v1-{odd.index}" == hit["_index"]
    assert odd.reduced == ours.get("reduced")
    assert dict(odd.ours) == {key: ours.get(key) for key in odd.ours}
    if "rawText" in ours:
        assert odd.text.decode() == ours["rawText"]
    else:
        assert json.loads(odd.text).items() <= hit["_source"].items()
    assert (odd.reduced is not None or "wrapped" in odd.ours) == ("rawText" in ours)


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.letters])
def test_a_dead_letter_names_file_and_byte_range(run: Run, name: str) -> None:
    file = FILES[name]
    text = file.text or file.body
    wanted = set()
    for letter in file.letters:
        start = None if letter.fragment is None else text.rindex(letter.fragment)
        end = None if start is None else start + len(letter.fragment or b"")
        wanted.add((letter.reason, start, end))

    found = [each for each in run.letters if each.get("key") == name]
    assert wanted == {
        (each["reason"], each.get("startByte"), each.get("endByte")) for each in found
    }
    for each in found:
        assert ("local", "split") == (each["bucket"], each["stage"])
        assert each["message"]
        if "startByte" in each:
            assert text[each["startByte"] : each["endByte"]].decode() == each["text"]


def test_what_comes_before_the_cut_of_a_packed_file_is_stored(run: Run) -> None:
    row = run.rows[CUT_PACKED]
    letters = [each for each in run.letters if each.get("key") == CUT_PACKED]
    stored = [identity for identity in run.events if "/packed-" in identity]

    assert "partial" == row["state"]
    assert 0 < row["records"] == len(stored) < len(LONG)
    assert {"cut-short"} == {each["reason"] for each in letters}
    # The last record, of which only a part came, and the file as a whole.
    assert [True, False] == sorted(("startByte" in each for each in letters), reverse=True)


@pytest.mark.parametrize("topic", READ_BY)
def test_a_bad_message_is_a_dead_letter_that_names_its_place(run: Run, topic: str) -> None:
    found = [each for each in run.letters if each.get("topic") == f"opstrail.{topic}.v1"]

    assert {place[1:] for place in run.bad[topic]} == {
        (each["partition"], each["offset"]) for each in found
    }
    assert len(run.bad[topic]) == len(found)
    assert {READ_BY[topic]} == {each["stage"] for each in found}
    assert {"undecodable"} == {each["reason"] for each in found}


def test_what_stands_before_and_after_bad_messages_passes(run: Run) -> None:
    wanted = {f"{ACCOUNT}/{event_id}" for file in FILES.values() for event_id in file.stored}
    wanted |= {f"{ACCOUNT}/first-{number}" for number in range(SOUND_IDS)}

    found = {identity for identity in run.events if "/packed-" not in identity}
    assert wanted == found
    enriched: dict[int, list[int]] = {}
    for message in run.installed.messages("events.enriched"):
        enriched.setdefault(message.partition, []).append(message.offset)
    for place in run.bad["events.enriched"]:
        offsets = enriched[place.partition]
        assert min(offsets) < place.offset < max(offsets)
