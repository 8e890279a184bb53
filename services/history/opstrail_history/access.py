"""Who asks, what they may do, and which accounts they may see (PURE).

A token is a long random text; only its SHA-256 is kept. That is enough: there is nothing to guess
in 256 random bits, which is what slow password hashes are for.
"""

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from opstrail_history.refusals import NotAllowed

Right = Literal["read", "export", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
# Goes where an access key id goes: letters and digits only.
TOKEN_PREFIX = "opstrail"  # noqa: S105 - tells what the text is, is none itself
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}|-", re.ASCII)
ANYBODY = "*"


class BadAccessFile(Exception):
    """The access file says something that cannot be meant; the message says where."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts that may be seen; None: all."""

    accounts: frozenset[str] | None = None

    @property
    def listed(self) -> list[str] | None:
        """The accounts in order; None: all."""
        return None if self.accounts is None else sorted(self.accounts)

    def holds(self, account: str | None) -> bool:
        """Return whether what belongs to an account may be seen."""
        return self.accounts is None or account in self.accounts


ALL_ACCOUNTS = Scope()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `way` is how they were recognised."""

    name: str
    scope: Scope
    rights: frozenset[Right]
    way: Literal["local", "token", "proxy"]

    @property
    def key(self) -> str:
        """What their requests and streams are counted under."""
        return f"{self.way}:{self.name}"

    def must(self, right: Right) -> None:
        """Raise NotAllowed without that right."""
        if not self.may(right):
            raise NotAllowed(f"{self.name} lacks the right `{right}`", status=403)

    def may(self, right: Right) -> bool:
        """Return whether they have that right. `admin` holds the others, `export` holds `read`."""
        holding: tuple[Right, ...] = ("admin", right, "export" if right == "read" else right)
        return not self.rights.isdisjoint(holding)


LOCAL = Principal("local", ALL_ACCOUNTS, frozenset(RIGHTS), "local")


@dataclass(frozen=True, slots=True)
class Access:
    """What the access file grants: principals by hash of their token, and by name for a proxy."""

    by_hash: Mapping[str, Principal]
    by_user: Mapping[str, Principal]

    def of_token(self, token: str) -> Principal:
        """Return whose token it is. Raises NotAllowed."""
        principal = self.by_hash.get(token_hash(token))
        if principal is None:
            raise NotAllowed("the token is not known here", status=401)
        return principal

    def of_user(self, user: str) -> Principal:
        """Return what a user named by the proxy may do. Raises NotAllowed."""
        named = self.by_user.get(user)
        if named is not None:
            return named
        anybody = self.by_user.get(ANYBODY)
        if anybody is None:
            raise NotAllowed(f"{user[:100]} has no access here", status=403)
        return Principal(user, anybody.scope, anybody.rights, "proxy")


def token_hash(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def access_of(document: object) -> Access:
    """Return what an access file, parsed, grants. Raises BadAccessFile.

    `tokens:` a list of {name, sha256, accounts, rights}; `users:` a list of {name, accounts,
    rights}, where the name `*` is whomever else the proxy lets in. `accounts` is a list of account
    numbers, or `all`; it must be said.
    """
    if not isinstance(document, dict) or not document.keys() <= {"tokens", "users"}:
        raise BadAccessFile("the access file must hold `tokens:`, `users:` or both, nothing else")
    by_hash: dict[str, Principal] = {}
    for at, entry in enumerate(_entries(document, "tokens")):
        principal = _principal(entry, f"tokens[{at}]", "token", {"sha256"})
        sha256 = entry.get("sha256")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise BadAccessFile(f"tokens[{at}]: sha256 must be 64 hex digits, in lower case")
        if sha256 in by_hash:
            raise BadAccessFile(f"tokens[{at}]: the same token stands there twice")
        by_hash[sha256] = principal
    by_user: dict[str, Principal] = {}
    for at, entry in enumerate(_entries(document, "users")):
        principal = _principal(entry, f"users[{at}]", "proxy", set())
        if principal.name in by_user:
            raise BadAccessFile(f"users[{at}]: {principal.name} stands there twice")
        by_user[principal.name] = principal
    return Access(by_hash, by_user)


def _entries(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    entries = document.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadAccessFile(f"{name}: must be a list of entries with names")
    return entries


def _principal(
    entry: Mapping[str, Any], place: str, way: Literal["token", "proxy"], more: set[str]
) -> Principal:
    unknown = entry.keys() - {"name", "accounts", "rights"} - more
    if unknown:
        raise BadAccessFile(f"{place}: {', '.join(sorted(map(str, unknown)))} is not known")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise BadAccessFile(f"{place}: a name is missing")
    rights = entry.get("rights")
    if not isinstance(rights, list) or not rights or not set(rights) <= set(RIGHTS):
        raise BadAccessFile(f"{place}: rights must be some of {', '.join(RIGHTS)}")
    return Principal(name, _scope(entry.get("accounts"), place), frozenset(rights), way)


def _scope(accounts: object, place: str) -> Scope:
    if accounts == "all":
        return ALL_ACCOUNTS
    # A number would have lost its leading zeros.
    if (
        isinstance(accounts, list)
        and accounts
        and all(isinstance(one, str) and is_account(one) for one in accounts)
    ):
        return Scope(frozenset(accounts))
    raise BadAccessFile(
        f"{place}: accounts must be `all`, or a list of 12-digit numbers in quotation marks"
    )


def is_account(text: str) -> bool:
    """Return whether a text is an account's number; `-` is that of events which name none."""
    return _ACCOUNT.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Return whether an address or name to bind to is this machine's own only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """Return the name in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0][1:]
    return header.partition(":")[0].lower()
