"""Find where the elements of a list end, in JSON that may be broken (PURE).

It knows strings and brackets, nothing else, and takes its input in pieces. Two things can never
be in sound JSON, and mark the place where the next record begins although the brackets say
otherwise:

- `,{` directly inside an object: a brace is missing before it;
- a string that ends with `},{` and is followed by more text than punctuation: a quote is missing
  before it, so inside and outside are swapped. (Inside a string a quote is always escaped: the
  text of a sound record cannot forge this.)
"""

import re

_BRACKETS_OR_QUOTE = re.compile(rb'["{}\[\]]')
_AT_THE_TOP = re.compile(rb'["{}\[\],]')
_BRACKET = re.compile(rb"[{}\[\]]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SWAPPED = re.compile(rb"\}(\s*,\s*\{\s*)\Z")
_COMMA_BEFORE = re.compile(rb"\s*,\s*\Z")
_AFTER_A_STRING = frozenset(b",:]} \t\r\n")
DEEPEST = 10_000
LOOK_BACK_BYTES = 256  # white space of a pretty-printed file
_QUOTE, _OPEN, _CLOSE, _LIST, _LIST_END = b'"{}[]'
_PARTNER = {_CLOSE: _OPEN, _LIST_END: _LIST}


def deeper_than(text: bytes, levels: int) -> bool:
    """Return whether brackets of sound JSON are nested deeper than that, in strings none."""
    if text.count(b"{") + text.count(b"[") <= levels:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text)):
        depth += 1 if bracket[0] in b"{[" else -1
        if depth > levels:
            return True
    return False


class ElementScan:
    """Where one element ends. Feed it from the element's first byte on until it has ended.

    An object ends where its braces are even, or where it is deeper than anything that can be read.
    Anything else (a number, garbage) ends before the next comma, opening brace or closing bracket
    of the list.
    """

    def __init__(self) -> None:
        self._open = bytearray()
        self._in_string = False
        self._began = False

    def feed(self, text: bytes, at: int, *, last: bool) -> tuple[int, bool]:
        """Read on from `at`. Return where it stands, and whether the element ended there.

        What stands before that place is done with. `last`: nothing follows this text.
        """
        while True:
            if self._in_string:
                at, ended = self._string(text, at, last=last)
                if ended or self._in_string:
                    return at, ended
            pattern = _BRACKETS_OR_QUOTE if self._open else _AT_THE_TOP
            found = pattern.search(text, at)
            if found is None:
                self._began = self._began or at < len(text)
                return len(text), False
            start, token = found.start(), text[found.start()]
            self._began = self._began or start > at
            at = start + 1
            if token == _QUOTE:
                self._in_string = self._began = True
            elif token in (_OPEN, _LIST):
                end = self._end_before(text, start, token)
                if end is not None:
                    return end, True
                self._open.append(token)
                self._began = True
            elif token in _PARTNER:
                if self._close(token):
                    return (at if token == _CLOSE else start), True
            else:  # a comma at the top
                return start, True

    def _string(self, text: bytes, at: int, *, last: bool) -> tuple[int, bool]:
        end = _end_of_string(text, at)
        if end == len(text) or text[end] != _QUOTE or (end + 1 == len(text) and not last):
            # Unfinished: wait before a lone backslash, and before a quote whose sequel is unknown.
            return end, False
        after = end + 1
        if after < len(text) and text[after] not in _AFTER_A_STRING:
            swapped = _SWAPPED.search(text, max(0, end - LOOK_BACK_BYTES), end)
            if swapped is not None:
                return swapped.start(1), True
        self._in_string = False
        return after, False

    def _end_before(self, text: bytes, start: int, token: int) -> int | None:
        """Return where the element ended, if it did so before this opening bracket."""
        if len(self._open) == DEEPEST or (token == _OPEN and not self._open and self._began):
            return start
        if token == _OPEN and self._open and self._open[-1] == _OPEN:
            comma = _COMMA_BEFORE.search(text, max(0, start - LOOK_BACK_BYTES), start)
            return None if comma is None else comma.start()
        return None

    def _close(self, token: int) -> bool:
        """Close the innermost partner, taking what was left open inside it. Whether it all ends."""
        partner = self._open.rfind(_PARTNER[token])
        if partner < 0:
            if token == _LIST_END:
                return True  # the list's own end
            self._began = True
            return False  # a brace too many
        del self._open[partner:]
        return token == _CLOSE and not self._open


class MemberScan:
    """Looks for members of one name in an object. Feed it from behind the object's brace on."""

    def __init__(self, name: bytes) -> None:
        self._member = re.compile(rb'"' + re.escape(name) + rb'"\s*:\s*(.)', re.DOTALL)
        self._longest_name = len(name) + LOOK_BACK_BYTES
        self._depth = 0
        self._in_string = False

    def feed(self, text: bytes, at: int, *, last: bool) -> tuple[int, bytes]:
        """Read on from `at`. Return where it stands, and what is there.

        That is the first byte of the member's value; `}` behind the object's end; or nothing, where
        the text ends before either. `last`: nothing follows this text.
        """
        while True:
            if self._in_string:
                at = _end_of_string(text, at)
                if at == len(text) or text[at] != _QUOTE:
                    return at, b""
                at, self._in_string = at + 1, False
            found = _BRACKETS_OR_QUOTE.search(text, at)
            if found is None:
                return len(text), b""
            at, token = found.end(), text[found.start()]
            if token == _QUOTE:
                if self._depth == 0:
                    if not last and len(text) - at < self._longest_name:
                        return at - 1, b""  # what follows tells whether it is the name
                    if (member := self._member.match(text, at - 1)) is not None:
                        return member.start(1), member[1]
                self._in_string = True
            elif token in (_OPEN, _LIST):
                self._depth += 1
            elif self._depth:
                self._depth -= 1
            elif token == _CLOSE:
                return at, b"}"


def _end_of_string(text: bytes, at: int) -> int:
    body = _IN_STRING.match(text, at)
    return at if body is None else body.end()  # it matches always, the empty text too
