"""A schema registry in this process: the part of Confluent's REST interface that opstrail asks."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

NOT_FOUND = 404
Answer = tuple[int, object]


class FakeRegistry:
    """Schemas in memory. `bare_404` answers like Karapace, `broken` answers instead of all else."""

    def __init__(self, *, path: str = "", bare_404: bool = False) -> None:
        self.path = path
        self.bare_404 = bare_404
        self.broken: tuple[int, bytes] | None = None
        self.texts: list[str] = []
        self.subjects: dict[str, list[int]] = {}
        self.compatibility: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Return status and body."""
        self.asked.append(f"{method} {path}")
        path = path.partition("?")[0]
        if not path.startswith(self.path):
            return self._not_found(NOT_FOUND, "HTTP 404 Not Found")
        path = path.removeprefix(self.path)
        if found := re.fullmatch(r"/schemas/ids/(\d+)", path):
            number = int(found[1])
            if not 0 < number <= len(self.texts):
                return self._not_found(40403, "Schema not found")
            return 200, {"schema": self.texts[number - 1]}
        if found := re.fullmatch(r"/config/(.+)", path):
            self.compatibility[unquote(found[1])] = body["compatibility"]
            return 200, body
        if found := re.fullmatch(r"/subjects/([^/]+)(/versions)?", path):
            return self._subject(unquote(found[1]), body["schema"], register=bool(found[2]))
        return self._not_found(NOT_FOUND, "HTTP 404 Not Found")

    def _subject(self, subject: str, text: str, *, register: bool) -> Answer:
        if register:
            if text not in self.texts:
                self.texts.append(text)
            number = self.texts.index(text) + 1
            numbers = self.subjects.setdefault(subject, [])
            if number not in numbers:
                numbers.append(number)
            return 200, {"id": number}
        if subject not in self.subjects:
            return self._not_found(40401, "Subject not found")
        number = self.texts.index(text) + 1 if text in self.texts else 0
        if number not in self.subjects[subject]:
            return self._not_found(40403, "Schema not found")
        version = self.subjects[subject].index(number) + 1
        return 200, {"subject": subject, "id": number, "version": version, "schema": text}

    def _not_found(self, code: int, message: str) -> Answer:
        return NOT_FOUND, message if self.bare_404 else {"error_code": code, "message": message}


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve the registry on a free port of this machine; its `url` says where."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, said = registry.answer(self.command, self.path, body)
            content = json.dumps(said).encode()
            if registry.broken is not None:
                status, content = registry.broken
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}{registry.path}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
