"""What every route needs: who asks is found out, what they ask is logged, how it ended as well."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from opstrail_history.access import Principal, Right
from opstrail_history.audit import Asked, AuditLog
from opstrail_history.gate import Gate
from opstrail_history.history import History, NotFound
from opstrail_history.limits import Limits
from opstrail_history.refusals import BadQuery, NotAllowed
from opstrail_history.request_query import link
from opstrail_runtime.errors import Refused, Unavailable

OK, BAD_REQUEST, NOT_FOUND, UNAVAILABLE, OUR_FAULT = 200, 400, 404, 503, 500
GONE = 499  # as nginx has it: who asked went away
_UNKNOWN = "unknown"


@dataclass(slots=True)
class Visit:
    """One request at work. `events` is what goes into the audit log: how many it was given.

    `asked` is what was asked where that does not stand in the address.
    """

    who: Principal
    events: int | None = None
    status: int = OK
    asked: str | None = None


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
        with self._refusals_logged(request, what):
            who = self.gate.admitted(request)
        visit = Visit(who)
        try:
            self.limits.request(who.key)
            who.must(right)
            yield visit
        except BaseException as error:
            visit.status = visit.status if visit.status != OK else status_of(error)
            raise
        finally:
            self.note(
                who, request, what, status=visit.status, events=visit.events, asked=visit.asked
            )

    def signed_in(self, request: HTTPConnection, token: str) -> None:
        """Log who signs in. Raises NotAllowed for a token that nobody has."""
        with self._refusals_logged(request, "sign-in"):
            who = self.gate.of_token(token)
        self.note(who, request, "sign-in")

    @contextmanager
    def _refusals_logged(self, request: HTTPConnection, what: str) -> Iterator[None]:
        try:
            yield
        except (NotAllowed, Unavailable) as error:
            # Nobody must fill the disk: all that are not known share one minute's lines.
            with suppress(NotAllowed):
                self.limits.request(_UNKNOWN)
                self.note(None, request, what, status=status_of(error))
            raise

    def note(
        self,
        who: Principal | None,
        request: HTTPConnection,
        what: str,
        *,
        status: int = OK,
        events: int | None = None,
        asked: str | None = None,
    ) -> None:
        """Write a line of the audit log. Raises Unavailable."""
        pairs = request.query_params.multi_items()
        told = link(pair for pair in pairs if pair[0] != "cursor") if asked is None else asked
        self.audit.asked(
            Asked(
                who=who,
                address=request.client.host if request.client else "",
                what=what,
                query=told,
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
