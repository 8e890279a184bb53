"""OpenSearch and the registry behind TLS: who has the credentials gets through, and nobody else.

A TLS proxy before the real servers checks passwords, client certificates and AWS signatures.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.settings import OpenSearchSettings, RegistrySettings
from opstrail_runtime.wiring import new_registry
from opstrail_store.opensearch_errors import translated
from opstrail_store.wiring import new_client
from tests.support.certificates import Authority
from tests.support.servers import Servers
from tests.support.tls_proxy import Proxy, anybody, other_authority, password, signature, tls_proxy

pytestmark = pytest.mark.servers
REGION = "eu-west-1"
KEY, SECRET = "AKIDEXAMPLE", "a+secret/key"
Open = Callable[..., Proxy]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.fixture
def own_index(servers: Servers, namespace: str) -> Iterator[str]:
    yield f"{namespace}-a"
    client = OpenSearch(servers.addresses.opensearch)
    client.indices.delete(index=f"{namespace}-a", ignore=[404])
    client.close()


def write_and_search(client: OpenSearch, index: str) -> int:
    """Write as the sink does, and search with what must be quoted in the query to be signed."""
    body = b'{"index":{"_index":"%s","_id":"1"}}\n{"a":"b c"}\n' % index.encode()
    with closing(client), translated():
        client.bulk(body=body, params={"refresh": "true"})
        params = {"q": "a:b", "filter_path": "hits.total.*,took"}
        found = client.search(index=index, params=params)
    number: int = found["hits"]["total"]["value"]
    return number


def settings(proxy: Proxy, authority: Authority, **more: Any) -> OpenSearchSettings:
    return OpenSearchSettings(url=proxy.url, ca_file=str(authority.ca), **more)


def test_a_password_lets_in(servers: Servers, authority: Authority, own_index: str) -> None:
    with tls_proxy(authority, servers.addresses.opensearch, password("u", SECRET)) as proxy:
        right = settings(proxy, authority, username="u", password=SECRET)
        wrong = settings(proxy, authority, username="u", password="wrong")

        assert 1 == write_and_search(new_client(right), own_index)
        with pytest.raises(Refused, match="403"):
            write_and_search(new_client(wrong), own_index)
        with pytest.raises(Refused, match="401"):
            write_and_search(new_client(settings(proxy, authority)), own_index)
    assert (2, ["wrong password"] * 2) == (proxy.passed, proxy.refused)


def test_a_client_certificate_lets_in(
    servers: Servers, authority: Authority, own_index: str
) -> None:
    certificate, key = map(str, authority.issue("store", host=None))
    with tls_proxy(
        authority, servers.addresses.opensearch, anybody, client_certificates=True
    ) as proxy:
        known = settings(proxy, authority, certificate_file=certificate, key_file=key)

        assert 1 == write_and_search(new_client(known), own_index)
        with pytest.raises(Unavailable, match="opensearch"):
            write_and_search(new_client(settings(proxy, authority)), own_index)
    assert 2 == proxy.passed


@pytest.mark.usefixtures("signing")
def test_a_signature_lets_in_and_covers_path_query_and_body(
    servers: Servers, authority: Authority, own_index: str
) -> None:
    check = signature(KEY, SECRET, region=REGION, service="es")
    with tls_proxy(authority, servers.addresses.opensearch, check) as proxy:
        assert 1 == write_and_search(
            new_client(settings(proxy, authority, region=REGION)), own_index
        )
    assert (2, []) == (proxy.passed, proxy.refused)


@pytest.mark.usefixtures("signing")
@pytest.mark.parametrize(
    ("expected", "why"),
    [
        ({"secret_key": "another", "region": REGION}, "wrong signature"),
        ({"secret_key": SECRET, "region": "us-east-1"}, "another scope"),
    ],
)
def test_a_wrong_signature_is_refused_for_good(
    servers: Servers,
    authority: Authority,
    own_index: str,
    expected: Mapping[str, str],
    why: str,
) -> None:
    check = signature(KEY, expected["secret_key"], region=expected["region"], service="es")
    with (
        tls_proxy(authority, servers.addresses.opensearch, check) as proxy,
        pytest.raises(Refused, match="403"),
    ):
        write_and_search(new_client(settings(proxy, authority, region=REGION)), own_index)
    assert why in proxy.refused[0]
    assert 0 == proxy.passed


@pytest.mark.parametrize("trusted", ["nobody in particular", "somebody else"])
def test_a_server_of_an_authority_that_is_not_trusted_is_sent_nothing(
    servers: Servers, authority: Authority, own_index: str, tmp_path: Path, trusted: str
) -> None:
    with tls_proxy(authority, servers.addresses.opensearch, anybody) as proxy:
        other = str(other_authority(tmp_path / "other").ca)
        settings = OpenSearchSettings(
            url=proxy.url, ca_file=None if trusted.startswith("nobody") else other
        )
        with pytest.raises(Unavailable, match="certificate"):
            write_and_search(new_client(settings), own_index)
    assert 0 == proxy.passed


def test_a_certificate_for_another_host_is_refused(
    servers: Servers, authority: Authority, own_index: str
) -> None:
    with tls_proxy(authority, servers.addresses.opensearch, anybody) as proxy:
        elsewhere = proxy.url.replace("127.0.0.1", "localhost")
        settings = OpenSearchSettings(url=elsewhere, ca_file=str(authority.ca))
        with pytest.raises(Unavailable, match="localhost"):
            write_and_search(new_client(settings), own_index)
    assert 0 == proxy.passed


def test_store_setup_goes_through_with_a_password_from_a_file(
    servers: Servers, authority: Authority, namespace: str, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "OPSTRAIL_OPENSEARCH__PASSWORD").write_text(SECRET)
    with tls_proxy(authority, servers.addresses.opensearch, password("u", SECRET)) as proxy:
        done = subprocess.run(
            [sys.executable, "-m", "opstrail_cli.main", "store", "setup"],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("OPSTRAIL_")},
                "OPSTRAIL_OPENSEARCH__URL": proxy.url,
                "OPSTRAIL_OPENSEARCH__CA_FILE": str(authority.ca),
                "OPSTRAIL_OPENSEARCH__USERNAME": "u",
                "OPSTRAIL_SECRETS_DIR": str(secrets),
                "OPSTRAIL_STORE__INDEX_PREFIX": namespace,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert 0 == done.returncode, done.stderr
    assert "run again with --execute" in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("login", ["password", "certificate"])
def test_the_registry_is_reached_over_tls(
    servers: Servers, authority: Authority, login: str
) -> None:
    certificate, key = map(str, authority.issue("client", host=None))
    how: dict[str, Any] = (
        {"username": "u", "password": SECRET}
        if login == "password"
        else {"certificate_file": certificate, "key_file": key}
    )
    check = password("u", SECRET) if login == "password" else anybody
    with tls_proxy(
        authority, servers.addresses.registry, check, client_certificates=login == "certificate"
    ) as proxy:
        settings = RegistrySettings(url=proxy.url, ca_file=str(authority.ca), **how)
        registry = new_registry(settings)
        with registry._client:  # closes its connections, which services leave to their end
            assert 9 == len(registry.ids())
    assert 9 <= proxy.passed
    assert [] == proxy.refused
