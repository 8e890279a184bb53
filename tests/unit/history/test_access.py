"""Who may do what, by the access file; and where one may serve."""

import pytest

from opstrail_history.access import (
    ALL_ACCOUNTS,
    LOCAL,
    BadAccessFile,
    Scope,
    access_of,
    host_of,
    is_loopback,
    token_hash,
)
from opstrail_history.binding import NotSafe, checked
from opstrail_history.refusals import NotAllowed

TEAM = {
    "name": "team", "sha256": token_hash("t0ken"), "accounts": ["111122223333"],
    "rights": ["read"],
}  # fmt: skip
ADA = {"name": "ada", "accounts": "all", "rights": ["admin"]}
ANYBODY = {"name": "*", "accounts": ["444455556666"], "rights": ["export"]}


def test_a_token_is_known_by_its_hash():
    access = access_of({"tokens": [TEAM]})

    team = access.of_token("t0ken")
    assert ("team", "token", Scope(frozenset({"111122223333"}))) == (
        team.name,
        team.way,
        team.scope,
    )
    with pytest.raises(NotAllowed) as refused:
        access.of_token("t0ken2")
    assert 401 == refused.value.status


def test_users_are_known_by_name_and_others_are_anybody():
    access = access_of({"users": [ADA, ANYBODY]})

    assert ALL_ACCOUNTS == access.of_user("ada").scope
    bob = access.of_user("bob")
    assert ("bob", "proxy", frozenset({"444455556666"})) == (bob.name, bob.way, bob.scope.accounts)
    with pytest.raises(NotAllowed, match="no access"):
        access_of({"users": [ADA]}).of_user("bob")


def test_rights_hold_lower_ones():
    reader = access_of({"tokens": [TEAM]}).of_token("t0ken")
    exporter = access_of({"users": [ANYBODY]}).of_user("x")

    reader.must("read")
    exporter.must("read")
    exporter.must("export")
    LOCAL.must("admin")
    with pytest.raises(NotAllowed, match="`export`") as refused:
        reader.must("export")
    assert 403 == refused.value.status
    with pytest.raises(NotAllowed, match="`admin`"):
        exporter.must("admin")


def test_a_scope_holds_its_accounts_only():
    assert ALL_ACCOUNTS.holds("1")
    assert ALL_ACCOUNTS.holds(None)
    assert Scope(frozenset({"1"})).holds("1")
    assert not Scope(frozenset({"1"})).holds(None)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"token": []},
        {"tokens": {}},
        {"tokens": ["x"]},
        {"tokens": [TEAM, TEAM]},
        {"users": [ADA, ADA]},
        {"tokens": [{**TEAM, "sha256": "abc"}]},
        {"tokens": [{**TEAM, "sha256": None}]},
        {"tokens": [{**TEAM, "scope": "all"}]},
        {"tokens": [{**TEAM, "name": ""}]},
        {"users": [{**ADA, "rights": []}]},
        {"users": [{**ADA, "rights": ["write"]}]},
        {"users": [{**ADA, "rights": "read"}]},
        {"users": [{**ADA, "accounts": "*"}]},
        {"users": [{**ADA, "accounts": []}]},
        {"users": [{**ADA, "accounts": [111122223333]}]},
        {"users": [{"name": "x", "rights": ["read"]}]},
    ],
)
def test_a_file_that_cannot_be_meant_lets_nobody_in(document):
    with pytest.raises(BadAccessFile):
        access_of(document)


def test_an_empty_file_lets_nobody_in():
    with pytest.raises(NotAllowed):
        access_of({"tokens": None}).of_token("")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_loopback_needs_nothing(host):
    assert is_loopback(host)
    checked(host, asks=False, tls=False, tls_elsewhere=False, trusts_proxies=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "history.example.com", ""])
def test_elsewhere_it_is_not_served_without_authentication_and_tls(host):
    with pytest.raises(NotSafe, match="no authentication"):
        checked(host, asks=False, tls=True, tls_elsewhere=True, trusts_proxies=False)
    with pytest.raises(NotSafe, match="unencrypted"):
        checked(host, asks=True, tls=False, tls_elsewhere=False, trusts_proxies=False)
    checked(host, asks=True, tls=True, tls_elsewhere=False, trusts_proxies=True)
    checked(host, asks=True, tls=False, tls_elsewhere=True, trusts_proxies=False)


def test_a_proxy_is_trusted_with_an_access_file_only():
    with pytest.raises(NotSafe, match="access_file"):
        checked("127.0.0.1", asks=False, tls=False, tls_elsewhere=False, trusts_proxies=True)


def test_a_host_header_has_a_port_or_not():
    assert ["::1", "localhost", "a.example", ""] == [
        host_of(header) for header in ("[::1]:8765", "localhost:1", "A.example", "")
    ]
