"""Writes documents into OpenSearch until each has a final verdict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, assert_never

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException, TransportError

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.stage import Pulse
from opstrail_runtime.telemetry import emit
from opstrail_store.bulk_response import (
    NOTHING_THERE,
    AlreadyThere,
    Bisect,
    ItemVerdict,
    Reject,
    Retry,
    Stop,
    Stored,
    item_verdicts,
)
from opstrail_store.content import CONTENT_FIELDS, Content, is_same
from opstrail_store.document import Delivery
from opstrail_store.opensearch_errors import OpenSearchRefuses, verdict_of
from opstrail_store.telemetry import BulkAnswered, FormReduced, RequestBisected

# A first write under the first rules with no known facts has this version, which is the lowest:
# it can overwrite nothing (design: rulesVersion * 2^32 + 1 + n).
LOWEST_VERSION = (1 << 32) + 1
_BEAT_S = 0.5
_FILTER = (
    "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)
_DELIVERY = ("bucket", "key", "recordIndex", "storedAt")
# Whole names only: with a dotted one among them OpenSearch needs 700 us a document, else 90.
_CONTENT = ",".join(CONTENT_FIELDS)
_CONTENT_AND_DELIVERY = f"{_CONTENT},opstrail"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another event with this identity is there: it stays."""

    why: str


Final = Stored | AlreadyThere | Reject | Conflict


@dataclass(frozen=True, slots=True)
class Write:
    """One document to write; `body` None deletes it.

    `reduced` returns another form of the body, tried once when OpenSearch refuses the first.
    `content` is given where a document of that id must not be overwritten by another event.
    `delivery` tells our own writing from others, when a reply was lost.
    """

    index: str
    id: str
    version: int
    body: bytes | None
    reduced: Callable[[], bytes] | None = None
    content: Content | None = None
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    place: int
    write: Write
    doubtful: bool = False


class _There(NamedTuple):
    """What is stored under an id."""

    version: int
    source: Mapping[str, Any]


_Found = Mapping[tuple[str, str], _There]


class OpenSearchSink:
    """Writes with external versions: a repeat changes nothing, an older version never wins.

    Every request runs in a thread of its own while the caller's pulse beats. What OpenSearch
    cannot take now is tried again for ever, with growing waits. Raises OpenSearchRefuses when it
    refuses us, LeaseLost (from the pulse) when the work is no longer ours; then nothing is known
    of the documents, and writing them again is safe.
    """

    def __init__(
        self,
        client: OpenSearch,
        *,
        backoff: Backoff,
        max_body_bytes: int = 8_000_000,
        max_documents: int = 1_000,
        in_flight: int = 2,
    ) -> None:
        self._client = client
        self._backoff = backoff
        self._max_body_bytes = max_body_bytes
        self._max_documents = max_documents
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="opensearch")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def write(self, writes: Sequence[Write], pulse: Pulse) -> list[Final]:
        """Write all and return their final verdicts, in order."""
        final: dict[int, Final] = dict(self._settled_before(writes, pulse))
        pending = [_Pending(at, write) for at, write in enumerate(writes) if at not in final]
        there: list[_Pending] = []
        attempt = 0
        while pending:
            left: list[_Pending] = []
            waits: Retry | None = None
            pass_by("before-bulk")
            verdicts = self._send(pending, pulse)
            pass_by("after-reply")
            for item, verdict in zip(pending, verdicts, strict=True):
                match verdict:
                    case Stored():
                        final[item.place] = verdict
                    case AlreadyThere():
                        there.append(item)
                    case Retry():
                        waits = verdict
                        left.append(replace(item, doubtful=item.doubtful or verdict.doubtful))
                    case Reject():
                        if item.write.reduced is None:
                            final[item.place] = verdict
                        else:
                            emit(FormReduced())
                            left.append(replace(item, write=_reduced(item.write)))
                    case Stop():
                        raise OpenSearchRefuses(f"opensearch: {verdict.why}")
                    case _:
                        assert_never(verdict)
            if waits is not None:
                attempt = 1 if len(left) < len(pending) else attempt + 1
                pulse.wait(self._backoff.wait_s(attempt), why=f"opensearch: {waits.why}")
            pending = left
        final.update(self._told_apart(there, pulse))
        return [final[at] for at in range(len(writes))]

    # Identity: the first event stays.

    def _settled_before(self, writes: Sequence[Write], pulse: Pulse) -> Iterator[tuple[int, Final]]:
        """Find events that would overwrite another one, and those that are there already."""
        first: dict[tuple[str, str], Content] = {}
        contested = {
            (write.index, write.id)
            for write in writes
            if write.content is not None
            and first.setdefault((write.index, write.id), write.content) != write.content
        }
        guarded = [
            write
            for write in writes
            if write.content is not None
            and (write.version > LOWEST_VERSION or (write.index, write.id) in contested)
        ]
        found = self._look_up(guarded, _CONTENT, pulse)
        kept: dict[tuple[str, str], Content] = {}
        deleted = {(w.index, w.id): at for at, w in enumerate(writes) if w.body is None}
        for at, write in enumerate(writes):
            address = (write.index, write.id)
            if write.content is None:
                # Tried again a minute after its deletion, when OpenSearch has forgotten that one's
                # version (index.gc_deletes), it would come back and stay.
                if at < deleted.get(address, at):
                    yield at, AlreadyThere()
                continue
            there = found.get(address)
            if there is not None and not is_same(write.content, there.source):
                yield at, _conflict(write)
            elif there is not None and there.version >= write.version:
                yield at, AlreadyThere()
            elif kept.setdefault(address, write.content) != write.content:
                yield at, _conflict(write)

    def _told_apart(self, items: Sequence[_Pending], pulse: Pulse) -> Iterator[tuple[int, Final]]:
        """Tell what a 409 means: the same event, another one, or our own write, its reply lost."""
        doubtful = [item.write for item in items if item.doubtful and item.write.delivery]
        others = [item.write for item in items if item.write.content and not item.doubtful]
        found = {
            **self._look_up(others, _CONTENT, pulse),
            **self._look_up(doubtful, _CONTENT_AND_DELIVERY, pulse),
        }
        for item in items:
            write = item.write
            there = found.get((write.index, write.id))
            if there is None:
                yield item.place, AlreadyThere()
            elif write.content is not None and not is_same(write.content, there.source):
                yield item.place, _conflict(write)
            elif item.doubtful and write.delivery == _delivery_in(there.source):
                yield item.place, Stored()
            else:
                yield item.place, AlreadyThere()

    def _look_up(self, writes: Sequence[Write], fields: str, pulse: Pulse) -> _Found:
        """Return what is stored under these ids, by index and id."""
        found: dict[tuple[str, str], _There] = {}
        addresses = list(dict.fromkeys((write.index, write.id) for write in writes))
        for start in range(0, len(addresses), self._max_documents):
            some = addresses[start : start + self._max_documents]
            answer = self._patiently(partial(self._ask_for, some, fields), pulse)
            found |= {
                (doc["_index"], doc["_id"]): _There(doc["_version"], doc.get("_source", {}))
                for doc in answer["docs"]
                if doc.get("found")
            }
        return found

    def _ask_for(self, addresses: Sequence[tuple[str, str]], fields: str) -> Any:
        answer = self._client.mget(
            body={"docs": [{"_index": index, "_id": id_} for index, id_ in addresses]},
            params={
                "_source_includes": fields,
                "filter_path": "docs._index,docs._id,docs._version,docs.found,docs._source,"
                "docs.error.type",
            },
        )
        for doc in answer["docs"]:
            kind = doc.get("error", {}).get("type")
            if kind is not None and kind not in NOTHING_THERE:
                # A shard that is away says nothing about what it holds.
                status = 403 if kind == "security_exception" else 503
                raise TransportError(status, kind, {"error": doc["error"]})
        return answer

    def _patiently(self, ask: Callable[[], Any], pulse: Pulse) -> Any:
        attempt = 0
        while True:
            future = self._threads.submit(ask)
            self._await([future], pulse)
            try:
                return future.result()
            except OpenSearchException as error:
                verdict = verdict_of(error)
                if not isinstance(verdict, Retry):
                    raise OpenSearchRefuses(f"opensearch: {verdict.why}") from error
                attempt += 1
                pulse.wait(self._backoff.wait_s(attempt), why=f"opensearch: {verdict.why}")

    # Requests.

    def _send(self, pending: Sequence[_Pending], pulse: Pulse) -> list[ItemVerdict]:
        futures = [self._threads.submit(self._bulk, group) for group in self._groups(pending)]
        try:
            self._await(futures, pulse)
        finally:
            for future in futures:
                future.cancel()
        return [verdict for future in futures for verdict in future.result()]

    def _await(self, futures: Sequence[Future[Any]], pulse: Pulse) -> None:
        while wait(futures, timeout=_BEAT_S).not_done:
            pulse.beat()

    def _groups(self, pending: Sequence[_Pending]) -> Iterator[list[bytes]]:
        """Cut into requests of bounded size."""
        group: list[bytes] = []
        size = 0
        for item in pending:
            lines = _lines(item.write)
            full = len(group) == self._max_documents or size + len(lines) > self._max_body_bytes
            if group and full:
                yield group
                group, size = [], 0
            group.append(lines)
            size += len(lines)
        if group:
            yield group

    def _bulk(self, group: list[bytes]) -> list[ItemVerdict]:
        """Send one request; in halves where all of it is refused. Runs in a thread."""
        body = b"".join(group)
        try:
            response = self._client.bulk(body=body, params={"filter_path": _FILTER})
        except OpenSearchException as error:
            verdict = verdict_of(error)
            match verdict:
                case Bisect() if len(group) > 1:
                    emit(RequestBisected(documents=len(group), why=verdict.why))
                    half = len(group) // 2
                    return self._bulk(group[:half]) + self._bulk(group[half:])
                case Bisect():
                    return [Reject(verdict.why)]
                case Retry() | Stop():
                    return [verdict] * len(group)
                case _:
                    assert_never(verdict)
        emit(BulkAnswered(documents=len(group), size_bytes=len(body)))
        return item_verdicts(response, len(group))


def _lines(write: Write) -> bytes:
    action = {
        "_index": write.index,
        "_id": write.id,
        "version": write.version,
        "version_type": "external",
    }
    if write.body is None:
        return _encode({"delete": action}) + b"\n"
    return b'{"index":%b}\n%b\n' % (_encode(action), write.body)


def _reduced(write: Write) -> Write:
    assert write.reduced is not None  # noqa: S101 - the caller has looked
    return replace(write, body=write.reduced(), reduced=None)


def _conflict(write: Write) -> Conflict:
    return Conflict(
        f"another event with the identity {write.id} is stored in {write.index}: "
        "its time, source or name differ; the first stays"
    )


def _delivery_in(source: Mapping[str, Any]) -> Delivery | None:
    delivery = source.get("opstrail", {}).get("delivery", {})
    values = [delivery.get(name) for name in _DELIVERY]
    return None if None in values else Delivery(*values)
