"""Where history may be served, by who is let in (PURE)."""

from opstrail_history.access import is_loopback


class NotSafe(Exception):
    """Served so, anybody could read the history; the message says what is missing."""


def checked(host: str, *, asks: bool, tls: bool, tls_elsewhere: bool, trusts_proxies: bool) -> None:
    """Raise NotSafe where an address must not be served so.

    `asks`: callers must say who they are. `tls`: it is served here; `tls_elsewhere`: by a proxy.
    """
    if trusts_proxies and not asks:
        raise NotSafe(
            "trusted_proxies needs access_file: its `users` say what the proxy's users may do"
        )
    if is_loopback(host):
        return
    if not asks:
        raise NotSafe(
            f"no authentication is set up, so history serves loopback only, not {host}: set "
            "OPSTRAIL_HISTORY__ACCESS_FILE (docs/how-to/search.md), or serve 127.0.0.1"
        )
    if not tls and not tls_elsewhere:
        raise NotSafe(
            f"tokens would cross the network to {host} unencrypted: set "
            "OPSTRAIL_HISTORY__TLS_CERTIFICATE and …__TLS_KEY, or …__TLS_ELSEWHERE=true where a "
            "proxy in front serves TLS"
        )
