"""Unpack an object as a stream, under a budget.

What is read: gzip of one or more members, gzip inside gzip, and text that is not packed at all.
Damage does not raise: what inflated before it is given out, and `Unpacked.damage` says where it
begins in the stored file. Only a file that unpacks to more than its budget is refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from opstrail_runtime.errors import InvalidRecord

MIB = 1024 * 1024
BLOCK_BYTES = MIB
KEPT_BYTES = 8 * MIB
DEEPEST = 3  # gzip inside gzip inside gzip
_MAGIC = b"\x1f\x8b"
_IsalError: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment] # wrong in its stubs
# Small steps cost nothing (measured) and lose little where the packed data breaks: an inflater
# that fails gives out nothing of the step it failed in.
_STEP_IN, _STEP_OUT = 4096, 64 * 1024


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a file may unpack to: `most_bytes`, and `most_ratio` times its size as stored.

    The ratio does not hold below `free_bytes`: a small file of much repetition is no bomb.
    """

    most_bytes: int = 4096 * MIB
    most_ratio: int = 200
    free_bytes: int = 64 * MIB

    def for_size(self, stored_bytes: int) -> int:
        """Return how many bytes an object of that size may unpack to."""
        return min(self.most_bytes, max(self.free_bytes, self.most_ratio * stored_bytes))


@dataclass(frozen=True, slots=True)
class Damage:
    """The packed data is broken: `reason` is `cut-short`, `bad-checksum` or `damaged`."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file after its first reading. `sha256` and `size` are those of the unpacked bytes.

    `data` holds them where they are few, else `blocks` reads them again. `extra_data` tells of
    bytes after the first gzip member, which AWS's own validation treats as tampering.
    """

    body: BinaryIO
    meter: "_Meter"
    size: int
    sha256: str
    data: bytes | None
    damage: Damage | None
    extra_data: bool

    def blocks(self) -> Iterator[bytes]:
        """Give the unpacked bytes in order."""
        if self.data is not None:
            return iter((self.data,))
        return iter(_Stream(self.body, self.meter))


def unpack(
    body: BinaryIO, *, stored_bytes: int, budget: Budget, beat: Callable[[], None]
) -> Unpacked:
    """Read the object once. Raises InvalidRecord `unpacks-too-large`, before memory fills."""
    meter = _Meter(stored_bytes, budget.for_size(stored_bytes), beat)
    stream = _Stream(body, meter)
    kept: list[bytes] | None = []
    sha256 = hashlib.sha256()
    size = 0
    for block in stream:
        size += len(block)
        sha256.update(block)
        if kept is not None:
            kept.append(block)
            if size > KEPT_BYTES:
                kept = None
    return Unpacked(
        body=body,
        meter=meter,
        size=size,
        sha256=sha256.hexdigest(),
        data=None if kept is None else b"".join(kept),
        damage=stream.damage,
        extra_data=stream.extra_data,
    )


@dataclass(frozen=True, slots=True)
class _Meter:
    """Counts what every layer takes in and gives out: a layer may be large and hold nothing."""

    stored_bytes: int
    most_bytes: int
    beat: Callable[[], None]

    def counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for block in blocks:
            self.beat()
            size += len(block)
            if size > self.most_bytes:
                raise InvalidRecord(
                    f"the file unpacks to more than {self.most_bytes} bytes from "
                    f"{self.stored_bytes}; if it is genuine, raise the budget and retry",
                    reason="unpacks-too-large",
                )
            yield block


class _Stream:
    """The blocks of a file, unpacked as often as it is packed."""

    def __init__(self, body: BinaryIO, meter: _Meter) -> None:
        self._body = body
        self._meter = meter
        self._layers: list[_Layer] = []

    @property
    def damage(self) -> Damage | None:
        """The outermost damage: what lies inside is cut short by it."""
        return next((layer.damage for layer in self._layers if layer.damage), None)

    @property
    def extra_data(self) -> bool:
        return any(layer.extra_data for layer in self._layers)

    def __iter__(self) -> Iterator[bytes]:
        self._body.seek(0)
        blocks = self._meter.counted(iter(lambda: self._body.read(BLOCK_BYTES), b""))
        for _ in range(DEEPEST):
            head = next(blocks, b"")
            while len(head) < len(_MAGIC) and (more := next(blocks, b"")):
                head += more
            blocks = _chained(head, blocks)
            if not head.startswith(_MAGIC):
                break
            layer = _Layer(blocks)
            self._layers.append(layer)
            blocks = self._meter.counted(_gathered(iter(layer)))
        return blocks


def _chained(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from blocks


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces to blocks: what follows works best on them."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


class _Layer:
    """One layer of gzip. Iterate once; `damage` and `extra_data` hold afterwards.

    The members' heads and checksums are read here, not by the inflater, which would keep back the
    last piece of a member whose checksum is wrong.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._buffer = b""
        self._at = 0
        self._read = 0
        self.damage: Damage | None = None
        self.extra_data = False

    def __iter__(self) -> Iterator[bytes]:
        first = True
        while self._want(1):
            if not first:
                if self._buffer[self._at] == 0 and self._is_padding():
                    self._take(len(self._buffer))
                    continue
                self.extra_data = True
                if not (self._want(2) and self._buffer.startswith(_MAGIC, self._at)):
                    return  # not gzip any more: what came before is whole
            first = False
            if not self._skip_head():
                self.damage = self._broken("cut-short", "the gzip header ends early")
                return
            yield from self._inflated()
            if self.damage is not None:
                return

    def _is_padding(self) -> bool:
        return self._buffer.count(b"\0", self._at) == len(self._buffer) - self._at

    def _inflated(self) -> Iterator[bytes]:
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        checksum = size = 0
        while not inflater.eof:
            step = b""
            if inflater.needs_input:
                if not self._want(1):
                    what = f"the gzip data ends early, {size} bytes unpacked"
                    self.damage = self._broken("cut-short", what)
                    return
                step = self._take(_STEP_IN)
            try:
                piece = inflater.decompress(step, _STEP_OUT)
            except _IsalError as error:
                self.damage = self._broken("damaged", f"the gzip data is damaged ({error})")
                return
            checksum = isal_zlib.crc32(piece, checksum)
            size += len(piece)
            if piece:
                yield piece
        self._put_back(inflater.unused_data)
        if not self._want(8):
            self.damage = self._broken("cut-short", "the gzip data ends before its checksum")
            return
        trailer = self._take(8)
        said = int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")
        if said != (checksum, size & 0xFFFFFFFF):
            self.damage = self._broken("bad-checksum", "the gzip checksum or length is wrong")

    def _skip_head(self) -> bool:
        """Pass over a member's header (RFC 1952); False where it ends early."""
        if not self._want(10):
            return False
        flags = self._take(10)[3]
        if flags & 4:
            if not self._want(2):
                return False
            extra = int.from_bytes(self._take(2), "little")
            if not self._want(extra):
                return False
            self._take(extra)
        for flag in (8, 16):  # name, comment: up to a zero byte
            while flags & flag:
                if not self._want(1):
                    return False
                zero = self._buffer.find(b"\0", self._at)
                self._take((len(self._buffer) if zero < 0 else zero + 1) - self._at)
                if zero >= 0:
                    break
        if flags & 2:
            if not self._want(2):
                return False
            self._take(2)
        return True

    def _want(self, size: int) -> bool:
        while len(self._buffer) - self._at < size:
            block = next(self._blocks, b"")
            if not block:
                return False
            self._buffer = self._buffer[self._at :] + block
            self._at = 0
        return True

    def _take(self, size: int) -> bytes:
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        self._read += len(taken)
        return taken

    def _put_back(self, unused: bytes) -> None:
        self._at -= len(unused)
        self._read -= len(unused)

    def _broken(self, reason: str, what: str) -> Damage:
        return Damage(reason, f"{what}: byte {self._read} of the stored file")
