"""What is known of one server: how it is run, and whether it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import requests

Kind = Literal["kafka", "registry", "opensearch", "aws"]

_ANSWER_WITHIN_S = 5.0


class NotReady(Exception):
    """The server is not the one that was started, or not yet able to work; says which."""


class WrongServer(NotReady):
    """Our process answers on our port, and calls itself otherwise: waiting will not change it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it is run: enough to start it again just so."""

    name: str
    kind: Kind
    version: str
    address: str
    """What a client is given: host:port for Kafka, a URL for the others."""
    ports: tuple[int, ...]
    """The first is the client's; all of them on loopback."""
    argv: tuple[str, ...]
    folder: str
    """Data, configuration and log; the working folder of the process."""
    identity: dict[str, str] = field(default_factory=dict)
    """What the server must say of itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A server about to be started: first the files, then the commands, then the server."""

    server: Server
    files: Mapping[Path, str]
    before: tuple[tuple[str, ...], ...] = ()


def ask(method: str, url: str, *, body: object = None, ok: tuple[int, ...] = (200,)) -> Any:
    """Ask a server on loopback; anything but an answer of `ok` means that it is not ready."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment has no way to our loopback
        try:
            response = session.request(method, url, json=body, timeout=_ANSWER_WITHIN_S)
        except requests.RequestException as error:
            raise NotReady(f"{url}: {error}") from error
    if response.status_code not in ok:
        raise NotReady(f"{method} {url}: {response.status_code} {response.text[:300]}")
    is_json = "json" in response.headers.get("Content-Type", "")
    return response.json() if is_json else response.text


def expect(what: str, actual: object, expected: object) -> None:
    """A server that calls itself otherwise is not the one that was meant."""
    if actual != expected:
        raise WrongServer(f"{what} is {actual}, not {expected}: this is not the server meant")
