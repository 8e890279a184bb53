"""Who gets in: tokens, the proxy's word, and nobody else."""

import json
from ipaddress import ip_network

import pytest
from starlette.requests import Request

from opstrail_history.access import LOCAL, BadAccessFile, token_hash
from opstrail_history.access_file import AccessFile
from opstrail_history.audit import Asked, AuditLog
from opstrail_history.gate import COOKIE, Gate
from opstrail_history.limits import Limits
from opstrail_history.refusals import NotAllowed
from opstrail_runtime.errors import Unavailable

TOKEN = "opstrail0123"
FILE = f"""
tokens:
  - {{name: team, sha256: {token_hash(TOKEN)}, accounts: ["111122223333"], rights: [read]}}
users:
  - {{name: ada, accounts: all, rights: [admin]}}
"""


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def limits(clock=None, per_minute=600):
    return Limits(requests_per_minute=per_minute, streams_at_once=1, now_s=clock or Clock())


def a_request(peer="127.0.0.1", **headers):
    headers.setdefault("host", "127.0.0.1:8765")
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs, "client": peer and (peer, 1)})


@pytest.fixture
def gate(tmp_path):
    (tmp_path / "access.yaml").write_text(FILE)
    return Gate(
        AccessFile(tmp_path / "access.yaml"), limits=limits(),
        trusted_proxies=[ip_network("10.0.0.0/8")],
    )  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer   {TOKEN}"},
        {"authorization": f"AWS4-HMAC-SHA256 Credential={TOKEN}/20240101/us-east-1/cloudtrail/"
                          "aws4_request, SignedHeaders=host, Signature=00"},
        {"cookie": f"{COOKIE}={TOKEN}"},
    ],
)  # fmt: skip
def test_a_token_opens_however_it_is_carried(gate, headers):
    assert "team" == gate.admitted(a_request(**headers)).name


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {'x' * 301}"},
        {"authorization": f"AWS4-HMAC-SHA256 Signature={TOKEN}"},
        {"authorization": "Bearer wrong", "cookie": f"{COOKIE}={TOKEN}"},
        {"x_forwarded_user": "ada"},
    ],
)
def test_nothing_else_opens(gate, headers):
    with pytest.raises(NotAllowed) as refused:
        gate.admitted(a_request(**headers))
    assert 401 == refused.value.status


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_the_proxy_is_believed(gate, peer):
    assert "ada" == gate.admitted(a_request(peer, x_forwarded_user="ada")).name
    with pytest.raises(NotAllowed) as refused:
        gate.admitted(a_request(peer, x_forwarded_user="bob"))
    assert 403 == refused.value.status


@pytest.mark.parametrize("peer", ["11.1.2.3", "::1", "unix", None])
def test_nobody_else_is_believed(gate, peer):
    with pytest.raises(NotAllowed):
        gate.admitted(a_request(peer, x_forwarded_user="ada"))


def test_a_token_that_was_struck_out_is_out_at_once(gate, tmp_path):
    request = a_request(authorization=f"Bearer {TOKEN}")
    gate.admitted(request)
    (tmp_path / "access.yaml").write_text("tokens: []\n")

    with pytest.raises(NotAllowed):
        gate.admitted(request)


@pytest.mark.parametrize("text", ["tokens: {", "tokens: [x]", "a: 1", "\xff"])
def test_a_file_that_cannot_be_read_lets_nobody_in(gate, tmp_path, text):
    (tmp_path / "access.yaml").write_bytes(text.encode("latin-1"))

    for request in (a_request(authorization=f"Bearer {TOKEN}"),
                    a_request("10.0.0.1", x_forwarded_user="ada")):  # fmt: skip
        with pytest.raises(Unavailable):
            gate.admitted(request)
    (tmp_path / "access.yaml").unlink()
    with pytest.raises(BadAccessFile):
        AccessFile(tmp_path / "access.yaml").current()


def test_without_a_file_whoever_is_on_this_machine_gets_in():
    gate = Gate(None, limits=limits())

    assert LOCAL == gate.admitted(a_request(host="localhost:8765"))
    assert LOCAL == gate.of_token("any")
    assert not gate.asks


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host):
    with pytest.raises(NotAllowed) as refused:
        Gate(None, limits=limits()).admitted(a_request(host=host))

    assert 421 == refused.value.status


def test_names_may_be_listed(tmp_path):
    (tmp_path / "access.yaml").write_text(FILE)
    gate = Gate(AccessFile(tmp_path / "access.yaml"), limits=limits(), hosts=["h.example"])

    gate.admitted(a_request(host="H.example", authorization=f"Bearer {TOKEN}"))
    with pytest.raises(NotAllowed):
        gate.admitted(a_request(host="other.example", authorization=f"Bearer {TOKEN}"))


def test_too_many_requests_have_to_wait():
    clock = Clock()
    two = limits(clock, per_minute=2)
    two.request("a")
    two.request("a")
    two.request("b")
    with pytest.raises(NotAllowed) as refused:
        two.request("a")
    assert 429 == refused.value.status

    clock.now += 30
    two.request("a")


def test_streams_are_counted_while_they_last():
    one = limits()
    with one.stream("a"):
        with pytest.raises(NotAllowed):
            one.begin_stream("a")
        one.begin_stream("b")
    one.begin_stream("a")


def test_the_audit_log_cannot_be_forged(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl", now=lambda: "now")
    query = 'q=\n{"who":"eve"}'

    log.asked(Asked(LOCAL, "127.0.0.1", "search", query, 200, events=3))
    log.asked(Asked(LOCAL, "127.0.0.1", "search", "x" * 5_000, 400))

    first, second = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert ("local", query, 3, "all") == (
        first["who"], first["query"], first["events"], first["accounts"]
    )  # fmt: skip
    assert 2_000 == len(second["query"])
