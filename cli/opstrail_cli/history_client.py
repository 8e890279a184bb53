"""The history API as people's commands ask it: one address, one token."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
import httpx2

from opstrail_cli import history_process
from opstrail_history.settings import ClientSettings

Json = Mapping[str, Any]
Parameters = Sequence[tuple[str, str]]
_TIMEOUT_S = 60.0
_EVENT = "event: "
_DATA = "data: "
_ID = "id: "
_AGAIN_S = 3.0
_MOST_SEEN = 20_000  # what a live view shows again lies within half a minute
UNAUTHORIZED, NOT_FOUND, UNAVAILABLE = 401, 404, 503


class Refused(click.ClickException):
    """The server refuses, or is not there; the message says what to do."""


class Away(Refused):
    """The server, or its store, is not there now; it may be a little later."""


class HistoryClient:
    """Asks one server. Raises Refused."""

    def __init__(self, settings: ClientSettings) -> None:
        told = settings.history
        headers = {}
        if told.token is not None:
            headers["Authorization"] = f"Bearer {told.token.get_secret_value()}"
        self._url = history_process.url().rstrip("/")
        # trust_env: the usual proxies and certificates of the machine apply.
        self._http = httpx2.Client(base_url=self._url, headers=headers, timeout=_TIMEOUT_S)

    def get(self, path: str, parameters: Parameters = ()) -> Any:
        """Return an answer, parsed."""
        with self._translated():
            answer = self._http.get(path, params=list(parameters))
            self._check(answer)
            return answer.json()

    def stream(self, path: str, parameters: Parameters) -> Iterator[bytes]:
        """Yield the bytes of a download as they come."""
        with (
            self._translated(),
            self._http.stream("GET", path, params=list(parameters)) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._check(answer)
            yield from answer.iter_bytes()

    def live(
        self, parameters: Parameters, *, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[tuple[str, Json]]:
        """Yield the live view's messages: their kind and what they say; each event once.

        A view that has begun goes on where it broke off, whenever the server answers again.
        """
        last: str | None = None
        seen: OrderedDict[str, None] = OrderedDict()
        began = False
        while True:
            try:
                for kind, at, message in self._followed(parameters, last):
                    last = at
                    began = True
                    if kind == "row":
                        if message["id"] in seen:
                            continue
                        seen[message["id"]] = None
                        if len(seen) > _MOST_SEEN:
                            seen.popitem(last=False)
                    if kind:
                        yield kind, message
                    if kind == "ended":
                        return
            except Away as away:
                if not began:
                    raise
                yield "away", {"why": away.message}
            wait(_AGAIN_S)

    def _followed(
        self, parameters: Parameters, last: str | None
    ) -> Iterator[tuple[str, str | None, Json]]:
        """Yield one connection's messages, each with its id; first an empty one: it has begun."""
        kind = ""
        timeout = httpx2.Timeout(_TIMEOUT_S, read=None)
        headers = {} if last is None else {"Last-Event-ID": last}
        with (
            self._translated(),
            self._http.stream(
                "GET", "/api/v1/live", params=list(parameters), timeout=timeout, headers=headers
            ) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._check(answer)
            yield "", last, {}
            for line in answer.iter_lines():
                if line.startswith(_EVENT):
                    kind = line[len(_EVENT) :]
                elif line.startswith(_ID):
                    last = line[len(_ID) :]
                elif line.startswith(_DATA):
                    yield kind, last, json.loads(line[len(_DATA) :])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            raise Away(
                f"no history answers at {self._url}: start it with `opstrail history`, or set "
                "OPSTRAIL_HISTORY__URL"
            ) from error
        except httpx2.RemoteProtocolError as error:
            raise Away(f"{self._url} broke off: what came is incomplete") from error
        except httpx2.HTTPError as error:
            raise Away(f"{self._url}: {str(error) or type(error).__name__}") from error

    def _check(self, answer: httpx2.Response) -> None:
        if not answer.is_error:
            return
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{self._url} answers with {answer.status_code}"
        if answer.status_code == UNAUTHORIZED:
            message += " (OPSTRAIL_HISTORY__TOKEN)"
        raise (Away if answer.status_code == UNAVAILABLE else Refused)(message)
