"""What belongs to an event, and why (PURE)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opstrail_history.cursor import Position
from opstrail_history.query import Query, any_of
from opstrail_history.stored_document import below, text, texts

Json = Mapping[str, Any]
_MOST = 10
_MOST_BESIDE = 5
_MOST_RESOURCES = 20

GROUPS: Mapping[str, str] = {
    "corrects": "The event that this one corrects",
    "correctedBy": "Corrections of this event",
    "shared": "The same call in another account",
    "request": "The same request",
    "issued": "Done with the access key that this call issued",
    "after": "What the caller did just after",
    "before": "What the caller did just before",
    "session": "The same session",
    "resource": "The same resource",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One search for what belongs to an event."""

    query: Query
    most: int = _MOST
    newest_first: bool = True
    after: Position | None = None


def related_queries(document_id: str, document: Json, position: Position) -> dict[str, Asked]:
    """Return the searches by group. `position` is the event's in the order, newest first."""
    ours = below(document, "opstrail")
    wanted: dict[str, Query | None] = {
        "corrects": _ids(text(ours.get("corrects"))),
        "correctedBy": {"term": {"opstrail.corrects": document_id}},
        "shared": _term("sharedEventID", document.get("sharedEventID")),
        "request": _term("requestID", document.get("requestID")),
        "issued": _term("opstrail.accessKeyId", ours.get("issuedAccessKeyId")),
        "session": _session(ours),
        "resource": _resources(document, ours),
    }
    found = {
        name: Asked(_but(document_id, query)) for name, query in wanted.items() if query is not None
    }
    caller = _caller(ours)
    if caller is not None:
        beside = _but(document_id, caller)
        found["before"] = Asked(beside, _MOST_BESIDE, after=position)
        # The same order read backwards from the same place.
        found["after"] = Asked(beside, _MOST_BESIDE, newest_first=False, after=position)
    return found


def _but(document_id: str, query: Query) -> Query:
    """Return the query without the event itself."""
    return {"bool": {"filter": [query], "must_not": [{"ids": {"values": [document_id]}}]}}


def _term(field: str, value: object) -> Query | None:
    word = text(value)
    return None if word is None else {"term": {field: word}}


def _ids(document_id: str | None) -> Query | None:
    return None if document_id is None else {"ids": {"values": [document_id]}}


def _session(ours: Json) -> Query | None:
    """Return what finds the same session: its access key, or who it is and when it began."""
    key = text(ours.get("accessKeyId"))
    caller = below(ours, "caller")
    if key is not None and key.startswith("ASIA"):
        own = _term("opstrail.caller.arn", caller.get("arn"))
        used: Query = {"term": {"opstrail.accessKeyId": key}}
        return used if own is None else {"bool": {"filter": [used, own]}}
    began = caller.get("sessionCreatedAt")
    principal = text(caller.get("principalId"))
    if began is None or principal is None:
        return None
    terms = [
        {"term": {"opstrail.caller.principalId": principal}},
        {"term": {"opstrail.caller.sessionCreatedAt": began}},
    ]
    return {"bool": {"filter": terms}}


def _caller(ours: Json) -> Query | None:
    caller = below(ours, "caller")
    for name in ("arn", "principalId"):
        if (query := _term(f"opstrail.caller.{name}", caller.get(name))) is not None:
            return query
    name_, account = text(caller.get("name")), text(ours.get("accountId"))
    if name_ is None or account is None:
        return None
    terms = [{"term": {"opstrail.caller.name": name_}}, {"term": {"opstrail.accountId": account}}]
    return {"bool": {"filter": terms}}


def _resources(document: Json, ours: Json) -> Query | None:
    resources = document.get("resources")
    arns = [
        arn
        for resource in (resources if isinstance(resources, list) else ())
        if isinstance(resource, dict) and (arn := text(resource.get("ARN")))
    ]
    stack = below(ours, "stack")
    queries: list[Query] = []
    if arns:
        queries.append({"terms": {"resources.ARN": arns[:_MOST_RESOURCES]}})
    queries.extend(_members(stack))
    return any_of(queries) if queries else None


def _members(stack: Json) -> Sequence[Query]:
    """Return what finds the same instances, apps or layers, else the same stack."""
    found: list[Query] = []
    for kind in ("instanceIds", "appIds", "layerIds"):
        if ids := texts(stack.get(kind)):
            found.append({"terms": {f"opstrail.stack.{kind}": ids[:_MOST_RESOURCES]}})
            break
    else:
        if (stack_id := text(stack.get("id"))) is not None:
            found.append({"term": {"opstrail.stack.id": stack_id}})
    return found
