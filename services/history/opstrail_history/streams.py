"""Answers that are streams: downloads without a cap, and the live view."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from opstrail_history.access import Principal
from opstrail_history.answers import RowAnswer
from opstrail_history.desk import GONE, OK, UNAVAILABLE, Desk
from opstrail_history.export_formats import Writer
from opstrail_history.filters import Filters
from opstrail_history.history import Order
from opstrail_history.opensearch_reader import Hit
from opstrail_history.refusals import BadQuery, NotAllowed
from opstrail_history.row import Row
from opstrail_history.telemetry import ExportEnded
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.telemetry import emit

_TRIES = 5
_PIECE_BYTES = 256_000
LIVE_PAGE, LIVE_PAGES = 500, 4
# What was stored may be seen a little later than what was stored after it: bulks run side by side,
# and shards refresh each for itself.
OVERLAP_MS = 30_000
_MOST_SEEN = 20_000


class Incomplete(Exception):
    """A download was cut off after its first byte: the connection must not end as if all was well.

    What was sent last says so already; a transfer that breaks off tells programs.
    """


def waited(tries: int) -> bool:
    """Wait for the store, a little longer each time; False after half a minute."""
    if tries > _TRIES:
        return False
    time.sleep(min(10, 2 ** (tries - 1)))
    return True


class Held(StreamingResponse):
    """A stream that holds something: it is let go however the stream ends, once.

    A caller who goes before the first byte is the end of a stream that never began: nothing inside
    it would run.
    """

    def __init__(
        self,
        content: AsyncIterator[bytes] | AsyncIterator[str],
        *,
        let_go: Callable[[], None],
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._let_go = let_go

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not waited for: a caller who went away has cancelled us.
            asyncio.get_running_loop().run_in_executor(None, self._let_go)


class Export:
    """One download. The first page is read before anything is sent: its errors have a status.

    `status` is how it ended: that who asked went away, until it is known better. Whoever made it
    closes it.
    """

    def __init__(
        self, desk: Desk, who: Principal, filters: Filters, *, order: Order, writer: Writer
    ) -> None:
        self._desk = desk
        self._who = who
        self._writer = writer
        self._pages = desk.history.all(who, filters, order=order, pause=waited)
        self._first: tuple[Hit, ...] = ()
        self.status = GONE

    @property
    def events(self) -> int:
        """How many events were written."""
        return self._writer.tally.events

    def begin(self) -> None:
        """Read the first page. Raises Unavailable."""
        self._first = next(self._pages, ())

    async def sent(self) -> AsyncIterator[bytes]:
        """Yield the download, each piece read in a thread. Raises Incomplete."""
        async for piece in iterate_in_threadpool(self._pieces()):
            yield piece

    def close(self) -> None:
        """Give up what is open."""
        self._pages.close()
        emit(ExportEnded(self.events, self.status == OK))

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield self._writer.begin()
            yield from self._pieces_of(self._first)
            for page in self._pages:
                yield from self._pieces_of(page)
            yield self._writer.end()
            self.status = OK
        except (Unavailable, Refused, BadQuery) as error:
            self.status = UNAVAILABLE
            yield self._writer.end(why=str(error))
            raise Incomplete(str(error)) from error

    def _pieces_of(self, page: tuple[Hit, ...]) -> Iterator[bytes]:
        """Yield a page in pieces: one record may have 4 MiB."""
        piece, size = [], 0
        for hit in page:
            text = self._writer.event(hit.id, hit.source)
            piece.append(text)
            size += len(text)
            if size >= _PIECE_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
        yield b"".join(piece)


class Live:
    """One live view: events as they are stored, by server-sent events."""

    def __init__(
        self,
        desk: Desk,
        request: Request,
        who: Principal,
        filters: Filters,
        *,
        since_ms: int,
    ) -> None:
        self._desk = desk
        self._request = request
        self._who = who
        self._filters = filters
        self._horizon = since_ms
        self.shown = 0
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def messages(self) -> AsyncIterator[str]:
        """Yield server-sent events until the caller goes, or may no longer see them."""
        yield "retry: 3000\n: follows what is stored\n\n"
        while not await self._request.is_disconnected():
            try:
                for message in await run_in_threadpool(self._looked):
                    yield message
            except NotAllowed:
                yield _message("ended", {"why": "you may no longer see these events"})
                return
            except (Unavailable, Refused) as error:
                yield _message("away", {"why": str(error)})
            yield ": still here\n\n"
            await asyncio.sleep(self._desk.live_poll_s)

    def _looked(self) -> list[str]:
        """Return what came since the last look. Raises NotAllowed, Unavailable."""
        if self._desk.gate.recognised(self._request) != self._who:
            raise NotAllowed("not the same any more", status=403)
        found: list[Row] = []
        full = False
        began = self._horizon
        for page in self._desk.history.newer(
            self._who,
            self._filters,
            since_ms=began - OVERLAP_MS,
            most=LIVE_PAGE,
            pages=LIVE_PAGES,
        ):
            found.extend(page)
            full = len(page) == LIVE_PAGE
        new = [row for row in found if self._is_new(row)]
        self.shown += len(new)
        messages = [_row_message(row) for row in new]
        self._horizon = max([began, *(row.stored_at or 0 for row in found)])
        if full:
            # More than anybody can read: it goes on from now, and says so.
            self._horizon = self._desk.history.now_ms
            messages.append(_message("gap", {"why": "more events than a live view can show"}))
        return messages

    def _is_new(self, row: Row) -> bool:
        if row.id in self._seen:
            return False
        self._seen[row.id] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return True


def _row_message(row: Row) -> str:
    # The id lets a browser that was cut off go on from there.
    data = RowAnswer.of(row).model_dump_json(by_alias=True)
    return f"event: row\nid: {row.stored_at or 0}\ndata: {data}\n\n"


def _message(kind: str, data: dict[str, str]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
