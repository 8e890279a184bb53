"""Which addresses may be spoken to without TLS: loopback, and hosts allowed by name (PURE)."""

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit


class InsecureTransport(ValueError):
    """What a setting asks for would go over the network unprotected. The text says what to do."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1, never by a look-up.

    >>> is_loopback("127.0.0.9"), is_loopback("localhost.example.org")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def hosts_of(bootstrap_servers: str) -> list[str]:
    """Return the hosts of `host:port,[::1]:port`; a scheme before them is none of ours."""
    found = []
    for address in bootstrap_servers.split(","):
        bare = address.strip().rpartition("://")[2]
        if bare:
            found.append(urlsplit(f"//{bare}").hostname or bare)
    return found


def check_url(url: str, allowed: Collection[str]) -> str:
    """Return the URL. Raises InsecureTransport for http:// to a host that is not allowed so.

    A URL with a user or password in it is refused too: it would stand in every log.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InsecureTransport("write it as https://HOST:PORT, or http:// for this machine alone")
    if parts.username is not None or parts.password is not None:
        raise InsecureTransport(
            "no user or password in the URL: `username` and `password` are for it"
        )
    if parts.scheme == "http":
        check_plaintext([parts.hostname], allowed, instead="write https://")
    return url


def check_plaintext(hosts: Sequence[str], allowed: Collection[str], *, instead: str) -> None:
    """Raise InsecureTransport where one of the hosts is neither loopback nor allowed by name."""
    known = {name.lower() for name in allowed}
    open_to_all = [host for host in hosts if not is_loopback(host) and host.lower() not in known]
    if open_to_all:
        names = ", ".join(f'"{host}"' for host in dict.fromkeys(open_to_all))
        raise InsecureTransport(
            f"{names.replace(chr(34), '')} would be spoken to without verified TLS: {instead}, "
            f"or allow it by name: `plaintext_hosts` = [{names}]"
        )
