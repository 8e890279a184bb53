"""The tour's questions to the store, over OpenSearch's plain HTTP."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from opstrail_cli.demo_report import Found, StackEvent

# The tour reads ids at once; a store with more is somebody's own, and is not compared.
MOST_IDS = 10_000
_TOP = 8
_OPSWORKS = {"term": {"eventSource": "opsworks.amazonaws.com"}}


def look(url: str) -> Found:
    """Return what lies in the store now."""
    events = _search(
        url,
        "opstrail-events",
        {
            "size": MOST_IDS,
            "sort": [{"_id": "asc"}],
            "aggs": {
                "kinds": _terms("opstrail.caller.kind"),
                "credentials": _terms("opstrail.caller.credentialKind"),
                "accounts": _terms("opstrail.account.name", missing=""),
                "callers": _terms("opstrail.caller.name", "opstrail.caller.kind", size=_TOP),
                "opsworks": {
                    "filter": _OPSWORKS,
                    "aggs": {
                        "ids": _terms("opstrail.stack.id"),
                        "calls": _terms(
                            "opstrail.stack.name",
                            "eventName",
                            size=_TOP,
                            missing="(none known)",
                        ),
                    },
                },
            },
        },
    )
    letters = _search(url, "opstrail-dead-letters", {"size": 100, "sort": [{"key": "asc"}]})
    found = events["aggregations"]
    documents = {hit["_id"]: hit["_source"] for hit in events["hits"]["hits"]}
    return Found(
        identities=documents.keys(),
        dead_letters=[hit["_source"] for hit in letters["hits"]["hits"]],
        by_caller_kind=_counts(found["kinds"]),
        by_credential_kind=_counts(found["credentials"]),
        by_account_name=_counts(found["accounts"]),
        by_stack_id=_counts(found["opsworks"]["ids"]),
        top_callers=_pairs(found["callers"], most=1),
        stack_calls=_pairs(found["opsworks"]["calls"], most=4),
        stack_events=[*_stack_events(documents)],
        digest=_digest(documents),
    )


def _stack_events(documents: Mapping[str, Any]) -> Iterator[StackEvent]:
    for identity, document in documents.items():
        stack = document["opstrail"].get("stack") or {}
        if stack.get("id"):
            yield StackEvent(
                identity,
                document["eventTime"],
                document["eventName"],
                stack["id"],
                stack.get("name") or "",
                stack["resolution"],
                "stackId" in (document.get("requestParameters") or {}),
            )


def _digest(documents: Mapping[str, Any]) -> str:
    """Return one digest of all documents, without what tells of the delivery."""
    digest = hashlib.sha256()
    for identity in sorted(documents):
        document = documents[identity]
        ours = {name: value for name, value in document["opstrail"].items() if name != "delivery"}
        text = json.dumps([identity, document | {"opstrail": ours}], sort_keys=True)
        digest.update(text.encode())
    return digest.hexdigest()


def _terms(
    field: str, below: str | None = None, *, size: int = 100, missing: str | None = None
) -> dict[str, Any]:
    terms: dict[str, Any] = {"terms": {"field": field, "size": size}}
    if missing is not None:
        terms["terms"]["missing"] = missing
    if below is not None:
        terms["aggs"] = {"below": _terms(below)}
    return terms


def _counts(terms: Mapping[str, Any]) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in terms["buckets"]}


def _pairs(terms: Mapping[str, Any], *, most: int) -> list[tuple[str, str, int]]:
    return [
        (bucket["key"], below["key"], below["doc_count"])
        for bucket in terms["buckets"]
        for below in bucket["below"]["buckets"][:most]
    ]


def _search(url: str, alias: str, body: Mapping[str, Any]) -> Any:
    _post(f"{url}/{alias}/_refresh", None)
    return _post(f"{url}/{alias}/_search", body)


def _post(url: str, body: Mapping[str, Any] | None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the local server's own address
        url,
        b"" if body is None else json.dumps(body).encode(),  # _refresh refuses any body
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
        return json.load(answer)
