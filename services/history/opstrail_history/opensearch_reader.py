"""Reads the store: pages, counts, points in time. Everything it returns keeps its exact text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.serializer import JSONSerializer

from opstrail_history.cursor import Position
from opstrail_history.opensearch_errors import TooManyPoints, translated
from opstrail_history.points import OpenPoints
from opstrail_runtime.errors import Unavailable

Json = Mapping[str, Any]
T = TypeVar("T")
KEEP_ALIVE = "3m"
# How much longer a request may take than the search in it.
_MORE_S = 5.0


class ExactJson(JSONSerializer):
    """Leaves answers as the text that came: what is cut out of them is never written anew."""

    def loads(self, s: str) -> Any:
        """Return the text."""
        return s


@dataclass(frozen=True, slots=True)
class Hit:
    """A document: its id, its exact `_source`, its place in the order."""

    id: str
    source: bytes
    position: Position


@dataclass(frozen=True, slots=True)
class Page:
    """Some documents in order. `total` counts all that match, where it was asked for."""

    hits: tuple[Hit, ...]
    total: int | None


@dataclass(frozen=True, slots=True)
class Ask:
    """One search. `fields` None: whole documents, exact; empty: none of them."""

    query: Json
    sort: Sequence[Json] = ()
    size: int = 0
    after: Position | None = None
    fields: Sequence[str] | None = ()
    aggregations: Json | None = None
    total: bool = False


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"{}"))
    sort: list[Any] = []


class _Total(msgspec.Struct):
    value: int = 0


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []
    total: _Total | None = None


class _Answer(msgspec.Struct):
    hits: _Hits = msgspec.field(default_factory=_Hits)
    timed_out: bool = False
    aggregations: dict[str, Any] = {}
    status: int = 200


class _Answers(msgspec.Struct):
    responses: list[_Answer]


class _Point(msgspec.Struct):
    pit_id: str


class OpenSearchReader:
    """Reads one installation. Its client must leave answers as text (`ExactJson`).

    Raises Unavailable, StoreRefuses, BadQuery; PointGone for a point in time that is no more.
    """

    def __init__(self, client: OpenSearch, points: OpenPoints, *, timeout_s: float) -> None:
        self._client = client
        self._points = points
        self._timeout_s = timeout_s

    def page(self, alias: str, ask: Ask, *, pit: str | None = None) -> Page:
        """Return one page, as of a point in time where one is given."""
        return _page(self._search(alias, ask, pit))

    def counted(self, alias: str, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Return how many match, and the aggregations."""
        answer = self._search(alias, ask, None)
        return (answer.hits.total.value if answer.hits.total else 0), answer.aggregations

    def pages(self, alias: str, asks: Sequence[Ask]) -> list[Page]:
        """Return a page for each of several searches, in one request."""
        body = b"".join(
            msgspec.json.encode(part) + b"\n"
            for ask in asks
            for part in (
                {"index": alias, "allow_partial_search_results": False},
                self._body(ask),
            )
        )
        with translated():
            text = self._client.msearch(
                body=body,
                request_timeout=self._timeout_s + _MORE_S,
            )
        answers = _decoded(text, _Answers).responses
        if any(answer.status != 200 or answer.timed_out for answer in answers):  # noqa: PLR2004
            raise Unavailable("the store", "a part of the question was not answered")
        return [_page(answer) for answer in answers]

    def open_point(self, alias: str) -> str:
        """Open a point in time: what it shows stays as it is. Raises TooManyPoints."""
        if not self._points.is_room():
            raise TooManyPoints
        with translated():
            text = self._client.create_pit(
                index=alias,
                params={"keep_alive": KEEP_ALIVE, "allow_partial_pit_creation": "false"},
            )
        pit = _decoded(text, _Point).pit_id
        self._points.used(pit)
        return pit

    def close_point(self, pit: str) -> None:
        """Give a point in time up; one that is gone already is no matter."""
        self._points.closed(pit)
        with translated():
            self._client.delete_pit(body={"pit_id": [pit]}, ignore=(404,))

    def _search(self, alias: str, ask: Ask, pit: str | None) -> _Answer:
        body = self._body(ask)
        if pit is not None:
            body["pit"] = {"id": pit, "keep_alive": KEEP_ALIVE}
            self._points.used(pit)
        with translated():
            text = self._client.search(
                body=body,
                index=None if pit is not None else alias,
                params={"allow_partial_search_results": "false"},
                request_timeout=self._timeout_s + _MORE_S,
            )
        answer = _decoded(text, _Answer)
        if answer.timed_out:
            raise Unavailable(
                "the store", f"no answer within {self._timeout_s:g} s; ask for a shorter time"
            )
        return answer

    def _body(self, ask: Ask) -> dict[str, Any]:
        body: dict[str, Any] = {
            "query": ask.query,
            "size": ask.size,
            "_source": True if ask.fields is None else list(ask.fields) or False,
            "track_total_hits": ask.total,
            "timeout": f"{int(self._timeout_s * 1000)}ms",
        }
        if ask.sort:
            body["sort"] = list(ask.sort)
        if ask.after is not None:
            body["search_after"] = list(ask.after)
        if ask.aggregations is not None:
            body["aggs"] = ask.aggregations
        return body


def _page(answer: _Answer) -> Page:
    hits = tuple(Hit(hit.id, bytes(hit.source), tuple(hit.sort)) for hit in answer.hits.hits)
    return Page(hits, answer.hits.total.value if answer.hits.total else None)


def _decoded(text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogatepass"), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    # A document that store did not write may hold half a surrogate pair: such are made whole.
    try:
        whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(whole, type=kind)
    except (ValueError, RecursionError) as error:
        raise Unavailable("the store", "an answer that is no JSON of OpenSearch's") from error
