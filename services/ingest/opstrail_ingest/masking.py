"""Replace secrets in the text of a record, and nothing else (PURE).

Found are values under key names that say they are secret, at any depth and also in JSON inside a
string (five times over); values of pairs that are named so or say that they are secure (OpsWorks'
environment variables); PEM blocks; STS session tokens wherever they stand; and what patterns of an
installation's own match. Only a value's bytes are replaced. Markers that AWS put there itself stay,
and so do true, false, null and what is empty.

What is JSON stays JSON, since nothing is replaced beyond the string that it stands in. No text
makes it fail, and time grows with the length of the text and nothing else.
"""

import json
import re
from collections.abc import Iterable

import msgspec

MARK = "***masked by opstrail***"
MOST_PATHS, LONGEST_PATH = 1000, 1000  # what is told of one record; all of it is masked
# Compared without case, `_`, `-` and `.`. A key that ends with "password" counts as well.
SECRET_KEYS = (
    "password", "secret", "access_token", "auth_token", "authorization", "client_secret",
    "custom_json", "id_token", "passphrase", "passwd", "private_key", "pwd", "refresh_token",
    "secret_access_key", "secret_binary", "secret_key", "secret_string", "security_token",
    "session_token", "ssh_key", "ssh_private_key", "token_code", "web_identity_token",
    "x_amz_security_token",
)  # fmt: skip
_DEEPEST = 5  # JSON in a string in JSON in a string ...
_AWS_MARKERS = re.compile(
    rb"\*+|\*+ ?redacted ?\*+|redacted|hidden_due_to_security_reasons|hidden|"
    rb"<?sensitivedataremoved>?|\*+masked by opstrail\*+",
    re.IGNORECASE,
)
# Both end at the latest where their string does, and never within an escape.
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[^\"\\-]++|-(?!----END )|\\.)*+"
    rb"(?:-----END [A-Z0-9 ]{0,40}-{0,5})?",
    re.DOTALL,
)
_STS_TOKEN = re.compile(
    rb"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz|AQoEXAMPLE)(?:[\w+/=%.-]|\\++[/u]){20,}+"
)
_COMMON_STEMS = (b"passw", b"secret", b"token", b"\\u00")  # the last: a name may be spelled so
_SECURE = (b"secure", b"noecho", b"sensitive")
_STS_STEMS = (b"IQoJb3", b"YXdz", b"AQoEX")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_STRING = re.compile(rb'"((?:[^"\\]++|\\.)*+)"?', re.DOTALL)
# What makes a string the name of what follows: {"x": 1}, or {"name": "x", "value": 1}.
_NAMES = re.compile(rb'\s*+(?::|,\s*+"(?:parameter)?value"\s*+:)\s*+', re.IGNORECASE)
_COLON = re.compile(rb"\s*+:")
_LITERAL = re.compile(rb"-?[0-9][0-9.eE+-]*")
_NESTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
# An object without objects in it, and its members: a name beside a value is found in those.
_MEMBER = re.compile(
    rb'"((?:[^"\\]++|\\.)*+)"\s*+:\s*+("(?:[^"\\]++|\\.)*+"|[^\s",:{}\[\]]++)', re.DOTALL
)
_FLAT = re.compile(rb"\{\s*+(?:" + _MEMBER.pattern + rb"\s*+,?\s*+)++\}", re.DOTALL)
_PAIR_NAMES = (b"key", b"name", b"parameterkey", b"parametername", b"variable")
_PAIR_VALUES = (b"value", b"parametervalue")
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_LOOSE_VALUE = re.compile(
    rb"(\\*+[\"'])(?P<quoted>.*?)(?:\1|\Z)|[\[{]|"
    rb"(?P<bare>[^\s,}\]\\\"'{\[][^,}\]\\\"']*)",
    re.DOTALL,
)
_LOOSE_PAIR = re.compile(rb"value[\\\"']*+\s*+[:=]\s*+", re.IGNORECASE)
_STAYS = (b"*", b"true", b"false", b"null")
_BACKSLASH = ord("\\")
_MARK = MARK.encode()
_Span = tuple[int, int, bytes]  # start, end, and what takes its place


class Masking:
    """Masks with the built-in list of key names and those that are added.

    `patterns` are regular expressions: what they match inside a value that is text is replaced.
    """

    def __init__(self, more_keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(re.compile(pattern.encode()) for pattern in patterns)
        names = [
            [word.lower().encode() for word in _WORD.findall(key)]
            for key in (*SECRET_KEYS, *more_keys)
        ]
        self._keys = frozenset(b"".join(words) for words in names if words)
        # A word a text must hold to be looked at more closely: one search in C for each of them.
        stems = list(_COMMON_STEMS)
        for words in names:
            if words and not any(stem in word for stem in stems for word in words):
                stems.append(max(words, key=len))
        self._stems = tuple(stems)
        loose = b"|".join(sorted((_spelled(key) for key in self._keys), reverse=True))
        # For text that is broken: the quotes around a name or a value may be missing.
        self._loose = re.compile(
            rb"(?:password|\b(?:" + loose + rb"))[\\\"']*+\s*+[:=]\s*+", re.IGNORECASE
        )

    def mask(self, text: bytes) -> tuple[bytes, list[str]]:
        """Return the record's text with secrets replaced, and the paths of what was replaced."""
        masked = self._masked(text)
        return (text, []) if masked is text else (masked, _paths(masked))

    def mask_fragment(self, text: bytes) -> bytes:
        """Mask text that need not be JSON. It replaces too much rather than too little."""
        text = self._masked(text)
        for pattern in self._patterns:
            text = _replaced(text, [(*m.span(), _MARK) for m in pattern.finditer(text) if m[0]])
        text = _loosely_masked(text, self._loose)
        secure = any(word in text.lower() for word in _SECURE)
        return _loosely_masked(text, _LOOSE_PAIR) if secure else text

    def _masked(self, text: bytes) -> bytes:
        spans = self._spans(text, 0)
        if self._patterns:
            spans += self._by_patterns(text)
        if b"-----BEGIN" in text:
            spans += [(*found.span(), _MARK) for found in _PEM.finditer(text)]
        if any(stem in text for stem in _STS_STEMS):
            spans += [(*found.span(), _MARK) for found in _STS_TOKEN.finditer(text)]
        return _replaced(text, spans)

    def _spans(self, text: bytes, level: int) -> list[_Span]:
        """Return the secret values of a text that is inside so many strings, in order."""
        spans: list[_Span] = []
        lowered = text.lower()
        stems = self._stems
        pairs = b"value" in lowered
        if pairs:
            stems += _SECURE
        ahead = {stem: lowered.find(stem) for stem in stems if stem in lowered}
        if not ahead:
            return spans
        done = 0
        while ahead:
            stem = min(ahead, key=ahead.__getitem__)
            at = ahead.pop(stem)
            if at >= done:
                done = self._looked_at(text, done, at, level, spans)
            if (at := lowered.find(stem, max(done, at + 1))) >= 0:
                ahead[stem] = at
        if pairs:
            self._add_pairs(text, level, spans)
        return spans

    def _looked_at(self, text: bytes, done: int, at: int, level: int, spans: list[_Span]) -> int:
        """Look at the string around `at`; return the end of what is done with."""
        found = _STRING.match(text, _opening_quote(text, done, at))
        if found is None:
            return at + 1
        body, (start, end) = found[1], found.span(1)
        plain = _ESCAPE.sub(_unescaped, body) if b"\\" in body else body
        names = _NAMES.match(text, found.end())
        if names is not None and self._is_secret(plain):
            return _add_value(text, names.end(), level, spans)
        if b'"' in plain:  # it may hold JSON
            if level == _DEEPEST:
                spans.append((start, end, _MARK))
            else:
                spans += _moved(self._spans(plain, level + 1), body, start)
        return found.end()

    def _add_pairs(self, text: bytes, level: int, spans: list[_Span]) -> None:
        """Add values beside a name that is secret, or beside a word that says so."""
        for flat in _FLAT.finditer(text):
            members = {member[1].lower(): member for member in _MEMBER.finditer(text, *flat.span())}
            named = any(
                self._is_secret(members[name][2].strip(b'"'))
                for name in _PAIR_NAMES
                if name in members
            )
            if named or any(members[n][2].lower() == b"true" for n in _SECURE if n in members):
                for name in _PAIR_VALUES:
                    if name in members:
                        _add_value(text, members[name].start(2), level, spans)

    def _by_patterns(self, text: bytes) -> list[_Span]:
        """Return what patterns match inside texts that are values."""
        spans: list[_Span] = []
        for string in _STRING.finditer(text):
            if string[1] and _COLON.match(text, string.end()) is None:
                plain = _ESCAPE.sub(_unescaped, string[1])
                found = [
                    (_char(plain, match.start(), -1), _char(plain, match.end(), 1), _MARK)
                    for pattern in self._patterns
                    for match in pattern.finditer(plain)
                    if match[0]
                ]
                spans += _moved(found, string[1], string.start(1))
        return spans

    def _is_secret(self, name: bytes) -> bool:
        name = name.lower().translate(None, b"_-.")
        return name in self._keys or name.endswith(b"password")


def _spelled(key: bytes) -> bytes:
    """Return a pattern for a name however it is written: secret_key, secretKey, secret-key."""
    return b"[_.-]?".join(re.escape(key[i : i + 1]) for i in range(len(key)))


def _loosely_masked(text: bytes, names: re.Pattern[bytes]) -> bytes:
    """Mask what follows a name, whatever it is and wherever it ends."""
    spans: list[_Span] = []
    at = 0
    while (name := names.search(text, at)) is not None:
        at = name.end()
        value = _LOOSE_VALUE.match(text, at)
        if value is None:
            continue
        at, kind = value.end(), value.lastgroup
        if kind is None:
            at = _container_end(text, value.start())
            spans.append((value.start(), at, _MARK))
        elif value[kind] and not value[kind].startswith(_STAYS):
            spans.append((*value.span(kind), _MARK))
    return _replaced(text, spans)


def _char(text: bytes, at: int, step: int) -> int:
    """Return the nearest place that is not within a character of UTF-8."""
    while 0 < at < len(text) and text[at] & 0xC0 == 0x80:  # noqa: PLR2004 - a byte that goes on
        at += step
    return at


def _opening_quote(text: bytes, done: int, at: int) -> int:
    """Return the nearest quote before `at` that is not escaped; else the end of the text."""
    while (quote := text.rfind(b'"', done, at)) >= 0:
        at = quote
        while at > done and text[at - 1] == _BACKSLASH:
            at -= 1
        if (quote - at) % 2 == 0:
            return quote
    return len(text)


def _add_value(text: bytes, at: int, level: int, spans: list[_Span]) -> int:
    """Add the value that begins there, unless it stays; return its end."""
    string = _STRING.match(text, at)
    if string is not None:
        if string[1] and not _AWS_MARKERS.fullmatch(string[1]):
            spans.append((*string.span(1), _MARK))
        return string.end()
    end, least = at, 1
    if text.startswith((b"{", b"["), at):
        end, least = _container_end(text, at), 3
    elif (literal := _LITERAL.match(text, at)) is not None:
        end = literal.end()
    if end - at >= least:
        quote = b"\\" * (2**level - 1) + b'"'
        spans.append((at, end, quote + _MARK + quote))
    return end


def _container_end(text: bytes, at: int) -> int:
    depth = 0
    for found in _NESTED.finditer(text, at):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """Return the one byte that an escape stands for: `?` where it is not ASCII."""
    if escape[2] is not None:
        return _ESCAPED.get(escape[2], escape[2])
    code = int(escape[1], 16)
    return bytes([code]) if code < 128 else b"?"  # noqa: PLR2004 - ASCII


def _moved(spans: list[_Span], body: bytes, start: int) -> list[_Span]:
    """Return spans of the unescaped body of a string as places in the text that it stands in."""
    if not spans:
        return []
    first, spans = start, _apart(spans)
    places = [place for span in spans for place in span[:2]]
    moved: list[int] = []
    for escape in _ESCAPE.finditer(body):  # `start` grows: what stands for one byte may be six
        while len(moved) < len(places) and places[len(moved)] + start <= escape.start() + first:
            moved.append(start + places[len(moved)])
        start += len(escape[0]) - 1
    moved += [start + place for place in places[len(moved) :]]
    return list(zip(moved[::2], moved[1::2], [mark for _, _, mark in spans], strict=True))


def _apart(spans: list[_Span]) -> list[_Span]:
    """Return spans in order, those that overlap as one."""
    apart: list[_Span] = []
    for start, end, mark in sorted(spans):
        if apart and start < apart[-1][1]:
            first = apart.pop()
            apart.append((first[0], max(first[1], end), first[2]))
        else:
            apart.append((start, end, mark))
    return apart


def _replaced(text: bytes, spans: list[_Span]) -> bytes:
    if not spans:
        return text
    pieces: list[bytes] = []
    done = 0
    for start, end, mark in _apart(spans):
        pieces += (text[done:start], mark)
        done = end
    pieces.append(text[done:])
    return b"".join(pieces)


def _paths(masked: bytes) -> list[str]:
    """Return the paths of values that hold the mark, in order."""
    try:
        record = msgspec.json.decode(masked)
    except (ValueError, RecursionError):
        try:
            record = json.loads(masked.decode("utf-8", "replace"), parse_int=str)
        except (ValueError, RecursionError):
            return []
    paths: list[str] = []
    ahead: list[tuple[_Way, object]] = [((), record)]
    while ahead and len(paths) < MOST_PATHS:
        way, value = ahead.pop()
        if isinstance(value, str) and MARK in value:
            paths.append(_path(way))
        elif isinstance(value, dict):
            ahead += [((way, key), member) for key, member in reversed(value.items())]
        elif isinstance(value, list):
            ahead += [((way, at), value[at]) for at in reversed(range(len(value)))]
    return paths


_Way = tuple[()] | tuple["_Way", str | int]  # from the value back to the root


def _path(way: "_Way") -> str:
    parts: list[str] = []
    while way:
        way, part = way
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    path = "".join(reversed(parts)).removeprefix(".")
    return path[:LONGEST_PATH].encode("utf-8", "replace").decode()
