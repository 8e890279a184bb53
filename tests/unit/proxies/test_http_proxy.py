"""The HTTP fault proxy does to requests what it says."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.proxies.http_proxy import (
    Answer,
    Delay,
    Fault,
    Hang,
    HttpProxy,
    RefuseItems,
    ResetAfter,
    ResetBefore,
    Slow,
    Truncate,
    at_random,
    for_so_long,
)

REPLY = b"0123456789" * 100


class Server:
    """A server that remembers what it was asked; bulk requests get a verdict an item."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, body))
                reply = REPLY
                if "_bulk" in self.path:
                    actions = [line for line in body.splitlines() if b'"index"' in line]
                    items = [{"index": {"status": 201}} for _ in actions]
                    reply = json.dumps({"errors": False, "items": items}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply)

            do_GET = do_POST = do_HEAD = _any  # noqa: N815 - http.server's names

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[HttpProxy]:
    with HttpProxy(f"http://127.0.0.1:{server.http.server_port}/base").running() as running:
        yield running


def ask(proxy: HttpProxy, path: str = "/x", body: bytes | None = None) -> tuple[int, bytes]:
    at = urlsplit(proxy.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_without_faults_it_is_as_if_it_were_not_there(server: Server, proxy: HttpProxy) -> None:
    assert (200, REPLY) == ask(proxy, "/x?y=1", b"body")
    assert [("POST", "/x?y=1", b"body")] == server.asked
    assert proxy.url.endswith("/base")
    assert not proxy.counts


@pytest.mark.parametrize(
    ("fault", "reaches"), [(ResetBefore(), False), (ResetAfter(), True), (Hang(0.01), False)]
)
def test_a_reset_comes_before_or_after_the_server_has_acted(
    server: Server, proxy: HttpProxy, fault: Fault, *, reaches: bool
) -> None:
    proxy.faults = lambda _: fault

    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(proxy)

    assert reaches == bool(server.asked)
    assert {type(fault).__name__: 1} == proxy.counts


def test_a_reply_is_cut(server: Server, proxy: HttpProxy) -> None:
    proxy.faults = lambda _: Truncate(0.5)

    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(proxy)

    assert REPLY[:500] == cut.value.partial


def test_another_answer_comes_and_the_server_sees_nothing(server: Server, proxy: HttpProxy) -> None:
    proxy.faults = lambda _: Answer(503, b"{}")

    assert (503, b"{}") == ask(proxy)
    assert [] == server.asked


@pytest.mark.parametrize("fault", [Delay(0.05), Slow(20_000)])
def test_a_reply_that_is_late_or_slow_is_whole(
    server: Server, proxy: HttpProxy, fault: Fault
) -> None:
    proxy.faults = lambda _: fault
    began = time.monotonic()

    assert (200, REPLY) == ask(proxy)

    assert time.monotonic() - began >= 0.04


def test_some_items_of_a_bulk_request_are_refused_and_the_others_applied(
    server: Server, proxy: HttpProxy
) -> None:
    proxy.faults = lambda _: RefuseItems(0.5)
    lines = [b'{"index":{"_id":"%d"}}\n{"n":%d}\n' % (n, n) for n in range(20)]

    status, body = ask(proxy, "/_bulk", b"".join(lines))

    items = json.loads(body)["items"]
    refused = [n for n, item in enumerate(items) if item["index"]["status"] == 429]
    assert 200 == status
    assert 0 < len(refused) < 20
    applied = b"".join(line for n, line in enumerate(lines) if n not in refused)
    assert [("POST", "/_bulk", applied)] == server.asked


def test_a_server_that_is_away_is_a_reset(proxy: HttpProxy, server: Server) -> None:
    proxy.upstream = "http://127.0.0.1:1"

    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(proxy)


def test_faults_at_random_are_those_of_the_seed(proxy: HttpProxy) -> None:
    def of(seed: int) -> list[int]:
        faults = at_random([Answer(500)], share=0.5, seed=seed, only=lambda r: r.method == "GET")
        proxy.faults = faults
        return [ask(proxy)[0] for _ in range(12)]

    assert of(3) == of(3)
    assert {200, 500} == set(of(3))
    assert {200} == {ask(proxy, body=b"x")[0] for _ in range(5)}


def test_faults_for_some_time_end(proxy: HttpProxy) -> None:
    proxy.faults = for_so_long(Answer(503), 0.0)

    assert 200 == ask(proxy)[0]
