"""A TLS proxy before a server of plain HTTP: it lets through whom it knows, and nobody else.

It stands for what cannot be had here: OpenSearch's security plug-in, Amazon OpenSearch Service, a
registry behind TLS. What is checked is a password, a client certificate, or AWS's signature.
"""

import base64
import hashlib
import hmac
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from tests.support.certificates import Authority

Check = Callable[[str, str, Mapping[str, str], bytes], str | None]
"""(method, target, headers by lower name, body) -> why the request is refused, or None."""


@dataclass(slots=True)
class Proxy:
    """Where it listens, and how many requests it let through and refused."""

    url: str
    passed: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def tls_proxy(
    authority: Authority, before: str, check: Check, *, client_certificates: bool = False
) -> Iterator[Proxy]:
    """Listen on loopback with a certificate of the authority; pass on to the URL `before`."""
    target = urlsplit(before)
    certificate, key = authority.issue("proxy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_certificates:
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            # In the thread of the connection: a client that never greets holds up nobody else.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            why = check(self.command, self.path, headers, body)
            if why is None:
                proxy.passed += 1
                self._pass_on(body, headers)
            else:
                proxy.refused.append(why)
                status = 401 if "authorization" not in headers else 403
                self._answer(status, "application/json", b'{"error":"refused by the proxy"}')

        def _pass_on(self, body: bytes, headers: Mapping[str, str]) -> None:
            onward = http.client.HTTPConnection(target.hostname or "", target.port or 80)
            kept = {n: headers[n] for n in ("content-type", "accept") if n in headers}
            onward.request(self.command, self.path, body, kept)
            answer = onward.getresponse()
            content_type = answer.getheader("Content-Type") or "application/json"
            self._answer(answer.status, content_type, answer.read())
            onward.close()

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that do not trust us, or that we do not know."""

    with Server(("127.0.0.1", 0), Handler) as server:
        path = target.path.rstrip("/")
        proxy = Proxy(f"https://127.0.0.1:{server.server_port}{path}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def anybody(_method: str, _target: str, _headers: Mapping[str, str], _body: bytes) -> str | None:
    """Let everybody through: where the TLS handshake has decided."""
    return None


def password(user: str, secret: str) -> Check:
    """Let through who gives this user and password (basic authentication)."""
    wanted = "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()

    def check(_method: str, _target: str, headers: Mapping[str, str], _body: bytes) -> str | None:
        return None if headers.get("authorization") == wanted else "wrong password"

    return check


def signature(access_key: str, secret_key: str, *, region: str, service: str) -> Check:
    """Let through requests whose AWS Signature Version 4 is right, body and all.

    Written after AWS's description of the algorithm, not with botocore, which made the signature.
    """

    def check(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str | None:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        given = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if scheme != "AWS4-HMAC-SHA256" or not given.keys() >= {"Credential", "SignedHeaders"}:
            return "not signed"
        day = headers.get("x-amz-date", "")[:8]
        scope = f"{day}/{region}/{service}/aws4_request"
        if given["Credential"] != f"{access_key}/{scope}":
            return f"another scope or key: {given['Credential']}"
        signed = given["SignedHeaders"].split(";")
        digest = hashlib.sha256(body).hexdigest()
        if "host" not in signed or headers.get("x-amz-content-sha256", digest) != digest:
            return "host or body is not signed"
        split = urlsplit(target)
        query = sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in parse_qsl(split.query, keep_blank_values=True)
        )
        canonical = "\n".join(
            [
                method,
                quote(split.path, safe="/-_.~"),
                "&".join(f"{name}={value}" for name, value in query),
                *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
                "",
                ";".join(signed),
                digest,
            ]
        )
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                headers["x-amz-date"],
                scope,
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{secret_key}".encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(right, given.get("Signature", "")) else "wrong signature"

    return check


def other_authority(folder: Path) -> Authority:
    """Return an authority that nobody trusts."""
    return Authority(folder, "somebody else")
