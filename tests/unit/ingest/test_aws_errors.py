"""What errors of botocore mean."""

import inspect

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from opstrail_ingest.aws_errors import asked, failure_of
from opstrail_runtime.errors import Unavailable


def an_answer(status: int, code: str, message: str = "") -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "r",
                "HostId": "h",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "GetObject",
    )


@pytest.mark.parametrize(
    ("error", "whose", "reason", "again"),
    [
        (an_answer(404, "NoSuchKey"), "object", "not-found", True),
        (an_answer(404, "404"), "object", "not-found", True),
        (an_answer(405, "MethodNotAllowed"), "object", "not-found", True),
        (an_answer(403, "AccessDenied"), "object", "access-denied", False),
        (an_answer(403, "403"), "object", "access-denied", False),
        (an_answer(403, "AccessDenied", "not authorized to perform: kms:Decrypt"),
         "object", "key-denied", False),
        (an_answer(400, "KMS.DisabledException"), "object", "key-denied", False),
        (an_answer(403, "InvalidObjectState"), "object", "refused", False),
        (an_answer(400, "KeyTooLongError"), "object", "refused", False),
        (an_answer(403, "ExpiredToken"), "service", "credentials", False),
        (an_answer(403, "InvalidAccessKeyId"), "service", "credentials", False),
        (an_answer(400, "400"), "either", "refused", False),
        (an_answer(500, "InternalError"), "either", "refused", True),
        (an_answer(503, "SlowDown"), "either", "refused", True),
        (an_answer(429, "TooManyRequests"), "either", "refused", True),
        (exceptions.NoCredentialsError(), "service", "credentials", False),
        (exceptions.EndpointConnectionError(endpoint_url="u"), "service", "unreachable", False),
        (exceptions.ReadTimeoutError(endpoint_url="u"), "either", "slow", True),
        (exceptions.ConnectionClosedError(endpoint_url="u"), "either", "cut-short", True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "either", "cut-short",
         True),
        (exceptions.FlexibleChecksumError(error_msg="x"), "object", "cut-short", True),
        (ConnectionResetError(), "either", "cut-short", True),
        (ParamValidationError(report="x"), "object", "refused", False),
    ],
)  # fmt: skip
def test_an_error_is_the_objects_or_the_services(
    error: Exception, whose: str, reason: str, again: bool
) -> None:
    failure = failure_of(error)

    assert (whose, reason, again) == (failure.whose, failure.reason, failure.again)
    assert failure.advice


def test_every_error_that_botocore_has_means_something() -> None:
    errors = [
        kind
        for _, kind in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(kind, BotoCoreError)
    ]

    bounded = {failure_of(kind.__new__(kind)).reason for kind in errors}

    assert bounded <= {"slow", "cut-short", "refused", "credentials", "unreachable"}
    assert len(errors) > 50


@pytest.mark.parametrize("error", [an_answer(403, "AccessDenied"), exceptions.NoCredentialsError()])
def test_a_service_that_refuses_is_unavailable(error: Exception) -> None:
    def question() -> None:
        raise error

    with pytest.raises(Unavailable, match="sqs: "):
        asked("sqs", question)


def test_a_request_that_we_made_wrongly_is_our_bug() -> None:
    def question() -> None:
        raise ParamValidationError(report="x")

    with pytest.raises(ParamValidationError):
        asked("sqs", question)
