"""Replace secrets in the text of a record, and nothing else (PURE).

Found are values under key names that say they are secret, at any depth and also in JSON that is
escaped inside a string; values of pairs that are named so or say that they are secure (OpsWorks'
environment variables); PEM blocks; STS session tokens wherever they stand; and what patterns of an
installation's own match. Only a value's bytes are replaced. Markers that AWS put there itself stay,
and so do true, false and null.
"""

import json
import re
from collections.abc import Iterable, Iterator

import msgspec

MARK = "***masked by opstrail***"
# Compared without case, `_`, `-` and `.`. A key that ends with "password" counts as well.
SECRET_KEYS = (
    "password", "secret", "access_token", "auth_token", "authorization", "client_secret",
    "custom_json", "id_token", "passphrase", "passwd", "private_key", "pwd", "refresh_token",
    "secret_access_key", "secret_binary", "secret_key", "secret_string", "security_token",
    "session_token", "ssh_key", "ssh_private_key", "token_code", "web_identity_token",
    "x_amz_security_token",
)  # fmt: skip
_LONGEST_KEY = 80
_AWS_MARKERS = re.compile(
    rb'"(?:\**|\*+ ?redacted ?\*+|redacted|hidden_due_to_security_reasons|hidden|'
    rb'<?sensitivedataremoved>?|\*+masked by opstrail\*+)"',
    re.IGNORECASE,
)
_PEM = re.compile(
    rb"-----BEGIN (?:[A-Z0-9 ]*)PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*KEY-----|(?=\")|\Z)",
    re.DOTALL,
)
_STS_TOKEN = re.compile(
    rb"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz|AQoEXAMPLE)[\w+/=%\\.-]{20,}"
)
_COMMON_STEMS = (b"passw", b"secret", b"token")
_STS_STEMS = (b"IQoJb3", b"YXdz", b"AQoEX")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_COLON = re.compile(rb"\s*:\s*")
_LITERAL = re.compile(rb"-?[0-9][0-9.eE+-]*")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NESTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
# An object without objects in it, and its members: a name beside a value is found in those.
_MEMBER = re.compile(
    rb'"((?:[^"\\]++|\\.)*+)"\s*:\s*("(?:[^"\\]++|\\.)*+"|[^\s",:{}\[\]]++)', re.DOTALL
)
_FLAT = re.compile(rb"\{\s*(?:" + _MEMBER.pattern + rb"\s*,?\s*)++\}", re.DOTALL)
_PAIR_NAMES = frozenset({b"key", b"name", b"parameterkey", b"parametername", b"variable"})
_PAIR_VALUES = frozenset({b"value", b"parametervalue"})
_SECURE = frozenset({b"secure", b"noecho", b"sensitive"})
_LOOSE_PAIR = re.compile(rb'[\\"\']*value[\\"\']*\s*[:=]\s*([\\"\']*[^,}\]\\"\']+)', re.IGNORECASE)
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
            rb"(?:[\w.-]*password|\b(?:" + loose + rb'))[\\"\']*\s*[:=]\s*'
            rb'([\\"\']*[^\s,}\]\\"\'{\[][^,}\]\\"\']*[\\"\']*)',
            re.IGNORECASE,
        )

    def mask(self, text: bytes) -> tuple[bytes, list[str]]:
        """Return the record's text with secrets replaced, and the paths of what was replaced."""
        masked = self._masked(text)
        return (text, []) if masked is text else (masked, _paths(masked))

    def mask_fragment(self, text: bytes) -> bytes:
        """Mask text that need not be JSON. It replaces too much rather than too little."""
        masked = self._masked(text)
        for pattern in self._patterns:
            masked = pattern.sub(_MARK, masked)
        if any(word in masked.lower() for word in _SECURE):
            masked = _replaced(
                masked,
                [
                    (*found.span(1), _MARK)
                    for found in _LOOSE_PAIR.finditer(masked)
                    if not found[1].lstrip(b"\\\"'").startswith(b"*")
                ],
            )
        spans = [
            (*found.span(1), _MARK)
            for found in self._loose.finditer(masked)
            if not found[1].lstrip(b"\\\"'").startswith((b"*", b"true", b"false", b"null"))
        ]
        return _replaced(masked, spans)

    def _masked(self, text: bytes) -> bytes:
        lowered = text.lower()
        spans = [
            span
            for stem in self._stems
            if stem in lowered
            for span in self._under_key(text, lowered, stem)
        ]
        if b'value"' in lowered:
            spans += self._in_pairs(text)
        if self._patterns:
            spans += self._by_patterns(text)
        if b"-----begin" in lowered:
            spans += [(*found.span(), _MARK) for found in _PEM.finditer(text)]
        if any(stem in text for stem in _STS_STEMS):
            spans += [(*found.span(), _MARK) for found in _STS_TOKEN.finditer(text)]
        return _replaced(text, spans)

    def _in_pairs(self, text: bytes) -> Iterator[_Span]:
        """Find values beside a name that is secret, or beside a word that says so."""
        for flat in _FLAT.finditer(text):
            members = {member[1].lower(): member for member in _MEMBER.finditer(text, *flat.span())}
            named = any(self._is_secret(members[n][2]) for n in _PAIR_NAMES & members.keys())
            secure = any(members[n][2].lower() == b"true" for n in _SECURE & members.keys())
            if named or secure:
                for name in _PAIR_VALUES & members.keys():
                    span = _value(text, members[name].start(2), 0)
                    if span is not None:
                        yield span

    def _is_secret(self, quoted: bytes) -> bool:
        name = quoted.strip(b'"').lower().translate(None, b"_-.")
        return name in self._keys or name.endswith(b"password")

    def _by_patterns(self, text: bytes) -> Iterator[_Span]:
        """Find what patterns match inside texts that are values."""
        for string in _STRING.finditer(text):
            if _COLON.match(text, string.end()) is None:
                for pattern in self._patterns:
                    for found in pattern.finditer(text, string.start() + 1, string.end() - 1):
                        if found[0]:
                            yield (*found.span(), _MARK)

    def _under_key(self, text: bytes, lowered: bytes, stem: bytes) -> Iterator[_Span]:
        at = -1
        while (at := lowered.find(stem, at + 1)) >= 0:
            begin = lowered.rfind(b'"', max(0, at - _LONGEST_KEY), at)
            end = lowered.find(b'"', at, at + _LONGEST_KEY)
            if begin < 0 or end < 0:
                continue
            key = lowered[begin + 1 : end]
            escape = len(key) - len(key := key.rstrip(b"\\"))
            key = key.translate(None, b"_-.")
            if key in self._keys or key.endswith(b"password"):
                colon = _COLON.match(text, end + 1)
                if colon is not None:
                    span = _value(text, colon.end(), escape)
                    if span is not None:
                        yield span


def _spelled(key: bytes) -> bytes:
    """Return a pattern for a name however it is written: secret_key, secretKey, secret-key."""
    return b"[_.-]?".join(re.escape(key[i : i + 1]) for i in range(len(key)))


def _value(text: bytes, at: int, escape: int) -> _Span | None:
    """Return where the value that begins there stands, and what takes its place; None: it stays.

    `escape` is the number of backslashes before each quote: JSON inside a string.
    """
    quote = b"\\" * escape + b'"'
    mark = quote + _MARK + quote
    if escape and text.startswith(quote, at):
        end = re.compile(rb"(?<!\\)" + re.escape(quote)).search(text, at + len(quote))
        return at, len(text) if end is None else end.end(), mark
    opening = text[at : at + 1]
    if opening == b'"' and not escape:
        found = _STRING.match(text, at)
        if found is None or found[0] == b'""' or _AWS_MARKERS.fullmatch(found[0]):
            return None
        return at, found.end(), mark
    if opening in (b"{", b"[") and not escape:
        depth = 0
        for found in _NESTED.finditer(text, at):
            depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(found[0], 0)
            if depth == 0:
                return None if found.end() == at + 2 else (at, found.end(), mark)
        return at, len(text), mark
    literal = _LITERAL.match(text, at)
    return None if literal is None else (at, literal.end(), mark)


def _replaced(text: bytes, spans: list[_Span]) -> bytes:
    """Put the marks in place; of spans that overlap the first and longest one counts."""
    if not spans:
        return text
    pieces: list[bytes] = []
    done = 0
    for start, end, mark in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= done:
            pieces += (text[done:start], mark)
            done = end
    pieces.append(text[done:])
    return b"".join(pieces)


def _paths(masked: bytes) -> list[str]:
    """Return the paths of all values that hold the mark."""
    try:
        record = msgspec.json.decode(masked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            record = json.loads(masked.decode("utf-8", "replace"), parse_int=str)
        except (ValueError, RecursionError):
            return []
    try:
        # A key may be half of a surrogate pair, which cannot be written.
        return [path.encode("utf-8", "replace").decode() for path in _marked(record, "")]
    except RecursionError:
        return []


def _marked(value: object, path: str) -> Iterator[str]:
    if isinstance(value, str):
        if MARK in value:
            yield path
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _marked(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from _marked(member, f"{path}[{place}]")
