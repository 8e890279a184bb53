"""Downloads and live views: cut off, said so; let go, given back."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from opstrail_history.access import LOCAL
from opstrail_history.export_formats import writer
from opstrail_history.filters import Filters
from opstrail_history.opensearch_reader import Hit
from opstrail_history.refusals import BadQuery
from opstrail_history.row import row_of
from opstrail_history.streams import LIVE_PAGE, LIVE_PAGES, Export, Held, Incomplete, Live
from opstrail_runtime.errors import Unavailable

BODY = b'{"eventName":"A","opstrail":{"accountId":"1","eventID":"e"}}'


def hits(count):
    return tuple(Hit(f"1/{at}", BODY, (at,)) for at in range(count))


class KeptHistory:
    """A history whose pages are given; a page that is an error is raised."""

    now_ms = 1_000_000

    def __init__(self, *pages):
        self.pages = pages
        self.closed = False

    def all(self, *_args, **_options):
        try:
            for page in self.pages:
                if isinstance(page, Exception):
                    raise page
                yield page
        finally:
            self.closed = True

    def newer(self, *_args, **_options):
        yield from self.pages


def desk(kept, who=LOCAL):
    return SimpleNamespace(
        history=kept, live_poll_s=0.001,
        gate=SimpleNamespace(recognised=lambda _request: who),
    )  # fmt: skip


def an_export(kept, form="ndjson"):
    export = Export(desk(kept), LOCAL, Filters(), order="newest", writer=writer(form))
    export.begin()
    return export


def exported(kept, form="ndjson"):
    """The pieces of a download, its events and status, and whether it broke off."""
    export = an_export(kept, form)
    pieces: list[bytes] = []

    async def run():
        try:
            async for piece in export.sent():
                pieces.append(piece)  # noqa: PERF401 - what came before it broke off counts
        except Incomplete:
            return True
        return False

    broke = asyncio.run(run())
    export.close()
    return b"".join(pieces), (export.events, export.status), broke


def test_a_download_ends_with_its_count():
    text, told, broke = exported(KeptHistory(hits(3), hits(2)))

    assert 5 == json.loads(text.splitlines()[-1])["opstrailExport"]["events"]
    assert ((5, 200), False) == (told, broke)


def test_a_download_of_nothing_is_complete():
    text, told, broke = exported(KeptHistory(), "records")

    assert [] == json.loads(text)["Records"]
    assert ((0, 200), False) == (told, broke)


@pytest.mark.parametrize(
    "error", [Unavailable("the store", "gone"), BadQuery("the store: gone")], ids=type
)
def test_a_download_that_is_cut_off_says_so_and_breaks_the_connection(error):
    kept = KeptHistory(hits(3), error)
    text, told, broke = exported(kept)

    closing = json.loads(text.splitlines()[-1])["opstrailExport"]
    assert (False, "the store: gone") == (closing["complete"], closing["why"])
    assert ((3, 503), True, True) == (told, broke, kept.closed)


def test_a_store_that_is_away_at_the_beginning_is_told_before_anything_is_sent():
    kept = KeptHistory(Unavailable("the store", "gone"))
    export = Export(desk(kept), LOCAL, Filters(), order="newest", writer=writer("csv"))

    with pytest.raises(Unavailable):
        export.begin()


@pytest.mark.parametrize("taken", [0, 1])
def test_a_stream_that_is_let_go_gives_back_what_it_holds_even_where_it_never_began(taken):
    kept = KeptHistory(hits(3), hits(3), hits(3))
    export = an_export(kept)
    given_back = threading.Event()

    def let_go():
        export.close()
        given_back.set()

    stream = Held(export.sent(), let_go=let_go, media_type="text/plain", headers={})
    sent: list[object] = []

    async def run():
        gone = asyncio.Event()
        if not taken:
            gone.set()

        async def send(message):
            sent.append(message)
            if len(sent) > 1 + taken:  # its head, and some of its body
                gone.set()
                await asyncio.Event().wait()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        await stream({"type": "http"}, receive, send)

    asyncio.run(run())

    assert given_back.wait(30)
    assert (True, 499) == (kept.closed, export.status)


class ConnectedRequest(Request):
    """A caller who goes after some looks."""

    def __init__(self, looks):
        super().__init__({"type": "http"})
        self.looks = looks

    async def is_disconnected(self):
        self.looks -= 1
        return self.looks < 0


def rows(*names):
    return [row_of(f"1/{name}", {"opstrail": {"delivery": {"storedAt": 5}}}) for name in names]


def followed(kept, *, looks=2, who=LOCAL):
    live = Live(desk(kept, who=who), ConnectedRequest(looks), LOCAL, Filters(), since_ms=0)

    async def run():
        return "".join([message async for message in live.messages()])

    text = asyncio.run(run())
    assert live.shown == text.count("event: row")
    return text


def test_each_event_is_shown_once_though_every_look_overlaps_the_last():
    assert 2 == followed(KeptHistory(rows("a", "b"))).count("event: row")


def test_more_than_anybody_can_read_is_said():
    full = [rows(*(f"{page}-{at}" for at in range(LIVE_PAGE))) for page in range(LIVE_PAGES)]

    assert "event: gap" in followed(KeptHistory(*full), looks=1)


def test_who_may_no_longer_look_sees_no_more():
    text = followed(KeptHistory(rows("a")), who=None)

    assert "event: ended" in text
    assert "event: row" not in text


def test_a_store_that_is_away_is_waited_for():
    class Away(KeptHistory):
        def newer(self, *_args, **_options):
            raise Unavailable("the store", "gone")

    assert 2 == followed(Away()).count("event: away")
