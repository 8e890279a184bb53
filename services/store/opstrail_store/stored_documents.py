"""Documents of events read back: which there are, and their exact bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.serializer import JSONSerializer

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


class _Page(msgspec.Struct):
    hits: _Hits
    scroll_id: str | None = msgspec.field(name="_scroll_id", default=None)


class _Document(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw())


class _Documents(msgspec.Struct):
    docs: list[_Document]


class ExactJson(JSONSerializer):
    """Leaves answers as the text that came: what is cut out of them is never written anew."""

    def loads(self, s: str) -> Any:
        """Return the text."""
        return s


class StoredDocuments:
    """Reads behind the alias of events. Its client must leave answers as text (`ExactJson`).

    Raises Unavailable, OpenSearchRefuses.
    """

    def __init__(self, client: OpenSearch, alias: str) -> None:
        self._client = client
        self._alias = alias

    def refresh(self) -> None:
        """Let everything be seen that was written."""
        with translated():
            self._client.indices.refresh(index=self._alias)

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
                answer = self._client.mget(
                    body={"docs": [{"_index": one.index, "_id": one.id} for one in some]},
                    params={"filter_path": "docs._source,docs._id"},
                )
            for document in msgspec.json.decode(_bytes(answer), type=_Documents).docs:
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
                params={"scroll": _KEEP_ALIVE},
            )
        page = msgspec.json.decode(_bytes(answer), type=_Page)
        try:
            while page.hits.hits:
                for hit in page.hits.hits:
                    [version] = hit.fields.get("opstrail.version", [0])
                    keys = tuple(hit.fields.get("opstrail.stackKeys", ()))
                    yield Known(hit.index, hit.id, version, keys)
                with translated():
                    answer = self._client.scroll(
                        body={"scroll_id": page.scroll_id, "scroll": _KEEP_ALIVE}
                    )
                page = msgspec.json.decode(_bytes(answer), type=_Page)
        finally:
            with translated():
                self._client.clear_scroll(body={"scroll_id": [page.scroll_id]}, ignore=(404,))


def _bytes(answer: Any) -> bytes:
    text: str = answer
    return text.encode("utf-8", "surrogatepass")
