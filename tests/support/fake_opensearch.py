"""OpenSearch in memory, as far as the sink of store asks: bulk with external versions, and mget."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from opensearchpy.exceptions import TransportError


class FakeOpenSearch:
    """Keeps documents by (index, id). What `before` and `after` raise or return comes in between.

    `before(documents)` is asked before anything is applied, `after(documents)` once all is: an
    exception there is a reply that was lost. `refuses(document)` gives an item its error status.
    """

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.requests: list[list[str]] = []
        self.looked_up: list[list[str]] = []
        self.before: Callable[[list[dict[str, Any]]], None] = lambda _: None
        self.after: Callable[[list[dict[str, Any]]], None] = lambda _: None
        self.refuses: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda _: None
        self.look_up_errors: list[str] = []

    def bulk(self, *, body: bytes, params: Mapping[str, str]) -> dict[str, Any]:
        """Apply a bulk body, each item for itself."""
        lines = [json.loads(line) for line in body.splitlines()]
        actions: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = []
        while lines:
            ((kind, action),) = lines.pop(0).items()
            actions.append((kind, action, lines.pop(0) if kind == "index" else None))
        self.requests.append([action["_id"] for _, action, _ in actions])
        documents = [document or {} for _, _, document in actions]
        self.before(documents)
        items = [{kind: self._apply(kind, action, document)} for kind, action, document in actions]
        self.after(documents)
        return {"items": items}

    def _apply(
        self, kind: str, action: dict[str, Any], document: dict[str, Any] | None
    ) -> dict[str, Any]:
        at = (action["_index"], action["_id"])
        refusal = self.refuses(document or {})
        if refusal is not None:
            return {"status": refusal[0], "error": {"type": refusal[1], "reason": "refused"}}
        if action["version"] <= self.versions.get(at, -1):
            return {"status": 409, "error": {"type": "version_conflict_engine_exception"}}
        self.versions[at] = action["version"]
        if kind == "delete":
            return {"status": 404 if self.documents.pop(at, None) is None else 200}
        created = at not in self.documents
        self.documents[at] = document or {}
        return {"status": 201 if created else 200}

    def mget(self, *, body: Mapping[str, Any], params: Mapping[str, str]) -> dict[str, Any]:
        """Return what is there."""
        asked = [(doc["_index"], doc["_id"]) for doc in body["docs"]]
        self.looked_up.append([id_ for _, id_ in asked])
        if self.look_up_errors:
            error = {"type": self.look_up_errors.pop(0)}
            return {"docs": [{"_index": at[0], "_id": at[1], "error": error} for at in asked]}
        return {
            "docs": [
                {
                    "_index": at[0],
                    "_id": at[1],
                    "_version": self.versions.get(at),
                    "found": at in self.documents,
                    "_source": self.documents.get(at),
                }
                for at in asked
            ]
        }


def status_error(status: int, kind: str = "some_exception") -> TransportError:
    """The error of a request that got this status."""
    return TransportError(status, kind, {"error": {"type": kind, "reason": "refused"}})
