"""A live view that breaks off goes on; what cannot begin, or may no longer be seen, ends."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from opstrail_cli.history_client import Away, HistoryClient, Refused
from opstrail_history.settings import ClientSettings


def row(name: str) -> bytes:
    return f'event: row\nid: {name}\ndata: {{"id": "{name}"}}\n\n'.encode()


ENDED = b'event: ended\ndata: {"why": "out"}\n\n'


@contextmanager
def answering(
    monkeypatch: pytest.MonkeyPatch, *answers: int | bytes
) -> Iterator[tuple[HistoryClient, list[str | None]]]:
    """A client of a server that gives these answers in turn, cut off; and the ids it was told."""
    left, told = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.headers.get("Last-Event-ID"))
            answer = left.pop(0)
            if isinstance(answer, int):
                body = json.dumps({"message": "no"}).encode()
                self.send_response(answer)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer) + 1))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OPSTRAIL_HISTORY__URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield HistoryClient(ClientSettings()), told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_view_that_broke_off_goes_on_with_each_event_once(monkeypatch):
    waits: list[float] = []
    with answering(monkeypatch, row("a") + row("b"), 503, row("b") + row("c") + ENDED) as (
        client,
        told,
    ):
        messages = list(client.live([], wait=waits.append))

    assert ["a", "b", "c"] == [message["id"] for kind, message in messages if kind == "row"]
    assert ["row", "row", "away", "away", "row", "ended"] == [kind for kind, _ in messages]
    assert [None, "b", "b"] == told
    assert [3.0, 3.0] == waits


@pytest.mark.parametrize(("status", "error"), [(503, Away), (401, Refused)])
def test_a_view_that_cannot_begin_says_why(monkeypatch, status, error):
    with answering(monkeypatch, status) as (client, _), pytest.raises(error, match="no"):
        list(client.live([]))


def test_a_view_that_is_refused_later_ends(monkeypatch):
    with answering(monkeypatch, row("a"), 401) as (client, _), pytest.raises(Refused) as refused:
        list(client.live([], wait=lambda _s: None))
    assert not isinstance(refused.value, Away)
