"""Files of a folder, one file, and standard input."""

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from opstrail_ingest.fetched import ObjectUnavailable
from opstrail_ingest.folder_source import FolderSource, LeftOut, spooled_stdin
from opstrail_ingest.objects import LocalObjects, Spool
from opstrail_ingest.places import BadSource
from opstrail_runtime.errors import Unavailable
from opstrail_schemas.messages import FileNotice
from tests.support.discovering import NOW_MS
from tests.support.full_disk import full_disk
from tests.support.memory_kafka import StillPulse

SPOOL = Spool(folder=None, memory_bytes=4, most_bytes=1_000)


def found(source: Path) -> list[FileNotice | LeftOut]:
    return list(FolderSource(str(source)).notices(StillPulse(), now_ms=lambda: NOW_MS))


def notices(source: Path) -> list[FileNotice]:
    return [finding for finding in found(source) if isinstance(finding, FileNotice)]


def left_out(source: Path) -> dict[str, str]:
    return {
        Path(finding.path).name: finding.why
        for finding in found(source)
        if isinstance(finding, LeftOut)
    }


def a_file(path: Path, content: bytes = b"text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_notice_tells_where_a_file_is_and_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = a_file(tmp_path / "copy" / "AWSLogs" / "1" / "a.json.gz", b"bytes")
    os.utime(path, (1_600_000_000, 1_600_000_000))

    expected = FileNotice(
        bucket="local",
        key="AWSLogs/1/a.json.gz",
        e_tag=hashlib.sha256(b"bytes").hexdigest(),
        size=5,
        last_modified=1_600_000_000_000,
        local_path=str(path),
        source="folder",
        noticed_at=NOW_MS,
    )
    assert [expected] == found(tmp_path)


def test_every_regular_file_is_noticed_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a", "b/1.json.gz", "c/empty"):
        a_file(tmp_path / name, b"")

    assert ["a", "b/1.json.gz", "b/2.txt", "c/empty"] == [n.key for n in notices(tmp_path)]


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    path = a_file(tmp_path / "x" / "one.json")

    assert ["one.json"] == [notice.key for notice in notices(path)]


def test_what_is_no_file_to_read_is_left_out_and_reported(tmp_path: Path) -> None:
    a_file(tmp_path / ".DS_Store")
    a_file(tmp_path / ".git" / "config")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path)
    a_file(tmp_path / os.fsdecode(b"bad\xff"))

    expected = {
        ".DS_Store": "hidden",
        ".git": "hidden",
        "pipe": "special",
        "nowhere": "link",
        "circle": "link",
        "bad\\xff": "name",
    }
    assert (expected, []) == (left_out(tmp_path), notices(tmp_path))


def test_a_link_to_a_file_of_the_folder_is_followed(tmp_path: Path) -> None:
    target = a_file(tmp_path / "blobs" / "1")
    (tmp_path / "a.json").symlink_to(target)

    notice = notices(tmp_path)[0]

    assert ("a.json", str(target)) == (notice.key, notice.local_path)


def test_a_link_out_of_the_folder_is_left_out(tmp_path: Path) -> None:
    target = a_file(tmp_path / "elsewhere" / "blob")
    (tmp_path / "trails").mkdir()
    (tmp_path / "trails" / "a.json").symlink_to(target)

    assert {"a.json": "link"} == left_out(tmp_path / "trails")
    assert [str(target)] == [n.local_path for n in notices(tmp_path / "trails" / "a.json")]


def test_what_cannot_be_read_is_reported() -> None:
    # A file whose first byte nobody can read, not even root, for whom no rights count.
    assert {"mem": "unreadable"} == left_out(Path("/proc/self/mem"))


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource):
        FolderSource(str(tmp_path / "gone"))


def test_standard_input_is_kept_under_its_hash(tmp_path: Path) -> None:
    notice = spooled_stdin(io.BytesIO(b"text"), tmp_path, StillPulse(), now_ms=lambda: NOW_MS)

    digest = hashlib.sha256(b"text").hexdigest()
    assert (f"stdin/{digest}", "stream", 4) == (notice.key, notice.source, notice.size)
    assert {f"stdin-{digest}": b"text"} == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert str(tmp_path / f"stdin-{digest}") == notice.local_path


# ----------------------------------------------------------------------------------- read for split


def test_a_local_file_is_read_whole(tmp_path: Path) -> None:
    a_file(tmp_path / "a", b"longer than memory")
    notice = notices(tmp_path)[0]
    reader = LocalObjects([tmp_path], SPOOL)

    fetched = reader.fetch(notice, StillPulse())

    assert (b"longer than memory", 18) == (fetched.body.read(), fetched.size)
    assert notice.e_tag == fetched.e_tag == reader.e_tag(notice, StillPulse())
    fetched.close()


def unavailable(notice: FileNotice, *roots: Path) -> str:
    with pytest.raises(ObjectUnavailable) as refused:
        LocalObjects(roots, SPOOL).fetch(notice, StillPulse())
    assert notice.local_path is None or notice.local_path in refused.value.message
    return refused.value.reason


def test_a_file_that_went_or_changed_waits(tmp_path: Path) -> None:
    path = a_file(tmp_path / "a")
    notice = notices(tmp_path)[0]

    path.write_bytes(b"other")
    changed = unavailable(notice, tmp_path)
    path.unlink()
    gone = unavailable(notice, tmp_path)

    assert ("refused", "not-found") == (changed, gone)


def test_only_files_inside_the_allowed_folders_are_read(tmp_path: Path) -> None:
    a_file(tmp_path / "secret")
    (tmp_path / "trails").mkdir()
    (tmp_path / "trails" / "link").symlink_to(tmp_path / "secret")

    def a_notice(path: str) -> FileNotice:
        return FileNotice(bucket="local", key="k", local_path=path, source="folder", noticed_at=0)

    for path in ("secret", "trails/../secret", "trails/link"):
        assert "refused" == unavailable(a_notice(str(tmp_path / path)), tmp_path / "trails")
    assert "refused" == unavailable(a_notice(str(tmp_path / "secret")))
    assert "refused" == unavailable(a_notice("\0"), tmp_path)


def test_what_is_no_regular_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    a_file(tmp_path / "large", b"x" * 1_001)

    def a_notice(name: str) -> FileNotice:
        return FileNotice(
            bucket="local", key="k", local_path=str(tmp_path / name), source="folder", noticed_at=0
        )

    assert "refused" == unavailable(a_notice("pipe"), tmp_path)
    assert "refused" == unavailable(a_notice("large"), tmp_path)


class Failing(io.BytesIO):
    """A file whose disk fails."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    def fileno(self) -> int:
        return 0


def test_a_disk_that_fails_costs_its_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(tmp_path / "a")
    notice = notices(tmp_path)[0]
    monkeypatch.setattr(Path, "open", lambda *_: Failing())

    assert "refused" == unavailable(notice, tmp_path)
    with pytest.raises(ObjectUnavailable):
        LocalObjects([tmp_path], SPOOL).e_tag(notice, StillPulse())


def test_a_spool_without_room_is_waited_for(tmp_path: Path) -> None:
    a_file(tmp_path / "a", b"more than fits in memory")
    spool = Spool(folder=tmp_path, memory_bytes=4, most_bytes=1_000)

    with full_disk(), pytest.raises(Unavailable, match="spool"):
        LocalObjects([tmp_path], spool).fetch(notices(tmp_path)[0], StillPulse())
