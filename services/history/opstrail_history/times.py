"""Times as people write them, to milliseconds since the epoch (PURE). All are UTC.

`now`, `2h` (ago; s, m, h, d, w), `today`, `yesterday`, `2024-01`, `2024-01-15`,
`2024-01-15T10:30`, with seconds, with `Z` or an offset, or 13 digits of milliseconds.
"""

import re
from datetime import UTC, datetime, timedelta

from opstrail_history.refusals import BadQuery

_AGO = re.compile(r"(\d{1,7})\s*(s|m|h|d|w)(?:\s*ago)?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MILLISECONDS = re.compile(r"\d{12,14}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMS = "2h, yesterday, 2024-01-15, 2024-01-15T10:30Z, or milliseconds since 1970"


def since(text: str, *, now_ms: int) -> int:
    """Return the first millisecond of what the text says. Raises BadQuery."""
    return _span(text, now_ms, "since")[0]


def until(text: str, *, now_ms: int) -> int:
    """Return the first millisecond after it: `until 2024-01-15` holds that whole day.

    Raises BadQuery.
    """
    return _span(text, now_ms, "until")[1]


def iso(time_ms: int) -> str:
    """Return the time as `2024-01-15T10:30:00Z`, with milliseconds where there are some."""
    try:
        time = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return str(time_ms)
    text = time.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def milliseconds(time: datetime) -> int:
    """Return a time as milliseconds since the epoch; one without a zone is UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _span(text: str, now_ms: int, field: str) -> tuple[int, int]:
    """Return begin and end of what is meant: a day, a month, else one instant."""
    word = text.strip().lower()
    if word == "now":
        return now_ms, now_ms
    if word in {"today", "yesterday"}:
        midnight = now_ms - now_ms % 86_400_000
        begin = midnight if word == "today" else midnight - 86_400_000
        return begin, begin + 86_400_000
    if found := _AGO.fullmatch(word):
        instant = max(0, now_ms - int(found[1]) * _SECONDS[found[2]] * 1000)
        return instant, instant
    if _MILLISECONDS.fullmatch(word):
        return int(word), int(word)
    try:
        return _dated(word.upper())
    except (ValueError, OverflowError) as error:
        shown = text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004
        raise BadQuery(f"{field}: `{shown}` is no time; write {FORMS}", field=field) from error


def _dated(word: str) -> tuple[int, int]:
    if _MONTH.fullmatch(word):
        begin = datetime.fromisoformat(f"{word}-01").replace(tzinfo=UTC)
        end = (begin + timedelta(days=31)).replace(day=1)
        return milliseconds(begin), milliseconds(end)
    time = datetime.fromisoformat(word)
    begin_ms = milliseconds(time)
    return begin_ms, begin_ms + (86_400_000 if _DAY.fullmatch(word) else 0)
