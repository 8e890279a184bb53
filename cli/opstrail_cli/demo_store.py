"""The tour's questions to the store, over OpenSearch's plain HTTP."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from opstrail_cli.demo_report import Found

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
            "_source": False,
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
                            "opstrail.stack.name", "eventName", size=_TOP, missing="(not known yet)"
                        ),
                    },
                },
            },
        },
    )
    letters = _search(url, "opstrail-dead-letters", {"size": 100, "sort": [{"key": "asc"}]})
    found = events["aggregations"]
    return Found(
        identities={hit["_id"] for hit in events["hits"]["hits"]},
        dead_letters=[hit["_source"] for hit in letters["hits"]["hits"]],
        by_caller_kind=_counts(found["kinds"]),
        by_credential_kind=_counts(found["credentials"]),
        by_account_name=_counts(found["accounts"]),
        by_stack_id=_counts(found["opsworks"]["ids"]),
        top_callers=_pairs(found["callers"], most=1),
        stack_calls=_pairs(found["opsworks"]["calls"], most=4),
    )


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
