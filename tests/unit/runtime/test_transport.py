"""Plain text leaves this machine only where a host is allowed by name."""

import pytest

from opstrail_runtime.transport import InsecureTransport, check_url, hosts_of, is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.8.7", "::1", "[::1]"]
)
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.example.org", "127.0.0.1.example.org", "0.0.0.0", "10.0.0.1", "::2", "kafka", ""],
)
def test_what_only_looks_like_this_machine_is_not_it(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("servers", "hosts"),
    [
        ("a:9092", ["a"]),
        ("a:9092, b.c:9093,", ["a", "b.c"]),
        ("[::1]:9092,SASL_SSL://a:1", ["::1", "a"]),
        ("bare", ["bare"]),
    ],
)
def test_hosts_are_read_from_bootstrap_servers(servers: str, hosts: list[str]) -> None:
    assert hosts == hosts_of(servers)


@pytest.mark.parametrize(
    "url", ["https://a:9200", "http://127.0.0.1:9200", "http://localhost/x", "http://allowed:1/x"]
)
def test_a_url_that_is_safe_is_returned(url: str) -> None:
    assert url == check_url(url, ["Allowed"])


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://a:9200", "a would be spoken to without verified TLS: write https://"),
        ("http://a.allowed:1", '`plaintext_hosts` = \\["a.allowed"\\]'),
        ("a:9200", "https://HOST:PORT"),
        ("ftp://a", "https://HOST:PORT"),
        ("https://", "https://HOST:PORT"),
        ("https://user:secret@a", "no user or password in the URL"),
        ("https://user@a", "no user or password in the URL"),
    ],
)
def test_a_url_that_is_not_safe_is_refused_with_what_to_write(url: str, text: str) -> None:
    with pytest.raises(InsecureTransport, match=text) as refused:
        check_url(url, ["allowed"])

    assert "secret" not in str(refused.value)
