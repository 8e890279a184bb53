"""botocore's errors in our words: the one place that knows their codes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError as Urllib3Error

from opstrail_runtime.errors import Unavailable

T = TypeVar("T")
# An error of the caller's credentials: no object can be read until somebody mends them.
_CREDENTIALS = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken",
        "InvalidClientTokenId", "NotSignedUp", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
        "TokenRefreshRequired", "UnrecognizedClientException", "AccountProblem",
    }
)  # fmt: skip
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
    boto.NoAuthTokenError,
    boto.MetadataRetrievalError,
)
_NOBODY_THERE = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_CUT = (boto.IncompleteReadError, boto.ResponseStreamingError, boto.ConnectionClosedError)
_BUSY_STATUS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request for one object failed.

    `whose`: the object's own; the whole service's; or either's, which asking the service for
    something else tells. `again` says whether it may pass within seconds.
    """

    whose: Literal["object", "service", "either"]
    reason: str
    advice: str
    again: bool = False


def failure_of(error: Exception) -> Failure:
    """Return what an error of botocore, or of the body's stream, means for one object."""
    match error:
        case boto.ClientError():
            return _of_answer(error)
        case boto.ParamValidationError():
            return Failure("object", "refused", "its bucket or key is not a name that S3 can have")
        case boto.ReadTimeoutError():
            return Failure("either", "slow", "no byte came in time", again=True)
        case boto.BotoCoreError() if isinstance(error, _CUT):
            return Failure("either", "cut-short", "the body ended too early", again=True)
        case boto.FlexibleChecksumError():
            return Failure("object", "cut-short", "the checksum of the body is wrong", again=True)
        case Urllib3Error() | OSError():
            return Failure("either", "cut-short", "the connection broke", again=True)
        case boto.BotoCoreError() if isinstance(error, _NO_CREDENTIALS):
            return Failure("service", "credentials", "give credentials that may read the bucket")
        case boto.BotoCoreError() if isinstance(error, _NOBODY_THERE):
            return Failure("service", "unreachable", "is the endpoint right, and the network up?")
        case _:
            return Failure("service", "unreachable", "see the error")


def _of_answer(error: boto.ClientError) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _CREDENTIALS:
        return Failure("service", "credentials", "give credentials that are valid")
    # HEAD has no body: 400 is what an expired token looks like there.
    if code == "400":
        return Failure("either", "refused", "are the credentials still valid?")
    if status >= _SERVER_ERROR or status == _BUSY_STATUS or code == "SlowDown":
        return Failure("either", "refused", "the store has a fault of its own", again=True)
    if code.startswith("KMS.") or ("kms" in message.lower() and status != 404):  # noqa: PLR2004
        return Failure("object", "key-denied", "grant kms:Decrypt on the key it is encrypted with")
    if code == "InvalidObjectState":
        return Failure("object", "refused", "it lies in an archive class: restore it first")
    if status in (404, 405):  # 405: this version is a delete marker
        return Failure("object", "not-found", "it is not there (yet), or was deleted", again=True)
    if status == 403:  # noqa: PLR2004 - HTTP
        return Failure("object", "access-denied", "grant s3:GetObject, and s3:ListBucket")
    return Failure("object", "refused", f"S3 refuses it: {code}")


@contextmanager
def spoken_by(service: str) -> Iterator[None]:
    """Turn botocore's errors into Unavailable; its ParamValidationError is our bug and passes."""
    try:
        yield
    except boto.ParamValidationError:
        raise
    except (boto.ClientError, boto.BotoCoreError, Urllib3Error) as error:
        raise Unavailable(service, f"{error}; {failure_of(error).advice}") from error


def asked(service: str, question: Callable[[], T]) -> T:
    """Ask once. Raises Unavailable."""
    with spoken_by(service):
        return question()


def code_of(error: boto.ClientError) -> str:
    """Return the service's own code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))
