"""Cursors: sealed, bound to a question and a caller."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_history.cursor import (
    LONGEST_CURSOR,
    Cursor,
    asked_ms_in,
    binding,
    opened,
    sealed,
)
from opstrail_history.refusals import BadCursor

KEY = b"k" * 32
HERE = binding("ada", "all", "events", "q")
AT = Cursor((1_700_000_000_000, "e-1", "111122223333"), "pit" * 200)


def test_a_cursor_comes_back_as_it_was():
    assert AT == opened(sealed(AT, HERE, KEY), HERE, KEY)
    assert Cursor((None, -(2**63), 1.5), None) == opened(
        sealed(Cursor((None, -(2**63), 1.5), None), HERE, KEY), HERE, KEY
    )


def test_a_cursor_tells_when_its_question_was_asked_first_to_nobody_but_us():
    text = sealed(Cursor((1,), None, 1_700_000_000_000), HERE, KEY)

    assert 1_700_000_000_000 == asked_ms_in(text, KEY)
    with pytest.raises(BadCursor):
        asked_ms_in(text, b"x" * 32)


def test_a_cursor_of_another_question_caller_or_server_is_refused():
    text = sealed(AT, HERE, KEY)

    with pytest.raises(BadCursor, match="another question or caller"):
        opened(text, binding("bob", "all", "events", "q"), KEY)
    with pytest.raises(BadCursor, match="not one of ours"):
        opened(text, HERE, b"x" * 32)


@pytest.mark.parametrize("text", ["", "x", "é", "a" * (LONGEST_CURSOR + 1), "AAAA" * 10, "a b"])
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(BadCursor):
        opened(text, HERE, KEY)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_cursor_that_was_changed_anywhere_is_refused(place, change):
    packed = bytearray(base64.urlsafe_b64decode(sealed(AT, HERE, KEY) + "=="))
    packed[place % len(packed)] ^= change
    text = base64.urlsafe_b64encode(bytes(packed)).rstrip(b"=").decode()

    with pytest.raises(BadCursor):
        opened(text, HERE, KEY)
