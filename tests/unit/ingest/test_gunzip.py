"""Unpacking: what is read, what is damage, what is refused."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_ingest.gunzip import KEPT_BYTES, Budget, Unpacked, unpack
from opstrail_runtime.errors import InvalidRecord

TEXT = b"".join(hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(3000))
PACKED = gzip.compress(TEXT, mtime=0)


def unpacked(stored: bytes, budget: Budget | None = None) -> Unpacked:
    return unpack(
        io.BytesIO(stored),
        stored_bytes=len(stored),
        budget=budget or Budget(),
        beat=lambda: None,
    )


def header_with_everything() -> bytes:
    """A gzip header with extra field, name, comment and header checksum."""
    extra = (5).to_bytes(2, "little") + b"extra"
    return b"\x1f\x8b\x08" + bytes([4 | 8 | 16 | 2]) + bytes(6) + extra + b"n\0c\0" + b"\0\0"


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        PACKED,
        gzip.compress(PACKED, mtime=0),
        gzip.compress(TEXT[:1000], mtime=0) + gzip.compress(TEXT[1000:], mtime=0),
        PACKED + bytes(600),
        PACKED + b"not gzip",
        header_with_everything() + PACKED[10:],
    ],
    ids=["plain", "gzip", "gzip of gzip", "members", "zeros", "garbage", "header"],
)
def test_all_bytes_are_read_and_hashed(stored: bytes) -> None:
    result = unpacked(stored)

    assert (result.data, result.damage) == (TEXT, None)
    assert (result.size, result.sha256) == (len(TEXT), hashlib.sha256(TEXT).hexdigest())


@pytest.mark.parametrize(
    ("stored", "extra"),
    [
        (PACKED, False),
        (PACKED + bytes(9), False),
        (PACKED + b"\x1f", True),
        (PACKED + b"no", True),
        (PACKED + PACKED, True),
    ],
)
def test_bytes_after_the_first_member_are_told(stored: bytes, *, extra: bool) -> None:
    assert unpacked(stored).extra_data is extra


def test_an_empty_file_is_empty() -> None:
    assert (unpacked(b"").size, unpacked(b"").data) == (0, b"")


def test_one_byte_is_no_gzip() -> None:
    assert unpacked(b"\x1f").data == b"\x1f"


@pytest.mark.parametrize(
    ("damage", "reason", "place"),
    [
        (lambda packed: packed[:-20], "cut-short", len(PACKED) - 20),
        (lambda packed: packed[:-3], "cut-short", len(PACKED) - 8),
        (lambda packed: packed[:-8] + bytes(8), "bad-checksum", len(PACKED)),
    ],
    ids=["in the data", "in the checksum", "checksum"],
)
def test_what_inflated_before_the_damage_is_given_out(
    damage: Callable[[bytes], bytes], reason: str, place: int
) -> None:
    result = unpacked(damage(PACKED))

    assert result.damage is not None
    assert (result.damage.reason, result.damage.message.split(": ")[1]) == (
        reason,
        f"byte {place} of the stored file",
    )
    assert len(result.data or b"") > len(TEXT) - 64 * 1024
    assert TEXT.startswith(result.data or b"-")


def test_broken_packing_costs_what_follows_it() -> None:
    packer = zlib.compressobj(wbits=31)
    sound = packer.compress(TEXT) + packer.flush(zlib.Z_SYNC_FLUSH)

    result = unpacked(sound + b"\x07" * 9)  # a block of a type that there is not

    assert result.damage is not None
    assert result.damage.reason == "damaged"
    assert len(TEXT) - 64 * 1024 <= result.size <= len(TEXT)


@pytest.mark.parametrize("size", range(1, len(header_with_everything()) + 1))
def test_a_header_that_ends_early_is_damage(size: int) -> None:
    result = unpacked(header_with_everything()[:size])

    assert (result.damage is not None) == (size > 1)


def test_a_large_file_is_read_again_in_blocks() -> None:
    text = TEXT * (KEPT_BYTES // len(TEXT) + 1)

    result = unpacked(gzip.compress(text, 1))

    assert result.data is None
    assert b"".join(result.blocks()) == text


@pytest.mark.parametrize(
    "budget", [Budget(most_bytes=100_000), Budget(most_ratio=2, free_bytes=100_000)]
)
def test_a_bomb_is_refused(budget: Budget) -> None:
    with pytest.raises(InvalidRecord, match="unpacks to more than") as refused:
        unpacked(gzip.compress(bytes(10**7)), budget)

    assert refused.value.reason == "unpacks-too-large"


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_file_of_nothing_but_empty_members_is_a_bomb_as_well(layers: int) -> None:
    stored = gzip.compress(b"", mtime=0) * 5000
    for _ in range(layers):
        stored = gzip.compress(stored, mtime=0)

    with pytest.raises(InvalidRecord, match="unpacks to more than"):
        unpacked(stored, Budget(most_bytes=99_999))


def test_what_holds_nothing_beats_while_it_is_read() -> None:
    members = gzip.compress(b"", mtime=0) * 200_000
    beats: list[None] = []

    result = unpack(
        io.BytesIO(gzip.compress(members, mtime=0)),
        stored_bytes=len(members),
        budget=Budget(),
        beat=lambda: beats.append(None),
    )

    assert (result.size, len(beats)) == (0, 1 + len(members) // 2**20 + 1)


def test_a_small_file_of_much_repetition_is_no_bomb() -> None:
    assert unpacked(gzip.compress(bytes(10**7))).size == 10**7


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_make_it_fail(text: bytes, place: int, value: int) -> None:
    stored = bytearray(gzip.compress(text))
    stored[place % len(stored)] = value

    unpacked(bytes(stored))


def test_layers_beyond_the_third_stay_packed() -> None:
    layers = PACKED
    for _ in range(3):
        layers = gzip.compress(layers)

    assert unpacked(layers).data == PACKED
