"""A legal file that unpacks to a gigabyte: no service grows with it, and nothing is lost."""

import gzip
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, SERVICES, installed
from tests.support.records import ACCOUNT, a_record, record_text
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

MIB = 1024 * 1024
UNPACKED_BYTES = 1024 * MIB
RECORDS = 21_000
REPEATED = b"0123456789abcdef" * 3_200  # 51,200 bytes that pack to nothing


def test_a_file_that_unpacks_to_a_gigabyte_is_stored_in_bounded_memory(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    file = folder / "large.json.gz"
    unpacked_bytes = _write(file)
    assert unpacked_bytes > UNPACKED_BYTES
    assert file.stat().st_size < 50_000_000

    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        ended = own.run(folder)
        raw = Counter(message.key for message in own.messages("events.raw"))
        stored = own.stored()

    packed = f"{file.stat().st_size / 1e6:.0f} MB that unpack to {unpacked_bytes / 1e6:,.0f} MB"
    figure(f"{packed}, all stored", f"{ended.result['seconds']} s", "none set")
    for service in SERVICES:
        peak = f"{ended.peaks[service] / MIB:.0f} MiB"
        figure(f"{packed}, peak of {service}", peak, "under 300 MiB")
    wanted = {f"{ACCOUNT}/large-{number}".encode() for number in range(RECORDS)}
    assert dict.fromkeys(wanted, 1) == raw
    assert RECORDS == stored == ended.result["stored"]
    assert (0, 0, 0) == (ended.code, ended.result["deadLetters"], ended.result["restarts"])
    assert {} == {name: size for name, size in ended.peaks.items() if size >= 300 * MIB}


def _write(path: Path) -> int:
    """Write the file as a stream; return its size unpacked."""
    size = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        for piece in _pieces():
            size += packed.write(piece)
    return size


def _pieces() -> Iterator[bytes]:
    rng = random.Random(1)
    head, tail = record_text(
        a_record("large-NUMBER", requestParameters={"userData": "TEXT"})
    ).split(b"TEXT")
    yield b'{"Records":['
    for number in range(RECORDS):
        yield b"," if number else b""
        yield head.replace(b"NUMBER", str(number).encode())
        # Some of it does not repeat: a file that packs better than 200 to 1 is taken for a bomb.
        yield rng.randbytes(400).hex().encode()
        yield REPEATED
        yield tail
    yield b"]}"
