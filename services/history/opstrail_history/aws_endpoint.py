"""`POST /`: CloudTrail's own LookupEvents, for the AWS CLI and boto3 with an endpoint URL."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opstrail_history.desk import UNAVAILABLE, Desk
from opstrail_history.lookup_events import (
    CONTENT_TYPE,
    LONGEST_BODY,
    AwsError,
    answer,
    lookup_of,
)
from opstrail_history.refusals import BadCursor, BadQuery, NotAllowed
from opstrail_runtime.errors import Refused, Unavailable

_NAMES = {401: "UnrecognizedClientException", 403: "AccessDeniedException",
          429: "ThrottlingException"}  # fmt: skip


def router(desk: Desk) -> APIRouter:
    """Return the route."""
    routes = APIRouter()

    @routes.post("/", include_in_schema=False)
    async def lookup_events(request: Request) -> Response:
        """Answer LookupEvents."""
        target = request.headers.get("x-amz-target", "")
        try:
            body = await _body(request)
            found = await run_in_threadpool(_answered, desk, request, target, body)
        except AwsError as error:
            return _refusal(error)
        except NotAllowed as error:
            name = _NAMES.get(error.status, "AccessDeniedException")
            return _refusal(AwsError(name, error.message, status=error.status))
        except BadCursor as error:
            return _refusal(AwsError("InvalidNextTokenException", error.message))
        except BadQuery as error:
            return _refusal(AwsError("InvalidLookupAttributesException", error.message))
        except (Unavailable, Refused) as error:
            return _refusal(AwsError("ServiceUnavailable", str(error), status=UNAVAILABLE))
        return Response(found, media_type=CONTENT_TYPE)

    return routes


def _answered(desk: Desk, request: Request, target: str, body: bytes) -> bytes:
    with desk.visit(request, "lookup-events", "read") as visit:
        visit.asked = body.decode("utf-8", "replace")
        try:
            lookup = lookup_of(target, body)
        except AwsError as error:
            visit.status = error.status
            raise
        visit.asked = lookup.asked
        found = desk.history.search(
            visit.who, lookup.filters, size=lookup.most, cursor=lookup.next_token, whole=True
        )
        visit.events = len(found.hits)
        return answer([(hit.id, hit.source) for hit in found.hits], found.cursor)


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_BODY:
            raise AwsError("SerializationException", f"more than {LONGEST_BODY} bytes")
    return body


def _refusal(error: AwsError) -> Response:
    return Response(
        error.body(),
        status_code=error.status,
        media_type=CONTENT_TYPE,
        headers={"x-amzn-ErrorType": error.name},
    )
