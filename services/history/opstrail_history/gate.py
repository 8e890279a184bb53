"""Who gets in: every request passes here, and leaves with a Principal or not at all."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from starlette.requests import HTTPConnection

from opstrail_history.access import LOCAL, BadAccessFile, Principal, host_of, is_loopback
from opstrail_history.access_file import AccessFile
from opstrail_history.refusals import NotAllowed
from opstrail_runtime.errors import Unavailable

COOKIE = "opstrail_token"
_BEARER = "bearer "
_SIGV4 = "AWS4-HMAC-SHA256 "
_CREDENTIAL = "Credential="
_LONGEST_TOKEN = 300
_LONGEST_NAME = 300
_MISDIRECTED = 421


class Gate:
    """Recognises callers by token or by the trusted proxy's word; without an access file, all.

    Then it serves loopback only, so whoever asks is on this machine; that the browser asks for
    another site's page, whose name was made to lead here, the Host header tells.
    """

    def __init__(
        self,
        access_file: AccessFile | None,
        *,
        trusted_proxies: Sequence[IPv4Network | IPv6Network] = (),
        user_header: str = "X-Forwarded-User",
        hosts: Sequence[str] = (),
    ) -> None:
        self._access_file = access_file
        self._trusted = tuple(trusted_proxies)
        self._user_header = user_header
        self._hosts = frozenset(host.lower() for host in hosts)

    @property
    def asks(self) -> bool:
        """Whether callers must say who they are."""
        return self._access_file is not None

    def admitted(self, request: HTTPConnection) -> Principal:
        """Return who asks. Raises NotAllowed, or Unavailable while the access file is broken."""
        self._check_host(request)
        return self.recognised(request)

    def of_token(self, token: str) -> Principal:
        """Return whose token it is. Raises NotAllowed."""
        if self._access_file is None:
            return LOCAL
        try:
            return self._access_file.current().of_token(token)
        except BadAccessFile as error:
            raise _closed() from error

    def recognised(self, request: HTTPConnection) -> Principal:
        """Return who asks, whatever they call the server: a long stream asks again and again."""
        if self._access_file is None:
            return LOCAL
        if (token := token_in(request)) is not None:
            return self.of_token(token)
        # Given twice, one is the caller's own: the proxy has added to it and not replaced it.
        [user] = names if len(names := request.headers.getlist(self._user_header)) == 1 else [""]
        if self._trusted and 0 < len(user) <= _LONGEST_NAME and self._is_proxy(request):
            try:
                return self._access_file.current().of_user(user)
            except BadAccessFile as error:
                raise _closed() from error
        raise NotAllowed(
            "say who you are: `Authorization: Bearer TOKEN`, or sign in on the page", status=401
        )

    def _is_proxy(self, request: HTTPConnection) -> bool:
        if request.client is None:
            return False
        try:
            peer = ipaddress.ip_address(request.client.host)
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer.version == net.version and peer in net for net in self._trusted)

    def _check_host(self, request: HTTPConnection) -> None:
        host = host_of(request.headers.get("host", ""))
        if host in self._hosts or is_loopback(host):
            return
        if self._access_file is not None and not self._hosts:
            return
        raise NotAllowed(
            f"this server is not called `{host[:100]}` (OPSTRAIL_HISTORY__HOSTS)",
            status=_MISDIRECTED,
        )


def token_in(request: HTTPConnection) -> str | None:
    """Return the token that a request carries: as bearer, as AWS key id, or in the cookie."""
    header = request.headers.get("authorization", "")
    token: str | None = None
    if header[: len(_BEARER)].lower() == _BEARER:
        token = header[len(_BEARER) :].strip()
    elif header.startswith(_SIGV4):
        # Its signature is made with a secret that nobody keeps: the key id is the token.
        _, _, rest = header.partition(_CREDENTIAL)
        token = rest.partition("/")[0]
    elif not header:
        token = request.cookies.get(COOKIE)
    if token is not None and len(token) > _LONGEST_TOKEN:
        raise NotAllowed("the token is too long to be one of ours", status=401)
    return token


def _closed() -> Unavailable:
    return Unavailable("the access file", "it cannot be read: nobody is let in until it can")
