"""Where a reader is in a list, sealed (PURE).

A cursor holds the last position in the order, the point in time of OpenSearch that is read, and
when the question was asked first: `2h` ago is counted from then on every page. It is bound to the
question, the caller and their accounts; what is not ours does not open.
"""

import base64
import hashlib
import hmac
import zlib
from dataclasses import dataclass

import msgspec

from opstrail_history.refusals import BadCursor

_SEAL_BYTES = 16
LONGEST_CURSOR = 48_000  # the point in time names every index of the store
_MOST_UNPACKED = 1_000_000

Position = tuple[int | str | float | bool | None, ...]


class _Sealed(msgspec.Struct, array_like=True):
    binding: str
    after: list[int | str | float | bool | None]
    pit: str | None
    asked_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in an order, the point in time it is read at, and when it was asked first."""

    after: Position
    pit: str | None
    asked_ms: int = 0


def binding(*parts: str) -> str:
    """Return what a cursor is bound to: the question, who asks, their accounts, the order."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def sealed(cursor: Cursor, bound_to: str, key: bytes) -> str:
    """Return the cursor as text that stands in a link."""
    inner = msgspec.json.encode(_Sealed(bound_to, list(cursor.after), cursor.pit, cursor.asked_ms))
    packed = zlib.compress(inner, 9)
    return base64.urlsafe_b64encode(_seal(packed, key) + packed).rstrip(b"=").decode()


def opened(text: str, bound_to: str, key: bytes) -> Cursor:
    """Return the cursor of a text. Raises BadCursor where it is not ours, or not for this."""
    content = _unsealed(text, key)
    if not hmac.compare_digest(content.binding, bound_to):
        raise BadCursor("the cursor belongs to another question or caller: begin anew without it")
    return Cursor(tuple(content.after), content.pit, content.asked_ms)


def asked_ms_in(text: str, key: bytes) -> int:
    """Return when the question of a cursor was asked first. Raises BadCursor where it is not ours.

    It tells nothing else: whose cursor it is, `opened` finds out.
    """
    return _unsealed(text, key).asked_ms


def _unsealed(text: str, key: bytes) -> _Sealed:
    if len(text) > LONGEST_CURSOR:
        raise BadCursor("the cursor is too long to be one of ours")
    try:
        together = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadCursor("the cursor is not one of ours: begin anew without it") from error
    seal, packed = together[:_SEAL_BYTES], together[_SEAL_BYTES:]
    # Nothing of it is unpacked before the seal is found whole.
    if not hmac.compare_digest(seal, _seal(packed, key)):
        raise BadCursor(
            "the cursor is not one of ours, or from before the server's last start: begin anew"
        )
    inner = zlib.decompressobj().decompress(packed, _MOST_UNPACKED)
    return msgspec.json.decode(inner, type=_Sealed)


def _seal(packed: bytes, key: bytes) -> bytes:
    return hmac.new(key, packed, hashlib.sha256).digest()[:_SEAL_BYTES]
