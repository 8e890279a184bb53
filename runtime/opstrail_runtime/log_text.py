r"""Foreign text made safe for a log line (PURE).

Control characters, marks that turn the direction of text, and separators of lines could forge lines
or drive a terminal: each becomes its escape, `\x1b` or `\u202e`. Everything else stays as it is.
"""

import re
import unicodedata
from collections.abc import Mapping

_KEPT_IN_TRACES = frozenset("\n\t")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})
_PLAIN = re.compile(r"[ -~]*")


def printable(text: str, *, keep: frozenset[str] = frozenset()) -> str:
    r"""Return the text with unsafe characters escaped.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        each
        if each in keep or unicodedata.category(each) not in _UNSAFE
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def printable_trace(text: str) -> str:
    """Return a traceback made safe: its own lines stay lines."""
    return printable(text, keep=_KEPT_IN_TRACES)


def printable_values(value: object) -> object:
    """Return a value of a log line with all text in it made safe, however deep."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_values(key): printable_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [printable_values(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return printable(str(value))
