"""OpenSearch's errors in our words: what passes is waited for, the rest is refused."""

import pytest
from opensearchpy.exceptions import (
    ConnectionError as NoConnection,
)
from opensearchpy.exceptions import (
    ConnectionTimeout,
    OpenSearchException,
    SerializationError,
    TransportError,
)

from opstrail_history.opensearch_errors import (
    PointGone,
    StoreRefuses,
    TooManyPoints,
    translated,
)
from opstrail_history.refusals import BadQuery
from opstrail_runtime.errors import Unavailable


def an_answer(status: int, kind: str) -> TransportError:
    return TransportError(status, kind, f'{{"error":{{"type":"{kind}"}},"status":{status}}}')


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        (NoConnection("N/A", "refused", OSError()), Unavailable, "does not answer"),
        (ConnectionTimeout("TIMEOUT", "slow", OSError()), Unavailable, "does not answer"),
        (SerializationError("a proxy's page"), Unavailable, "odd answer"),
        (OpenSearchException("?"), Unavailable, "odd answer"),
        (an_answer(404, "search_context_missing_exception"), PointGone, "^$"),
        (an_answer(400, "too many Point In Time contexts"), TooManyPoints, "^$"),
        (an_answer(404, "index_not_found_exception"), StoreRefuses, "store setup"),
        (an_answer(401, "security_exception"), StoreRefuses, "password"),
        (an_answer(403, "security_exception"), StoreRefuses, "password"),
        (an_answer(400, "parsing_exception"), BadQuery, "cannot answer"),
        (an_answer(500, "too_many_nested_clauses"), BadQuery, "too many parts"),
        (an_answer(503, "too_many_buckets_exception"), BadQuery, "too many results"),
        (an_answer(429, "circuit_breaking_exception"), Unavailable, "short of memory"),
        (an_answer(400, "index_closed_exception"), Unavailable, "closed"),
        (an_answer(429, "rejected_execution_exception"), Unavailable, "429"),
        (an_answer(503, "search_phase_execution_exception"), Unavailable, "503"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:60]),
)
def test_each_error_has_its_fate(
    error: OpenSearchException, ours: type[Exception], words: str
) -> None:
    with pytest.raises(ours, match=words), translated():
        raise error
