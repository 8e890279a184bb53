"""What every route needs: who asks is found out, what they ask is logged, how it ended as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from opstrail_history.access import Principal, Right
from opstrail_history.audit import Asked, AuditLog
from opstrail_history.gate import Gate
from opstrail_history.history import History, NotFound
from opstrail_history.limits import Limits
from opstrail_history.refusals import BadQuery, NotAllowed
from opstrail_runtime.errors import Refused, Unavailable

OK, BAD_REQUEST, NOT_FOUND, UNAVAILABLE, OUR_FAULT = 200, 400, 404, 503, 500


@dataclass(slots=True)
class Visit:
    """One request at work. `events` is what goes into the audit log: how many it was given."""

    who: Principal
    events: int | None = None
    status: int = OK


@dataclass(frozen=True, slots=True)
class Desk:
    """Where all requests arrive."""

    history: History
    gate: Gate
    limits: Limits
    audit: AuditLog
    page_max: int
    live_poll_s: float

    @contextmanager
    def visit(self, request: HTTPConnection, what: str, right: Right) -> Iterator[Visit]:
        """Let a request in that has the right, and log it with its end. Raises NotAllowed."""
        visit = Visit(self.gate.admitted(request))
        try:
            visit.who.must(right)
            yield visit
        except BaseException as error:
            visit.status = visit.status if visit.status != OK else status_of(error)
            raise
        finally:
            self.note(visit.who, request, what, status=visit.status, events=visit.events)

    def note(
        self,
        who: Principal,
        request: HTTPConnection,
        what: str,
        *,
        status: int = OK,
        events: int | None = None,
    ) -> None:
        """Write a line of the audit log."""
        self.audit.asked(
            Asked(
                who=who,
                address=request.client.host if request.client else "",
                what=what,
                query=request.url.query,
                status=status,
                events=events,
            )
        )


def status_of(error: BaseException) -> int:
    """Return the status that an error is answered with."""
    match error:
        case BadQuery():
            return BAD_REQUEST
        case NotAllowed():
            return error.status
        case NotFound():
            return NOT_FOUND
        case Unavailable() | Refused():
            return UNAVAILABLE
        case _:
            return OUR_FAULT
