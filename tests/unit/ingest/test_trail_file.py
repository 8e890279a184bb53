"""Splitting: what is a record, what is a fragment, what is refused; the fast path's oracle."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrail_ingest import trail_file
from opstrail_ingest.brace_scan import ElementScan
from opstrail_ingest.trail_file import Broken, Deferred, Element, Item, json_fault, split
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.topics import LARGEST_RECORD_BYTES
from tests.support.records import a_record, record_text, trail_text

MANUAL_SAMPLE = b'{"eventVersion": "1.01"ed, "eventName": "CreateLayer"}'
NASTY = {"policy": '{"a":[{"b":"},{"}],"eventVersion":"1"},{"eventVersion":"', "list": [{"x": 1}]}
RECORDS = [a_record(number, requestParameters=NASTY) for number in range(40)]


def blocks(text: bytes, size: int) -> Iterator[bytes]:
    return iter([text[at : at + size] for at in range(0, len(text), size)])


def items(text: bytes, block_bytes: int = 1 << 20) -> list[Item]:
    return list(split(blocks(text, block_bytes)))


def elements(found: Sequence[Item]) -> list[bytes]:
    return [item.text for item in found if isinstance(item, Element)]


def broken(found: Sequence[Item]) -> list[Broken]:
    return [item for item in found if isinstance(item, Broken)]


def reasons(text: bytes) -> list[str]:
    return [fragment.reason for fragment in broken(items(text))]


PRETTY = json.dumps({"Records": RECORDS}, indent=2).encode()


@pytest.mark.parametrize("block_bytes", [1 << 20, 97])
@pytest.mark.parametrize(
    "text",
    [
        trail_text(RECORDS),
        PRETTY,
        b"\xef\xbb\xbf" + trail_text(RECORDS),
        b" \n" + trail_text(RECORDS) + b"\n ",
        record_text(RECORDS),
        b"\n".join(map(record_text, RECORDS)),
        b'{"v":{"Records":[1]},"Records":[' + trail_text(RECORDS)[12:-1] + b',"w":[{}]}',
        trail_text(RECORDS[:10]) + trail_text(RECORDS[10:]),
        b'{"Records":'
        + record_text(RECORDS[:9])
        + b',"Records":'
        + record_text(RECORDS[9:])
        + b"}",
        trail_text(RECORDS)[:-2] + b",]}",
        trail_text([]) + b"\n" + trail_text(RECORDS),
    ],
    ids=[
        "trail file",
        "pretty",
        "byte order mark",
        "white space",
        "bare list",
        "lines",
        "Records is not first",
        "two files in one",
        "Records twice",
        "trailing comma",
        "after an empty one",
    ],
)
def test_every_record_is_found_with_its_place(text: bytes, block_bytes: int) -> None:
    found = items(text, block_bytes)

    assert [json.loads(element) for element in elements(found)] == RECORDS
    assert broken(found) == []
    for number, item in enumerate(found):
        assert isinstance(item, Element)
        assert (item.record_index, text[item.start : item.end]) == (number, item.text)


@pytest.mark.parametrize("text", [b"", b" \n", trail_text([]), b"[]", b"\xef\xbb\xbf"])
def test_a_file_without_records_gives_nothing(text: bytes) -> None:
    assert items(text) == []


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "ed": lambda text: text.replace(b'"1.08",', b'"1.08"ed,'),
    "closing quote": lambda text: text.replace(b'"DescribeStacks"', b'"DescribeStacks'),
    "opening quote": lambda text: text.replace(b'"DescribeStacks"', b'DescribeStacks"'),
    "closing brace": lambda text: text[:-1],
    "inner brace": lambda text: text.replace(b'{"x":1}', b'{"x":1'),
    "inner bracket": lambda text: text.replace(b'{"x":1}]', b'{"x":1}'),
    "outer bracket": lambda text: text.replace(b'[{"x":1}]', b'{"x":1}]'),
    "opening brace": lambda text: text[1:],
    "colon": lambda text: text.replace(b'"eventName":', b'"eventName"'),
    "comma": lambda text: text.replace(b'",', b'"', 1),
    "NaN": lambda text: text[:-1] + b',"x":NaN}',
    "control": lambda text: text.replace(b"DescribeStacks", b"Describe\0Stacks"),
    "null": lambda _: b"null",
    "number": lambda _: b"17",
    "string": lambda _: b'"text"',
    "list": lambda _: b"[[1,2],{}]",
}


@pytest.mark.parametrize("place", [0, 17, 39])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_record_costs_nothing_but_itself(damage: str, place: int) -> None:
    texts = [record_text(record) for record in RECORDS]
    texts[place] = DAMAGES[damage](texts[place])
    text = trail_text(texts)

    for block_bytes in (1 << 20, 1009):
        found = items(text, block_bytes)

        (fragment,) = broken(found)
        assert elements(found) == [*texts[:place], *texts[place + 1 :]]
        assert fragment.text == text[fragment.start : fragment.end] == texts[place]
        assert fragment.record_index == place


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_record_costs_nothing_but_itself_whatever_its_first_name(
    damage: str, place: int
) -> None:
    """Names in the order of the alphabet, as jq -S and exports write them."""
    records = [
        dict(sorted((record | ({"additionalEventData": {}} if number % 3 else {})).items()))
        for number, record in enumerate(RECORDS[:10])
    ]
    texts = [record_text(record) for record in records]
    texts[place] = DAMAGES[damage](texts[place])

    found = items(trail_text(texts))

    assert [fragment.text for fragment in broken(found)] == [texts[place]]
    assert elements(found) == [*texts[:place], *texts[place + 1 :]]


def test_first_names_that_nobody_knows_are_learnt() -> None:
    texts = [b'{"%s":1}' % name for name in (b"a", b"a", b"b", b"b")]

    found = items(b'{"Records":[' + b",".join([*texts, b'{"b":"x}', *texts]) + b"]}")

    assert elements(found) == [*texts, *texts]


def test_thousands_of_fragments_take_no_time() -> None:
    """A look through four megabytes for each of them would be minutes: the test would time out."""
    text = trail_text([b"x"] * 2**16 + [RECORDS[0], b"[" * 2**20 + b"}" * 2**20, b" " * 2**23])

    assert elements(items(text)) == [record_text(RECORDS[0])]


def test_what_is_deeper_than_anything_ends() -> None:
    assert ElementScan().feed(b"[" * 20_000, 0, last=False) == (10_000, True)


def test_the_manuals_own_sample_gives_one_record_and_one_fragment() -> None:
    found = items(trail_text([RECORDS[0], MANUAL_SAMPLE]))

    assert elements(found) == [record_text(RECORDS[0])]
    assert [(fragment.reason, fragment.text) for fragment in broken(found)] == [
        ("not-json", MANUAL_SAMPLE)
    ]


def test_a_single_record_with_a_key_that_is_no_utf_8_is_a_record() -> None:
    text = record_text(a_record(odd=1)).replace(b'"odd"', b'"od\xa1"')

    assert [text] == [item.text for item in split(iter([text])) if isinstance(item, Element)]


def test_what_follows_damage_is_marked_as_salvaged() -> None:
    found = items(trail_text([RECORDS[0], MANUAL_SAMPLE, RECORDS[1]]))

    assert [item.salvaged for item in found if isinstance(item, Element)] == [False, True]


@pytest.mark.parametrize("block_bytes", [1 << 20, 997])
def test_a_file_cut_anywhere_keeps_its_complete_records(block_bytes: int) -> None:
    text = trail_text(RECORDS[:3])
    ends = [item.end for item in items(text) if isinstance(item, Element)]

    for size in range(len('{"Records":[') + 1, len(text) - 1):
        found = items(text[:size], block_bytes)

        assert len(elements(found)) == sum(end <= size for end in ends)
        (fragment,) = broken(found)
        # Inside a record it may look as if the file went on to its end.
        looks_whole = text[:size].endswith(b"]}")
        assert fragment.reason == "cut-short" or looks_whole
        assert fragment.end == size or looks_whole


def test_bytes_after_the_document_are_a_fragment() -> None:
    text = trail_text(RECORDS[:2]) + b"garbage"

    for block_bytes in (1 << 20, 5):
        (fragment,) = broken(items(text, block_bytes))
        assert (fragment.reason, fragment.text[:1]) == ("trailing-data", b"g")
        assert text[fragment.start : fragment.end] == b"garbage"


@pytest.mark.parametrize("tail", [b',"x":"', b',"x":[1', b""])
def test_a_document_that_does_not_end_is_cut_short(tail: bytes) -> None:
    assert reasons(trail_text(RECORDS[:2])[:-1] + tail) == ["cut-short"]


def test_a_second_records_that_is_no_list_is_a_fragment() -> None:
    assert reasons(trail_text(RECORDS[:2])[:-1] + b',"Records":7}') == ["no-list"]
    assert reasons(trail_text(RECORDS[:2])[:-1] + b',"Records":null}') == []


def test_a_record_too_large_is_a_fragment_with_its_hash() -> None:
    large = record_text(a_record("large", requestParameters="x" * (2 * LARGEST_RECORD_BYTES)))
    text = trail_text([RECORDS[0], large, RECORDS[1]])

    for block_bytes in (len(text), 100_003):
        found = items(text, block_bytes)
        (fragment,) = broken(found)
        assert (fragment.reason, text[fragment.start : fragment.end]) == ("too-large", large)
        assert large.startswith(fragment.text)
        assert elements(found) == [record_text(RECORDS[0]), record_text(RECORDS[1])]


def test_a_record_too_large_and_cut_short_is_a_fragment() -> None:
    text = b'{"Records":[{"a":"' + b"x" * (3 * LARGEST_RECORD_BYTES)

    assert [len(fragment.text) for fragment in broken(items(text, 65_536))] == [
        trail_file.HEAD_BYTES
    ]


@pytest.mark.parametrize("size", [LARGEST_RECORD_BYTES - 1, LARGEST_RECORD_BYTES])
def test_a_record_of_the_largest_size_is_a_record(size: int) -> None:
    record = record_text(a_record("l", errorMessage=""))
    record = record.replace(b'"errorMessage":"', b'"errorMessage":"' + b"x" * (size - len(record)))

    assert elements(items(trail_text([record]), 100_003)) == [record]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"plain text", "not-json"),
        (b"\x00\x01", "not-json"),
        ("{}".encode("utf-16"), "not-json"),
        (b"{}", "no-records"),
        (b'{"Records":null}', "no-records"),
        (b'{"Records":{}}', "no-records"),
        (b'{"Records":"x","Records":', "not-json"),
        (b'{"a":1}', "not-a-trail-file"),
        (b'{"a":1}\n{"a":2}\n{"a":3}', "not-a-trail-file"),
        (b'{"a":1', "cut-short"),
        (b'{"a" 1}', "not-json"),
        (b"[1,2]", "not-a-trail-file"),
        (b'[{"a":1}]', "not-a-trail-file"),
        (b"[INFO] a line of a log", "not-a-trail-file"),
        (b'{"a":"\\ud800"}', "not-a-trail-file"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_whole(text: bytes, reason: str) -> None:
    if text == b'{"Records":"x","Records":':
        reason = "cut-short"
    with pytest.raises(InvalidRecord) as refused:
        items(text)

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("text", "category"),
    [
        (b'{"digestStartTime":"2024-03-01T12:00:00Z","logFiles":[]}', "digest"),
        (b'{"fileVersion":"1.0","configurationItems":[{"a":1}]}', "config"),
    ],
)
def test_other_known_documents_are_told_by_content(text: bytes, category: str) -> None:
    assert items(text) == [Deferred(category)]


def test_a_bare_insight_is_an_element() -> None:
    assert len(elements(items(b'{"eventVersion":"1.07","insightDetails":{}}'))) == 1


def test_a_broken_line_costs_nothing_but_itself() -> None:
    lines = [MANUAL_SAMPLE, record_text(RECORDS[0]), b'{"a":1}', record_text(RECORDS[1])]

    found = items(b"\n".join(lines))

    assert elements(found) == [record_text(RECORDS[0]), record_text(RECORDS[1])]
    assert [fragment.text for fragment in broken(found)] == [MANUAL_SAMPLE, b'{"a":1}']


def test_a_list_after_a_trail_file_is_judged_element_by_element() -> None:
    assert reasons(trail_text(RECORDS[:1]) + b"[17]") == ["not-an-object"]


def test_a_first_element_that_is_broken_does_not_refuse_a_bare_list() -> None:
    assert reasons(b"[" + MANUAL_SAMPLE + b"," + record_text(RECORDS[0]) + b"]") == ["not-json"]


@pytest.mark.parametrize(
    "text", [b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}"]
)
def test_odd_text_is_json(text: bytes) -> None:
    assert json_fault(text) is None
    assert elements(items(trail_text([text]))) == [text]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["},{", '"},{"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.builds(lambda value: {"eventVersion": "1", "v": value}, values), max_size=12)


def scanned_only(text: bytes, block_bytes: int) -> list[Item]:
    """The oracle: every element cut out by its braces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trail_file._Splitter, "_unit_end", lambda *_: None)
        return items(text, block_bytes)


@given(records, st.integers(20, 400), st.sampled_from([None, 2]))
def test_the_fast_path_finds_what_the_brace_scan_finds(
    found: list[object], block_bytes: int, indent: int | None
) -> None:
    text = json.dumps({"Records": found}, indent=indent, ensure_ascii=False).encode(
        "utf-8", "replace"
    )

    assert items(text) == scanned_only(text, block_bytes)
    assert len(items(text)) == len(found)


@settings(max_examples=300)
@given(
    st.binary(max_size=200) | st.text('{}[",:\\ aR\n').map(str.encode),
    st.integers(1, 60),
)
def test_no_bytes_make_it_fail_and_none_get_lost(noise: bytes, block_bytes: int) -> None:
    # A bracket could close the list and make what follows another member of the document.
    text = trail_text([RECORDS[0], noise.replace(b"]", b""), RECORDS[1]])

    found = [item for item in items(text, block_bytes) if not isinstance(item, Deferred)]

    between = "".join(text[one.end : two.start].decode() for one, two in pairwise(found))
    assert elements(found)[:1] == [record_text(RECORDS[0])]
    assert set(between) <= set(", \t\r\n]}")


def test_a_bracket_too_many_costs_nothing_but_itself() -> None:
    text = trail_text([RECORDS[0], b"]x", RECORDS[1]])

    assert [fragment.text for fragment in broken(items(text))] == [b"]", b"x"]
    assert len(elements(items(text))) == 2


def test_a_brace_too_many_in_a_member_does_not_end_the_search_for_records() -> None:
    text = b'{"a":[1}],"Records":' + record_text(RECORDS[:2]) + b"}"

    assert len(elements(items(text))) == 2


def test_megabytes_around_the_records_are_passed_over() -> None:
    space = b" " * (3 << 20)
    member = b'"comment":["' + b"x" * (6 << 20) + b'"]'
    trail = trail_text(RECORDS[:2])

    for text in (b"{" + member + b"," + trail[1:], trail[:-1] + b"," + member + b"}"):
        for block_bytes in (1 << 20, (1 << 20) + 7):
            found = items(space + text + space, block_bytes)
            assert (len(elements(found)), broken(found)) == (2, [])
    assert items(b'{"Records":[' + space + b"]}", 1 << 20) == []


def test_a_single_document_may_be_larger_than_a_block() -> None:
    record = record_text(a_record(requestParameters="x" * (2 << 20)))

    assert elements(items(record, 1 << 20)) == [record]


def test_a_document_of_megabytes_without_records_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="of 6291464 bytes"):
        items(b'{"a":"' + b"x" * (6 << 20) + b'"}' + b"  ", 1 << 20)


def test_megabytes_of_garbage_after_the_records_are_one_fragment() -> None:
    text = trail_text(RECORDS[:2]) + b"x" * (3 << 20)

    (fragment,) = broken(items(text, 1 << 20))
    assert fragment.end - fragment.start == 3 << 20
