"""Who gets in: tokens, the proxy's word, and nobody else."""

import json
from contextlib import suppress
from ipaddress import ip_network
from typing import cast

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from opstrail_history.access import (
    ALL_ACCOUNTS,
    LOCAL,
    BadAccessFile,
    Principal,
    Scope,
    token_hash,
)
from opstrail_history.access_file import AccessFile
from opstrail_history.audit import Asked, AuditLog
from opstrail_history.desk import Desk
from opstrail_history.gate import COOKIE, Gate
from opstrail_history.history import History
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
        AccessFile(tmp_path / "access.yaml"), trusted_proxies=[ip_network("10.0.0.0/8")]
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


def test_a_name_that_stands_there_twice_or_is_endless_is_nobodys(gate):
    # The proxy added its own to what the caller had sent.
    pairs = [(b"host", b"x"), (b"x-forwarded-user", b"ada"), (b"x-forwarded-user", b"bob")]
    twice = Request({"type": "http", "headers": pairs, "client": ("10.1.2.3", 1)})

    for request in (twice, a_request("10.1.2.3", x_forwarded_user="a" * 301)):
        with pytest.raises(NotAllowed) as refused:
            gate.admitted(request)
        assert 401 == refused.value.status


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


def test_a_broken_file_is_told_once_and_lets_in_again_once_it_is_whole(tmp_path):
    file = AccessFile(tmp_path / "access.yaml")
    with capture_logs() as told:
        for text in (None, None, "tokens: {", FILE):
            if text is not None:
                (tmp_path / "access.yaml").write_text(text)
            for _ in range(3):
                with suppress(BadAccessFile):
                    file.current()

    assert ["error"] * 2 == [line["log_level"] for line in told]
    assert ["team"] == [principal.name for principal in file.current().by_hash.values()]


def test_without_a_file_whoever_is_on_this_machine_gets_in():
    gate = Gate(None)

    assert LOCAL == gate.admitted(a_request(host="localhost:8765"))
    assert LOCAL == gate.of_token("any")
    assert not gate.asks


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host):
    with pytest.raises(NotAllowed) as refused:
        Gate(None).admitted(a_request(host=host))

    assert 421 == refused.value.status


def test_names_may_be_listed(tmp_path):
    (tmp_path / "access.yaml").write_text(FILE)
    gate = Gate(AccessFile(tmp_path / "access.yaml"), hosts=["h.example"])

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
    log.asked(Asked(LOCAL, "127.0.0.1", "search", "x" * 9_000, 400))

    first, second = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert ("local", query, 3, "all") == (
        first["who"], first["query"], first["events"], first["accounts"]
    )  # fmt: skip
    assert 8_000 == len(second["query"])


def lines_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def desk(gate, tmp_path):
    return Desk(
        history=cast("History", None),  # nothing is asked of it
        gate=gate,
        limits=limits(per_minute=3),
        audit=AuditLog(tmp_path / "audit.jsonl", now=lambda: "now"),
        page_max=1,
        live_poll_s=1,
    )


def asking(query=b"", **headers):
    request = a_request(**headers)
    request.scope["query_string"] = query
    return request


def test_all_that_is_asked_is_written_down_and_no_cursor_hides_it(desk, tmp_path):
    request = asking(b"%63ursor=" + b"A" * 9_000 + b"&q=a%0Ab", authorization=f"Bearer {TOKEN}")
    with desk.visit(request, "search", "read"):
        pass
    with pytest.raises(NotAllowed), desk.visit(request, "export", "export"):
        pass
    with desk.visit(request, "lookup-events", "read") as visit:
        visit.asked = "{}"
    with pytest.raises(NotAllowed), desk.visit(request, "search", "read"):
        pass

    assert [
        ("search", "q=a%0Ab", 200), ("export", "q=a%0Ab", 403), ("lookup-events", "{}", 200),
        ("search", "q=a%0Ab", 429),
    ] == [(line["what"], line["query"], line["status"]) for line in lines_of(tmp_path)]  # fmt: skip


def test_who_is_refused_is_written_down_as_far_as_a_minute_has_lines(desk, tmp_path):
    for _ in range(5):
        with pytest.raises(NotAllowed), desk.visit(asking(), "search", "read"):
            pass
        with pytest.raises(NotAllowed):
            desk.signed_in(asking(), "wrong")
    desk.signed_in(asking(), TOKEN)

    assert [
        ("search", None, 401), ("sign-in", None, 401), ("search", None, 401),
        ("sign-in", "team", 200),
    ] == [(line["what"], line["who"], line["status"]) for line in lines_of(tmp_path)]  # fmt: skip


def test_nothing_is_shown_where_it_cannot_be_written_down(gate, tmp_path):
    log = AuditLog(tmp_path / "none" / "audit.jsonl", now=lambda: "now")

    with capture_logs() as told, pytest.raises(Unavailable):
        log.asked(Asked(LOCAL, "127.0.0.1", "search", "", 200))
    assert ["error"] == [line["log_level"] for line in told]


def test_the_audit_log_is_read_within_the_accounts_of_who_reads(tmp_path, monkeypatch):
    log = AuditLog(tmp_path / "audit.jsonl", now=lambda: "now")
    assert [] == log.latest(ALL_ACCOUNTS, most=9)
    scopes = [ALL_ACCOUNTS, Scope(frozenset({"1"})), Scope(frozenset({"1", "2"})), None]
    for scope in scopes:
        who = Principal(str(scope.listed), scope, frozenset(), "token") if scope else None
        log.asked(Asked(who, "127.0.0.1", "search", "", 200))

    def names(scope, most=9):
        return [line["who"] for line in log.latest(scope, most=most)]

    assert [None, "['1', '2']", "['1']", "None"] == names(ALL_ACCOUNTS)
    assert [None] == names(ALL_ACCOUNTS, most=1)
    assert ["['1']"] == names(scopes[1])
    assert [] == names(Scope(frozenset({"3"})))
    # From the middle of a line on.
    monkeypatch.setattr("opstrail_history.audit.READ_BACK_BYTES", 400)
    assert 1 <= len(names(ALL_ACCOUNTS)) < 4
