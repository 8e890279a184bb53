"""opensearch-py's errors in our words: the one place that knows its exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager

from opensearchpy.exceptions import (
    ConnectionError as NoConnection,
)
from opensearchpy.exceptions import (
    OpenSearchException,
    SerializationError,
    TransportError,
)

from opstrail_runtime.errors import Refused, Unavailable
from opstrail_store.bulk_response import RequestVerdict, Retry, Stop, request_verdict


class OpenSearchRefuses(Refused):
    """OpenSearch refuses for good (password, rights, no templates): waiting would not help."""


def verdict_of(error: OpenSearchException) -> RequestVerdict:
    """Return what a failed request means for what was sent."""
    match error:
        case NoConnection():  # also timeouts and TLS: the request may have been applied
            return Retry(_short(error), doubtful=True)
        case TransportError() if isinstance(error.status_code, int):
            return request_verdict(error.status_code, error.info)
        case TransportError() | SerializationError():  # a proxy's page in place of an answer
            return Retry(_short(error), doubtful=True)
        case _:
            return Stop(_short(error))


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable or OpenSearchRefuses for a request's errors."""
    try:
        yield
    except OpenSearchException as error:
        verdict = verdict_of(error)
        if isinstance(verdict, Retry):
            raise Unavailable("opensearch", verdict.why) from error
        raise OpenSearchRefuses(f"opensearch: {verdict.why}") from error


def _short(error: OpenSearchException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
