"""Documents of events read back: which there are, and their exact bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.exceptions import NotFoundError
from opensearchpy.serializer import JSONSerializer

from opstrail_runtime.errors import Unavailable
from opstrail_store.bulk_response import NOTHING_THERE
from opstrail_store.opensearch_errors import translated

_PAGE = 2_000
_KEEP_ALIVE = "10m"
# Kept small: one record may have 4 MiB.
_MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Known:
    """What tells whether a document is behind the facts."""

    index: str
    id: str
    version: int
    stack_keys: tuple[str, ...]


class _Hit(msgspec.Struct):
    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")
    fields: dict[str, Any] = {}


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Shards(msgspec.Struct):
    failed: int = 0


class _Answer(msgspec.Struct):
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)


class _Page(_Answer):
    hits: _Hits = msgspec.field(default_factory=_Hits)
    scroll_id: str | None = msgspec.field(name="_scroll_id", default=None)


class _Error(msgspec.Struct):
    type: str = ""


class _Document(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw())
    error: _Error | None = None


class _Documents(msgspec.Struct):
    docs: list[_Document]


_AnAnswer = TypeVar("_AnAnswer", bound=_Answer)


class ExactJson(JSONSerializer):
    """Leaves answers as the text that came: what is cut out of them is never written anew."""

    def loads(self, s: str) -> Any:
        """Return the text."""
        return s


class StoredDocuments:
    """Reads behind the alias of events. Its client must leave answers as text (`ExactJson`).

    An answer without some of the shards is none: a document that is passed over is never repaired.
    Raises Unavailable, OpenSearchRefuses.
    """

    def __init__(self, client: OpenSearch, alias: str) -> None:
        self._client = client
        self._alias = alias

    def refresh(self) -> None:
        """Let everything be seen that was written."""
        with translated():
            answer = self._client.indices.refresh(index=self._alias)
        _read(answer, _Answer)

    def naming(self, keys: Sequence[str]) -> Iterator[Known]:
        """Yield the documents that name any of these keys, as they are now. At most 65,536 keys."""
        return self._matching({"terms": {"opstrail.stackKeys": list(keys)}})

    def all(self) -> Iterator[Known]:
        """Yield all documents, as they are now."""
        return self._matching({"match_all": {}})

    def sources(self, documents: Sequence[Known]) -> Iterator[bytes | None]:
        """Yield the `_source` bytes of documents, in order; None for one that is gone."""
        for start in range(0, len(documents), _MOST_AT_ONCE):
            some = documents[start : start + _MOST_AT_ONCE]
            with translated():
                # Without `filter_path`: with one OpenSearch parses each source and writes it anew,
                # which costs digits of numbers.
                answer = self._client.mget(
                    body={"docs": [{"_index": one.index, "_id": one.id} for one in some]}
                )
            for document in msgspec.json.decode(_bytes(answer), type=_Documents).docs:
                if document.error is not None and document.error.type not in NOTHING_THERE:
                    raise Unavailable("opensearch", f"a shard does not answer: {document.error}")
                yield bytes(document.source) or None

    def _matching(self, query: dict[str, Any]) -> Iterator[Known]:
        # A scroll sees the documents of its beginning, however long it takes.
        with translated():
            answer = self._client.search(
                index=self._alias,
                body={
                    "query": query,
                    "_source": False,
                    "docvalue_fields": ["opstrail.stackKeys", "opstrail.version"],
                    "size": _PAGE,
                    "sort": ["_doc"],
                },
                params={"scroll": _KEEP_ALIVE, "allow_partial_search_results": "false"},
            )
        page = _read(answer, _Page)
        try:
            while page.hits.hits:
                for hit in page.hits.hits:
                    [version] = hit.fields.get("opstrail.version", [0])
                    keys = tuple(hit.fields.get("opstrail.stackKeys", ()))
                    yield Known(hit.index, hit.id, version, keys)
                page = self._next_page(page.scroll_id)
        finally:
            with translated():
                self._client.clear_scroll(body={"scroll_id": [page.scroll_id]}, ignore=(404,))

    def _next_page(self, scroll_id: str | None) -> _Page:
        with translated():
            try:
                answer = self._client.scroll(body={"scroll_id": scroll_id, "scroll": _KEEP_ALIVE})
            except NotFoundError as error:
                raise Unavailable("opensearch", f"the scroll is gone: {error}") from error
        return _read(answer, _Page)


def _read(answer: Any, kind: type[_AnAnswer]) -> _AnAnswer:
    """Decode an answer. Raises Unavailable where a shard had no part in it."""
    found = msgspec.json.decode(_bytes(answer), type=kind)
    if found.shards.failed:
        raise Unavailable("opensearch", f"{found.shards.failed} shards do not answer")
    return found


def _bytes(answer: Any) -> bytes:
    text: str = answer
    return text.encode("utf-8", "surrogatepass")
