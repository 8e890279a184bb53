import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from opstrail_local import fetch
from opstrail_local.artifacts import Artifact
from opstrail_local.errors import HashMismatch, LocalServersError
from opstrail_local.fetch import Fetcher


class Counted:
    """A watcher that adds up."""

    def __init__(self) -> None:
        self.here = 0
        self.names: list[str] = []

    def advanced(self, n_bytes: int) -> None:
        self.here += n_bytes

    def finished(self, name: str) -> None:
        self.names.append(name)


class Repository:
    """A Maven repository on loopback that can break off or be ill."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures: list[str] = []
        self.asked: list[str | None] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def has(self, content: bytes, *, recorded: bytes | None = None) -> Artifact:
        sha = hashlib.sha256(content if recorded is None else recorded).hexdigest()
        artifact = Artifact("kafka", f"org.x:part{len(self.files)}:1:jar", len(content), sha)
        self.files["/" + artifact.path] = content
        return artifact

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        content = self.files.get(request.path)
        failure = self.failures.pop(0) if self.failures else ""
        if content is None or failure == "ill":
            request.send_error(503 if content is not None else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        end = len(content) // 2 if failure == "cut" else len(content)
        request.wfile.write(content[start:end])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def repository() -> Iterator[Repository]:
    repository = Repository()
    yield repository
    repository.close()


def test_every_file_is_there_in_the_end_and_every_byte_was_counted(
    repository: Repository, tmp_path: Path
) -> None:
    files = [repository.has(bytes([n]) * 1000 * n) for n in range(1, 9)]
    watcher = Counted()

    Fetcher([repository.url], watcher).fetch(files, tmp_path)

    assert {f.file_name for f in files} == {p.name for p in tmp_path.iterdir()}
    assert sum(f.size for f in files) == watcher.here


def test_a_broken_transfer_goes_on_where_it_ended(repository: Repository, tmp_path: Path) -> None:
    content = b"0123456789abcdef" * 65_536
    file = repository.has(content)
    repository.failures = ["ill", "cut"]

    Fetcher([repository.url], Counted()).fetch([file], tmp_path)

    assert content == (tmp_path / file.file_name).read_bytes()
    assert [None, None, f"bytes={len(content) // 2}-"] == repository.asked


def test_a_file_that_is_not_the_recorded_one_is_named_and_thrown_away(
    repository: Repository, tmp_path: Path
) -> None:
    file = repository.has(b"evil", recorded=b"good")

    with pytest.raises(HashMismatch) as refusal:
        Fetcher([repository.url], Counted()).fetch([file], tmp_path)

    message = str(refusal.value)
    assert file.path in message
    assert hashlib.sha256(b"good").hexdigest() in message
    assert hashlib.sha256(b"evil").hexdigest() in message
    assert "Run the command again" in message
    assert [] == list(tmp_path.iterdir())


def test_a_damaged_piece_of_an_earlier_run_is_fetched_anew(
    repository: Repository, tmp_path: Path
) -> None:
    file = repository.has(b"0123456789")
    (tmp_path / f"{file.file_name}.part").write_bytes(b"xxx")

    Fetcher([repository.url], Counted()).fetch([file], tmp_path)

    assert b"0123456789" == (tmp_path / file.file_name).read_bytes()


def test_the_next_repository_is_asked_where_the_first_has_not_got_it(
    repository: Repository, tmp_path: Path
) -> None:
    file = repository.has(b"here")

    Fetcher([f"{repository.url}/empty", repository.url], Counted()).fetch([file], tmp_path)

    assert b"here" == (tmp_path / file.file_name).read_bytes()


def test_a_file_that_nobody_has_is_named(repository: Repository, tmp_path: Path) -> None:
    file = Artifact("kafka", "org.x:missing:1:jar", 1, "ab" * 32)

    with pytest.raises(LocalServersError, match=r"missing-1\.jar is in none of the repositories"):
        Fetcher([repository.url], Counted()).fetch([file], tmp_path)


def test_a_repository_that_stays_away_ends_with_advice(
    repository: Repository, tmp_path: Path
) -> None:
    file = repository.has(b"here")
    repository.failures = ["ill"] * 5

    with pytest.raises(LocalServersError, match="OPSTRAIL_MAVEN_URL"):
        Fetcher([repository.url], Counted()).fetch([file], tmp_path)
