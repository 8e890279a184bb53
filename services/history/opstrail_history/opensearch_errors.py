"""opensearch-py's errors in our words: the one place of history that knows its exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import OpenSearchException, TransportError

from opstrail_history.refusals import BadQuery
from opstrail_runtime.errors import Refused, Unavailable

_NOT_FOUND, _BAD_REQUEST, _TOO_MANY = 404, 400, 429
_UNAUTHORIZED = (401, 403)
# Says what the question did; a message may quote mappings and index names, which are not theirs.
_SAID = {
    "too_many_clauses": "the question has too many parts",
    "too_many_nested_clauses": "the question has too many parts",
    "too_many_buckets_exception": "the question has too many results to count",
}
# Passes by itself, whatever status it has: others use the memory as well, and retention closes
# indices while they are still behind the alias.
_PASSES = {
    "circuit_breaking_exception": "OpenSearch is short of memory; try again, or ask for less",
    "index_closed_exception": "an index is being closed; try again",
}


class PointGone(Exception):
    """The point in time is no longer kept: another one must be opened."""


class TooManyPoints(Exception):
    """The store keeps as many points in time as it may."""


class StoreRefuses(Refused):
    """OpenSearch refuses us for good: password, rights, or it is not set up."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable, StoreRefuses, BadQuery, PointGone or TooManyPoints for its errors."""
    try:
        yield
    except NoConnection as error:
        raise Unavailable("the store", "OpenSearch does not answer; try again later") from error
    except TransportError as error:
        raise _of(error) from error
    except OpenSearchException as error:
        raise Unavailable("the store", f"an odd answer ({type(error).__name__})") from error


def _of(error: TransportError) -> Exception:
    status, kinds = error.status_code, str(error.info) + str(error.error)
    if "search_context_missing" in kinds:
        return PointGone()
    if "too many Point In Time" in kinds or "pit contexts" in kinds.lower():
        return TooManyPoints()
    if status == _NOT_FOUND:
        return StoreRefuses("the store is not set up: run `opstrail store setup --execute`")
    if status in _UNAUTHORIZED:
        return StoreRefuses("OpenSearch refuses our user: check its password and rights")
    if passes := next((text for kind, text in _PASSES.items() if kind in kinds), None):
        return Unavailable("the store", passes)
    said = next((text for kind, text in _SAID.items() if kind in kinds), None)
    if status == _BAD_REQUEST or said is not None:
        return BadQuery(said or "the store cannot answer this question")
    return Unavailable("the store", f"OpenSearch answers with {status}; try again later")
