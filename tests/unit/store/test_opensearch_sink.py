"""The sink gives every document a final verdict, whatever OpenSearch answers in between."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from opensearchpy.exceptions import (
    ConnectionError as NoConnection,
)
from opensearchpy.exceptions import (
    ConnectionTimeout,
    OpenSearchException,
    SerializationError,
    SSLError,
)

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import LeaseLost
from opstrail_store.bulk_response import AlreadyThere, Reject, Retry, Stop, Stored
from opstrail_store.content import Content
from opstrail_store.document import Delivery
from opstrail_store.opensearch_errors import OpenSearchRefuses, verdict_of
from opstrail_store.opensearch_sink import LOWEST_VERSION, Conflict, OpenSearchSink, Write
from tests.support.fake_opensearch import FakeOpenSearch, status_error
from tests.support.memory_kafka import StillPulse


@pytest.fixture
def server() -> FakeOpenSearch:
    return FakeOpenSearch()


@pytest.fixture
def sink(server: FakeOpenSearch) -> Iterator[OpenSearchSink]:
    made = OpenSearchSink(
        cast("Any", server),
        backoff=Backoff(first_s=1, longest_s=30, rng=random.Random(1)),
        max_body_bytes=10_000,
        max_documents=4,
        in_flight=1,
    )
    yield made
    made.close()


def a_write(id_: str = "a", version: int = LOWEST_VERSION, **more: Any) -> Write:
    name, stored_at = more.pop("name", "Run"), more.pop("stored_at", 1)
    body = {
        "eventSource": "ec2",
        "eventName": name,
        "opstrail": {
            "delivery": {"bucket": "b", "key": "k", "recordIndex": 0, "storedAt": stored_at}
        },
        **more.pop("members", {}),
    }
    if more.pop("event", False):
        more |= {
            "content": Content(None, "ec2", name),
            "delivery": Delivery("b", "k", 0, stored_at),
        }
    return Write("i", id_, version, json.dumps(body).encode(), **more)


def an_event(id_: str = "a", version: int = LOWEST_VERSION, **more: Any) -> Write:
    return a_write(id_, version, event=True, **more)


def once(error: Exception) -> Callable[[object], None]:
    errors = [error]

    def fail(_: object) -> None:
        if errors:
            raise errors.pop()

    return fail


def test_documents_are_stored_in_requests_of_bounded_size(sink, server):
    writes = [a_write(str(n)) for n in range(6)]
    writes.append(a_write("big", members={"x": "y" * 9_900}))

    verdicts = sink.write(writes, StillPulse())

    assert [Stored()] * 7 == verdicts
    assert [["0", "1", "2", "3"], ["4", "5"], ["big"]] == server.requests


def test_the_same_version_is_already_there_and_an_older_one_never_wins(sink, server):
    sink.write([a_write(version=7, name="new")], StillPulse())

    verdicts = sink.write([a_write(version=7), a_write(version=6)], StillPulse())

    assert [AlreadyThere(), AlreadyThere()] == verdicts
    assert "new" == server.documents["i", "a"]["eventName"]


def test_only_items_that_were_put_off_are_sent_again(sink, server):
    sent: list[str] = []

    def refuses(document):
        sent.append(document["n"])
        return (429, "busy") if sent.count(document["n"]) == 1 and document["n"] in "13" else None

    server.refuses = refuses
    pulse = StillPulse()

    verdicts = sink.write([a_write(n, members={"n": n}) for n in "0123"], pulse)

    assert [Stored()] * 4 == verdicts
    assert [["0", "1", "2", "3"], ["1", "3"]] == server.requests
    ((_, why),) = pulse.waits
    assert "429" in why


@pytest.mark.parametrize(
    "error",
    [
        NoConnection("N/A", "refused", OSError()),
        ConnectionTimeout("TIMEOUT", "late", OSError()),
        status_error(429),
        status_error(503),
        status_error(403, "cluster_block_exception"),
        SerializationError("<html>", ValueError()),
    ],
)
def test_an_outage_is_waited_for(sink, server, error):
    server.before = once(error)
    pulse = StillPulse()

    assert [Stored()] == sink.write([a_write()], pulse)
    assert 1 == len(pulse.waits)


def test_waits_grow_while_nothing_goes_through(sink, server):
    away = [status_error(503)] * 6

    def fail(_):
        if away:
            raise away.pop()

    server.before = fail
    pulse = StillPulse()

    sink.write([a_write()], pulse)

    assert 6 == len(pulse.waits)
    assert pulse.waits[-1][0] > 8 * pulse.waits[0][0]


def test_a_lost_reply_does_not_make_our_own_write_an_old_one(sink, server):
    server.after = once(ConnectionTimeout("TIMEOUT", "late", OSError()))

    assert [Stored()] == sink.write([an_event()], StillPulse())


def test_a_lost_reply_does_not_make_an_old_write_ours(sink, server):
    sink.write([an_event(stored_at=1)], StillPulse())
    server.after = once(ConnectionTimeout("TIMEOUT", "late", OSError()))

    assert [AlreadyThere()] == sink.write([an_event(stored_at=2)], StillPulse())


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_us_stops(sink, server, status):
    server.before = once(status_error(status))
    with pytest.raises(OpenSearchRefuses):
        sink.write([a_write()], StillPulse())

    server.refuses = lambda _: (status, "some_exception")
    with pytest.raises(OpenSearchRefuses):
        sink.write([a_write()], StillPulse())


@pytest.mark.parametrize("status", [400, 413])
def test_one_document_that_spoils_the_request_is_found_and_reduced(sink, server, status):
    def before(documents):
        if any(document.get("bad") for document in documents):
            raise status_error(status)

    server.before = before
    writes = [a_write(n, members={"bad": n == "2"}) for n in "0123"]
    writes[2] = Write("i", "2", LOWEST_VERSION, writes[2].body, reduced=lambda: b'{"reduced":true}')

    assert [Stored()] * 4 == sink.write(writes, StillPulse())
    assert {"reduced": True} == server.documents["i", "2"]


def test_a_document_refused_in_both_forms_is_rejected_and_its_neighbours_stored(sink, server):
    server.refuses = lambda document: (400, "mapper") if "bad" in document else None
    bad = Write("i", "bad", 1, b'{"bad":1}', reduced=lambda: b'{"bad":2}')

    verdicts = sink.write([a_write("0"), bad, a_write("1")], StillPulse())

    assert [Stored(), Reject("400: mapper: refused"), Stored()] == verdicts


def test_a_deletion_of_what_is_gone_is_done(sink):
    assert [Stored()] == sink.write([Write("i", "a", 1, None)], StillPulse())


# Identity


def test_what_a_later_deletion_removes_does_not_come_back_when_it_was_put_off(sink, server):
    put_off = iter([(429, "busy")])
    server.refuses = lambda document: next(put_off, None) if document else None
    letter, tombstone = a_write("letter", 7), Write("i", "letter", 8, None)

    def forget(_: object) -> None:  # what index.gc_deletes does after a minute
        server.versions.clear()

    server.after = forget

    assert sink.write([letter, tombstone], StillPulse()) == [AlreadyThere(), Stored()]
    assert not server.documents


@pytest.mark.parametrize("times", [1, 3])
def test_a_shard_that_is_away_while_looking_up_is_waited_for(sink, server, times):
    sink.write([an_event(name="Run")], StillPulse())
    server.look_up_errors = ["no_shard_available_action_exception"] * times
    pulse = StillPulse()

    (verdict,) = sink.write([an_event(name="Stop", version=LOWEST_VERSION + 1)], pulse)

    assert isinstance(verdict, Conflict)
    assert len(pulse.waits) == times
    assert server.documents["i", "a"]["eventName"] == "Run"


def test_an_index_that_is_not_there_holds_nothing(sink, server):
    server.look_up_errors = ["index_not_found_exception"]

    assert sink.write([an_event(version=LOWEST_VERSION + 1)], StillPulse()) == [Stored()]


def test_a_look_up_that_we_may_not_make_stops(sink, server):
    server.look_up_errors = ["security_exception"]

    with pytest.raises(OpenSearchRefuses, match="security_exception"):
        sink.write([an_event(version=LOWEST_VERSION + 1)], StillPulse())


def test_the_first_event_of_an_identity_stays(sink, server):
    sink.write([an_event(name="First")], StillPulse())

    for version in (LOWEST_VERSION, LOWEST_VERSION + 5):
        (verdict,) = sink.write([an_event(version=version, name="Other")], StillPulse())
        assert isinstance(verdict, Conflict)
    assert "First" == server.documents["i", "a"]["eventName"]


@pytest.mark.parametrize("version", [LOWEST_VERSION, LOWEST_VERSION + 5])
def test_the_first_event_of_a_batch_stays(sink, server, version):
    first, same, other = (
        an_event(version=version, name=name) for name in ("First", "First", "Other")
    )

    verdicts = sink.write([first, same, other], StillPulse())

    assert [Stored(), AlreadyThere()] == verdicts[:2]
    assert isinstance(verdicts[2], Conflict)
    assert "First" == server.documents["i", "a"]["eventName"]


def test_what_is_stored_decides_which_event_of_a_batch_stays(sink):
    sink.write([an_event(name="Stored")], StillPulse())

    other, stored = sink.write([an_event(name="Other"), an_event(name="Stored")], StillPulse())

    assert isinstance(other, Conflict)
    assert AlreadyThere() == stored


def test_the_same_event_with_more_facts_overwrites(sink, server):
    sink.write([an_event()], StillPulse())

    assert [Stored()] == sink.write([an_event(version=LOWEST_VERSION + 1)], StillPulse())
    assert LOWEST_VERSION + 1 == server.versions["i", "a"]


def test_nothing_is_looked_up_before_a_write_that_can_overwrite_nothing(sink, server):
    sink.write([an_event(), a_write("b", version=LOWEST_VERSION + 9)], StillPulse())

    assert [] == server.looked_up


def test_what_is_there_already_is_not_sent(sink, server):
    sink.write([an_event(version=LOWEST_VERSION + 1)], StillPulse())
    server.requests.clear()

    verdicts = sink.write([an_event(version=LOWEST_VERSION + 1)], StillPulse())

    assert [AlreadyThere()] == verdicts
    assert [] == server.requests


def test_an_answer_that_is_away_while_looking_up_is_waited_for(sink, server):
    errors = [NoConnection("N/A", "refused", OSError())]
    mget = server.mget

    def fail_once(**asked):
        if errors:
            raise errors.pop()
        return mget(**asked)

    server.mget = fail_once
    pulse = StillPulse()

    assert [Stored()] == sink.write([an_event(version=LOWEST_VERSION + 1)], pulse)
    assert 1 == len(pulse.waits)


# The pulse, and foreign errors


def test_a_lost_lease_ends_the_waiting(sink, server):
    class Losing(StillPulse):
        def wait(self, seconds: float, *, why: str) -> None:
            raise LeaseLost("a rebalance came")

    server.before = once(status_error(503))

    with pytest.raises(LeaseLost):
        sink.write([a_write()], Losing())


def all_subclasses(cls: type[OpenSearchException]) -> set[type[OpenSearchException]]:
    return {cls}.union(*(all_subclasses(sub) for sub in cls.__subclasses__()))


def test_every_error_of_the_client_has_a_verdict():
    made: dict[type[OpenSearchException], type] = {
        NoConnection: Retry,
        SSLError: Retry,
        ConnectionTimeout: Retry,
        SerializationError: Retry,
    }
    for error_type in all_subclasses(OpenSearchException):
        error = error_type("N/A", "x", {})
        expected = made.get(error_type, (Retry, Stop))
        assert isinstance(verdict_of(error), expected), error_type
