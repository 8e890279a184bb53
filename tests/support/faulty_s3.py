"""An S3 that fails as it is told to: what moto never does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


def error(status: int, code: str, message: str = "") -> Answer:
    """Answer with an error of S3."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return answer


def body(content: bytes, *, of: int | None = None, stall: threading.Event | None = None) -> Answer:
    """Answer with an object; say that it has `of` bytes; wait before the last byte for `stall`."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if of is None else of))
        request.send_header("ETag", '"e"')
        request.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        request.end_headers()
        if request.command == "HEAD":
            return
        request.wfile.write(content[:-1])
        request.wfile.flush()
        if stall is not None:
            stall.wait(30)
        request.wfile.write(content[-1:])
        request.close_connection = True

    return answer


class FaultyS3:
    """Answers requests for objects in turn, the last answer again and again."""

    def __init__(self, url: str, answers: list[Answer], bucket: Answer) -> None:
        self.url = url
        self.asked: list[str] = []
        self._answers = answers
        self._bucket = bucket

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.count("/") < 2 or request.path.endswith("/bucket"):
            self._bucket(request)
            return
        self.asked.append(request.path)
        self._answers[min(len(self.asked), len(self._answers)) - 1](request)


@contextmanager
def faulty_s3(*answers: Answer, bucket: Answer | None = None) -> Iterator[FaultyS3]:
    """Run one; `bucket` is the answer to what is asked of the bucket itself."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            s3.answer(self)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    s3 = FaultyS3(
        f"http://127.0.0.1:{server.server_port}",
        list(answers),
        bucket or body(b""),
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
