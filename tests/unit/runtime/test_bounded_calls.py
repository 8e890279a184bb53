"""Calls with a bound: what they return, what they raise, and those that never end."""

import threading

import pytest

from opstrail_runtime.bounded_calls import BoundedCalls, StillRunning


def test_a_call_returns_and_raises_as_if_it_were_made_here() -> None:
    calls = BoundedCalls("test")

    assert 3 == calls(lambda: 1 + 2, within_s=60)
    with pytest.raises(ZeroDivisionError):
        calls(lambda: 1 // 0, within_s=60)
    with pytest.raises(TimeoutError, match="its own"):
        calls(lambda: _raise(TimeoutError("its own")), within_s=60)


def _raise(error: Exception) -> None:
    raise error


def test_a_call_that_does_not_return_is_left_alone_and_others_go_on() -> None:
    calls, never = BoundedCalls("test"), threading.Event()
    try:
        with pytest.raises(StillRunning):
            calls(never.wait, within_s=0.01)

        assert "next" == calls(lambda: "next", within_s=60)
    finally:
        never.set()


def test_calls_share_a_thread() -> None:
    calls = BoundedCalls("test")

    assert calls(threading.get_ident, within_s=60) == calls(threading.get_ident, within_s=60)


def test_a_closed_one_begins_anew() -> None:
    calls = BoundedCalls("test")
    calls(lambda: None, within_s=60)
    calls.close()

    assert 1 == calls(lambda: 1, within_s=60)
