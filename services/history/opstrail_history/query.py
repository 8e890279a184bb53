"""A question as a query of OpenSearch (PURE). Every one is narrowed to the accounts in scope.

Everything stands in filter context: nothing is scored, and OpenSearch may keep what it found.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from opstrail_history.access import Scope
from opstrail_history.filters import BY_NAME, Filter, Filters, Value
from opstrail_history.free_text import Clause
from opstrail_history.refusals import BadQuery

Query = dict[str, Any]

# Newest first. The three together are unique to an event and never change, so that a position in
# the order stays one: documents are corrected in place, under the same identity and time.
_IDENTITY = ("opstrail.eventID", "opstrail.accountId")
_TEXT_FIELDS = (
    "eventName", "eventSource", "awsRegion", "sourceIPAddress", "userAgent", "errorCode",
    "requestID", "sharedEventID", "eventType", "resources.ARN", "resources.type",
    "opstrail.eventID", "opstrail.accountId", "opstrail.accessKeyId",
    "opstrail.issuedAccessKeyId", "opstrail.caller.name", "opstrail.caller.arn",
    "opstrail.caller.userName", "opstrail.caller.roleName", "opstrail.caller.sessionName",
    "opstrail.caller.sourceIdentity", "opstrail.account.name", "opstrail.account.tags",
    "opstrail.stack.id", "opstrail.stack.name", "opstrail.stack.layerNames",
    "opstrail.stack.instanceNames", "opstrail.stack.appNames",
)  # fmt: skip
_FREE_FIELDS = ("requestParameters", "responseElements", "additionalEventData")
# What AWS's services call an answer of no: the names that end, or begin, so.
DENIED_CODES = (
    "AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation",
    "UnauthorizedOperation", "UnauthorizedAccess", "Unauthorized", "UnauthorizedException",
    "NotAuthorized", "NotAuthorizedException", "AuthorizationError", "AuthorizationErrorException",
    "AuthFailure", "Client.AuthFailure", "Forbidden", "ForbiddenException", "AccessForbidden",
)  # fmt: skip
# A sign-in that fails says so in words and without a code.
SIGN_IN = "signin.amazonaws.com"
# OpenSearch answers no question of more than 1,024 parts, and takes seconds to say so. Some of ours
# are more than one to it, and counts add theirs.
MOST_PARTS = 850
# Calls that only read, where an old record does not say so.
_READING = ("Describe", "Get", "List", "Lookup", "Head", "BatchGet", "Search", "View")


def sort_of(*, newest_first: bool = True) -> list[Query]:
    """Return the order of events; those without a time are the oldest."""
    order = "desc" if newest_first else "asc"
    return [
        {"eventTime": {"order": order, "missing": "_last" if newest_first else "_first"}},
        *({name: {"order": order}} for name in _IDENTITY),
    ]


def event_query(filters: Filters, scope: Scope) -> Query:
    """Return the query of a question. Raises BadQuery where it has more parts than MOST_PARTS."""
    must = [*_scoped(scope), *_timed(filters)]
    must_not: list[Query] = []
    for name, values in filters.values.items():
        one = BY_NAME[name]
        wanted = [value for value in values if not value.excluded]
        if wanted:
            must.append(any_of(value_query(one, wanted)))
        excluded = [value for value in values if value.excluded]
        if excluded:
            must_not.extend(value_query(one, excluded))
    for clause in filters.text:
        (must_not if clause.excluded else must).append(any_of(_clause_queries(clause)))
    if sum(map(_parts, [*must, *must_not])) > MOST_PARTS:
        raise BadQuery("the question has too many parts: ask for fewer words and values at once")
    return {"bool": {"filter": must or [{"match_all": {}}], "must_not": must_not}}


def _parts(query: Query) -> int:
    inner = query.get("bool")
    if inner is None:
        return 1
    lists = (member for member in inner.values() if isinstance(member, list))
    return sum(_parts(one) for each in lists for one in each)


def narrowed(query: Query, scope: Scope) -> Query:
    """Return any other query about events, narrowed to the accounts in scope."""
    return {"bool": {"filter": [*_scoped(scope), query]}}


def in_account_scope(scope: Scope, field: str) -> list[Query]:
    """Return what narrows another collection, whose account stands in `field`.

    What has no account there belongs to nobody whose accounts are counted.
    """
    if scope.accounts is None:
        return []
    return [{"terms": {field: sorted(scope.accounts)}}]


def any_of(queries: Sequence[Query]) -> Query:
    """Return what is found by any of some queries."""
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def reads() -> Query:
    """Return what only reads; where an old record does not say it, its name does."""
    return any_of(
        [
            {"term": {"readOnly": True}},
            {
                "bool": {
                    "filter": [any_of([*_reading_names()])],
                    "must_not": [{"exists": {"field": "readOnly"}}],
                }
            },
        ]
    )


def not_allowed() -> Query:
    """Return the calls that did not succeed: those with an error's code, or its words alone."""
    return any_of([{"exists": {"field": "errorCode"}}, {"exists": {"field": "errorMessage"}}])


def denied() -> Query:
    """Return the calls that were not let through for want of a right, and refused sign-ins."""
    sign_in = {
        "bool": {
            "filter": [
                {"term": {"eventSource": SIGN_IN}},
                {"exists": {"field": "errorMessage"}},
            ],
            "must_not": [{"exists": {"field": "errorCode"}}],
        }
    }
    return any_of([{"terms": {"errorCode": list(DENIED_CODES)}}, sign_in])


def failed() -> Query:
    """Return the calls that were let through, and did not succeed."""
    return {"bool": {"filter": [not_allowed()], "must_not": [denied()]}}


def value_query(one: Filter, values: Sequence[Value]) -> list[Query]:
    """Return alternatives: one for each field, and each value that is no plain word."""
    match one.kind:
        case "word" | "source":
            return list(_words(one.fields, values))
        case "address":
            return list(_addresses(values))
        case "reads":
            return [_yes_no(value.text, reads()) for value in values]
        case "outcome":
            return [_outcome(value.text) for value in values]
        case never:
            assert_never(never)


def _scoped(scope: Scope) -> list[Query]:
    return in_account_scope(scope, "opstrail.accountId")


def _timed(filters: Filters) -> list[Query]:
    bounds = {"gte": filters.since_ms, "lt": filters.until_ms}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if not given:
        return []
    return [{"range": {"eventTime": {**given, "format": "epoch_millis"}}}]


def _words(fields: Sequence[str], values: Sequence[Value]) -> Iterable[Query]:
    exact = [value.text for value in values if not value.prefix]
    for name in fields:
        if exact:
            yield {"terms": {name: exact}}
        for value in values:
            if value.prefix:
                yield {"prefix": {name: {"value": value.text}}}


def _addresses(values: Sequence[Value]) -> Iterable[Query]:
    for value in values:
        if not value.prefix and _is_network(value.text):
            yield {"term": {"opstrail.sourceIP": value.text}}
        else:
            yield from _words(("sourceIPAddress",), [value])


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _yes_no(text: str, query: Query) -> Query:
    return query if text == "yes" else {"bool": {"must_not": [query]}}


def _outcome(text: str) -> Query:
    if text == "allowed":
        return {"bool": {"must_not": [not_allowed()]}}
    return denied() if text == "denied" else failed()


def _reading_names() -> Iterable[Query]:
    yield {"term": {"opstrail.stack.access": "read"}}
    for name in _READING:
        yield {"prefix": {"eventName": {"value": name}}}


def _clause_queries(clause: Clause) -> list[Query]:
    if clause.field is not None:
        one = BY_NAME[clause.field]
        return value_query(one, [Value(clause.text, prefix=clause.prefix)])
    kind = "prefix" if clause.prefix else "term"
    told: Query = {"value": clause.text, "case_insensitive": True}
    queries: list[Query] = [{kind: {name: told}} for name in (*_TEXT_FIELDS, *_FREE_FIELDS)]
    matched = "match_phrase_prefix" if clause.prefix else "match_phrase"
    queries.append({matched: {"errorMessage": clause.text}})
    if not clause.prefix and _is_network(clause.text):
        queries.append({"term": {"opstrail.sourceIP": clause.text}})
    return queries
