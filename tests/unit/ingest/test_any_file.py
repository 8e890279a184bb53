"""Whatever a file holds, split ends it: with events, dead letters and a row, never with a crash."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import KEY, a_record, record_text, trail_text
from tests.support.splitting import Objects, Split, a_notice

RECORDS = [
    a_record(
        number,
        requestParameters={"password": "x", "ü": '{"secret":{"a":"b"}}', "n": [1, None]},
    )
    for number in range(4)
]
SOUND = [
    trail_text(RECORDS),
    record_text(RECORDS),
    b"\n".join(map(record_text, RECORDS)),
    gzip.compress(trail_text(RECORDS), mtime=0),
    gzip.compress(gzip.compress(trail_text(RECORDS), mtime=0), mtime=0),
]
JUNK = st.binary(max_size=6) | st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xfc", b"\\ud800", b"},{", b'"password":"',
     b'"Records":[', b"null", b"NaN", b"-1e999", b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"\0"]
)  # fmt: skip


def split_of(stored: bytes) -> Split:
    split = Split(Objects({KEY: stored}))
    split.run(a_notice())
    return split


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(SOUND))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 1, 2, 50]))
        text = text[:start] + draw(JUNK) + text[end:]
    return text


@given(mutations())
def test_any_mutation_of_a_sound_file_ends_in_events_and_dead_letters(stored: bytes) -> None:
    split = split_of(stored)

    row = split.rows[-1]
    assert (row.state in {"done", "empty", "deferred"}) == (not split.letters)
    assert (row.records, row.dead_letters) == (
        len(split.events),
        sum(
            letter is not None and letter.start_byte is not None
            for letter in split.letters.values()
        ),
    )


@pytest.mark.parametrize("stored", [b'{"M\xfcller":1}', b'[{"M\xfcller":1}]'])
def test_names_that_are_not_utf_8_are_no_trail_file(stored: bytes) -> None:
    assert split_of(stored).rows[-1].reason == "not-a-trail-file"


@pytest.mark.parametrize("depth", [497, 499, 900, 980, 995, 1000, 3000, 20_000])
def test_depth_is_no_hindrance(depth: int) -> None:
    deep = b'{"a":' * depth + b'{"password":"x"}' + b"}" * depth
    record = b'{"eventName":"a","eventSource":"b","x":' + deep + b"}"

    split = split_of(b'{"Records":[' + record + b"]}")

    assert (depth < 499) == len(split.events)
    assert len(split.events) + len(split.letters) == 1
