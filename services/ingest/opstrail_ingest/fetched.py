"""What split reads: the seam between it and the stores that hold the objects."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice

PIECE_BYTES = 256 * 1024


class Digest(Protocol):
    """A hash that is being made."""

    def update(self, piece: bytes, /) -> None:
        """Add a piece."""


def pieces_of(file: BinaryIO, digest: Digest, beat: Callable[[], None]) -> Iterator[bytes]:
    """Read a file to its end, hashing it."""
    while piece := file.read(PIECE_BYTES):
        beat()
        digest.update(piece)
        yield piece


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object as it is stored, spooled whole before anything is done with it.

    `body` is seekable, stands at its start and never touches the network. `e_tag` is without
    quotes, the SHA-256 of the bytes for a local file; times are milliseconds.
    """

    body: BinaryIO
    size: int
    e_tag: str
    version_id: str | None = None
    last_modified: int | None = None

    def close(self) -> None:
        """Let go of the spooled bytes."""
        self.body.close()


class ObjectUnavailable(Exception):
    """This one object cannot be read now; others can: it waits among the dead letters.

    `reason` is a bounded code (not-found, access-denied, key-denied, cut-short, slow, refused,
    bucket-rests), `message` is for people. An endpoint that answers nobody is `Unavailable`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class ObjectReader(Protocol):
    """Reads objects from where a notice says they are."""

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Return the object, spooled; the caller closes it.

        It tries a few times within seconds and calls `pulse.beat` meanwhile. Raises
        ObjectUnavailable for this object, Unavailable where the whole store is away.
        """

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Return the object's ETag as of now, without reading it (HEAD). Raises like `fetch`."""
