"""Foreign text cannot forge a log line or drive a terminal."""

import io
import json
import logging
import re
import sys

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from opstrail_runtime.log_text import printable, printable_trace, printable_values
from opstrail_runtime.serve import configure_logs
from opstrail_runtime.settings import TelemetrySettings

NASTY = "a\n2026 [error] forged\r\x1b[2J\x07\x7f\x9b31m\u2028\u202e\u2066\ud800b"
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def test_ordinary_text_stays_as_it_is() -> None:
    assert "Zürich 東京 😀 `x` \\n" == printable("Zürich 東京 😀 `x` \\n")


def test_each_unsafe_character_becomes_its_escape() -> None:
    assert "\\n\\r\\x1b\\x7f\\x9b\\u2028\\u202e\\ud800" == printable(
        "\n\r\x1b\x7f\x9b\u2028\u202e\ud800"
    )


@given(st.text())
def test_nothing_unsafe_is_left(text: str) -> None:
    assert not UNSAFE.search(printable(text))
    assert "\n" not in printable(text)


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    assert "a\n\tb\\x1b" == printable_trace("a\n\tb\x1b")


def test_values_are_made_safe_however_deep() -> None:
    class Odd:
        def __str__(self) -> str:
            return "o\x1b"

    assert {"k\\n": ["\\r", ("\\x00"), 1, None, True], "o": "o\\x1b"} == printable_values(
        {"k\n": ["\r", ("\x00"), 1, None, True], "o": Odd()}
    )


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_control_character_reaches_a_log_line(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    handlers = logging.getLogger().handlers[:]
    try:
        configure_logs(TelemetrySettings(log_format=form))
        log = structlog.get_logger("x")
        log.warning(NASTY, key=NASTY, deep={"a": [NASTY]})
        logging.getLogger("library").warning("%s", NASTY)
        try:
            raise ValueError(NASTY)
        except ValueError:
            log.exception("crashed")
    finally:
        logging.getLogger().handlers[:] = handlers
        structlog.reset_defaults()

    # The colours of a terminal are the renderer's own; a file gets none of them.
    text = re.sub("\x1b\\[[0-9;]*m", "", out.getvalue())
    assert not UNSAFE.search(text.replace("\t", ""))
    assert "\n2026 [error] forged" not in text.partition("Traceback")[0]
    if form == "json":
        assert 3 == len([json.loads(line) for line in text.splitlines()])
