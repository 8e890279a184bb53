"""A proxy in front of an HTTP server that does to requests what networks and servers do.

In front of OpenSearch, the registry, and S3 + SQS. What happens to a request is asked of `faults`,
a function of the request; None lets it through. Every fault that happened is counted.
"""

import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, assert_never
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a RST
_PIECE = 256


@dataclass(frozen=True, slots=True)
class Delay:
    """The reply comes later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ResetBefore:
    """The connection is reset; the server never sees the request."""


@dataclass(frozen=True, slots=True)
class ResetAfter:
    """The server does what it is asked; the connection is reset before its reply."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing is sent on or back, for so long; then the connection is reset."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Truncate:
    """The server does what it is asked; so much of its reply comes, then the end."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """Another answer in place of the server's, which never sees the request."""

    status: int
    body: bytes = b'{"error":{"type":"proxy_exception","reason":"made up"},"status":0}'


@dataclass(frozen=True, slots=True)
class Slow:
    """The reply comes at so many bytes a second."""

    bytes_a_second: float


@dataclass(frozen=True, slots=True)
class RefuseItems:
    """Of a bulk request this share of items gets the status; the others are applied."""

    share: float
    status: int = 429


Fault = Delay | ResetBefore | ResetAfter | Hang | Truncate | Answer | Slow | RefuseItems


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


Faults = Callable[[Request], Fault | None]


def no_faults(_request: Request) -> Fault | None:
    """Let everything through."""
    return None


@dataclass(slots=True)
class HttpProxy:
    """Listens on a port of loopback, in threads. `faults` may be changed at any time."""

    upstream: str
    faults: Faults = no_faults
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)
    _server: ThreadingHTTPServer | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens, with the path of its upstream."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}{urlsplit(self.upstream).path}"

    @contextmanager
    def running(self) -> Iterator["HttpProxy"]:
        """Listen, and stop at the end."""
        rng = random.Random(self.seed)
        proxy = self

        class Handler(_Handler):
            owner = proxy
            dice = rng

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the proxy runs."""
        self._stopping.wait(seconds)

    def forward(self, request: Request) -> _Reply:
        """Ask the server. Raises OSError where it is away."""
        at = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=120)
        try:
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.lower() not in _HOP_BY_HOP
            }
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            return _Reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HttpProxy
    dice: random.Random

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:  # the client is gone: a server would not act on half a request
            self.close_connection = True
            return
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        fault = self.owner.faults(request)
        if fault is not None:
            self.owner.counts[type(fault).__name__] += 1
        try:
            self._act(request, fault)
        except (OSError, http.client.HTTPException):
            self._reset()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815 - http.server's names

    def _act(self, request: Request, fault: Fault | None) -> None:
        owner = self.owner
        match fault:
            case None:
                self._reply(owner.forward(request))
            case Delay(seconds):
                reply = owner.forward(request)
                owner.pause(seconds)
                self._reply(reply)
            case ResetBefore():
                self._reset()
            case ResetAfter():
                owner.forward(request)
                self._reset()
            case Hang(seconds):
                owner.pause(seconds)
                self._reset()
            case Truncate(share):
                self._reply(owner.forward(request), share=share)
            case Answer(status, body):
                self._reply(_Reply(status, [("Content-Type", "application/json")], body))
            case Slow(bytes_a_second):
                self._reply(owner.forward(request), bytes_a_second=bytes_a_second)
            case RefuseItems(share, status):
                self._reply(self._refused(request, share, status))
            case _:
                assert_never(fault)

    def _reply(
        self, reply: _Reply, *, share: float = 1.0, bytes_a_second: float | None = None
    ) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = next((v for n, v in reply.headers if n.lower() == "content-length"), None)
        head = self.command == "HEAD" and length is not None
        self.send_header("Content-Length", str(length) if head else str(len(reply.body)))
        self.end_headers()
        sent = reply.body[: int(len(reply.body) * share)]
        if bytes_a_second is None:
            self.wfile.write(sent)
        else:
            for at in range(0, len(sent), _PIECE):
                self.wfile.write(sent[at : at + _PIECE])
                self.wfile.flush()
                self.owner.pause(_PIECE / bytes_a_second)
        self.wfile.flush()
        if share < 1:
            self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.close()
        except OSError:
            return  # the other side was faster

    def _refused(self, request: Request, share: float, status: int) -> _Reply:
        """Send on the items that are not refused, and put the refusals among their verdicts."""
        items = _items(request.body)
        refused = {n for n in range(len(items)) if self.dice.random() < share} or {0}
        body = b"".join(text for n, (_, text) in enumerate(items) if n not in refused)
        left: list[Any] = []
        if body:
            reply = self.owner.forward(Request(request.method, request.path, request.headers, body))
            if reply.status != http.client.OK:
                return reply
            left = json.loads(reply.body).get("items", [])
        error = {"type": "rejected_execution_exception", "reason": "made up"}
        verdicts = [
            {kind: {"status": status, "error": error}} if n in refused else left.pop(0)
            for n, (kind, _) in enumerate(items)
        ]
        answer = json.dumps({"errors": True, "items": verdicts}).encode()
        return _Reply(200, [("Content-Type", "application/json")], answer)


def _items(body: bytes) -> list[tuple[str, bytes]]:
    """Cut a bulk body into its items."""
    lines = [line + b"\n" for line in body.split(b"\n") if line]
    found = []
    while lines:
        action = lines.pop(0)
        kind = next(iter(json.loads(action)))
        text = action if kind == "delete" else action + lines.pop(0)
        found.append((kind, text))
    return found


def at_random(
    choices: list[Fault], *, share: float, seed: int, only: Callable[[Request], bool]
) -> Faults:
    """Return faults for that share of the requests that `only` names."""
    rng = random.Random(seed)
    lock = threading.Lock()

    def faults(request: Request) -> Fault | None:
        with lock:
            if only(request) and rng.random() < share:
                return rng.choice(choices)
        return None

    return faults


def for_so_long(fault: Fault, seconds: float) -> Faults:
    """Return one fault for every request, for so long from now on."""
    until = time.monotonic() + seconds
    return lambda _: fault if time.monotonic() < until else None
