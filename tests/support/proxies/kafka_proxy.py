"""A proxy in front of a Kafka broker that understands requests as far as needed to spoil them.

It reads a request's kind and number (the first eight bytes behind its size), so it can lose the
reply to a commit or hold a commit back for seconds. Addresses of brokers in replies are replaced by
those of their proxies, else clients would go around them.
"""

import asyncio
import random
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PRODUCE, FETCH, METADATA, FIND_COORDINATOR = 0, 1, 3, 10
INIT_PRODUCER_ID, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT = 22, 25, 26, 28
_HOST = b"127.0.0.1"
# A reply to produce or fetch names the new leader where that has moved (KIP-951).
_TELLS_ADDRESSES = frozenset({METADATA, FIND_COORDINATOR, PRODUCE, FETCH})


@dataclass(frozen=True, slots=True)
class Late:
    """The request reaches the broker later; whatever comes behind it waits too."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Detached:
    """The connection is reset at once; the request reaches the broker alone, later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """The broker does what it is asked; the connection is reset before its reply."""


@dataclass(frozen=True, slots=True)
class NeverSent:
    """The connection is reset; the broker never sees the request."""


@dataclass(frozen=True, slots=True)
class ReplyCut:
    """Half of the reply comes, then a reset."""


Fault = Late | Detached | ReplyLost | NeverSent | ReplyCut
Faults = Callable[[int], Fault | None]  # by the kind of a request


def no_faults(_kind: int) -> Fault | None:
    """Let everything through."""
    return None


@dataclass(slots=True)
class KafkaProxy:
    """Proxies of the brokers at `ports` of loopback, in a thread of its own."""

    ports: tuple[int, ...]
    faults: Faults = no_faults
    counts: Counter[str] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)
    _listening: dict[int, int] = field(default_factory=dict)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where it listens."""
        return ",".join(f"127.0.0.1:{self._listening[port]}" for port in self.ports)

    @contextmanager
    def running(self) -> Iterator["KafkaProxy"]:
        """Listen, and stop at the end."""
        ready, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            servers = []
            for port in self.ports:
                server = await asyncio.start_server(self._client_of(port), "127.0.0.1", 0)
                self._listening[port] = server.sockets[0].getsockname()[1]
                servers.append(server)
            self._loop = asyncio.get_running_loop()
            ready.set()
            await stop.wait()
            for server in servers:
                server.close()
            self.drop_connections()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next round

        thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    def cut(self) -> None:
        """Reset all connections now."""
        assert self._loop is not None
        self.counts["cut"] += 1
        self._loop.call_soon_threadsafe(self.drop_connections)

    def drop_connections(self) -> None:
        """Reset all connections. In the proxy's own thread."""
        for writer in list(self._open):
            writer.transport.abort()

    def _client_of(
        self, port: int
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = _Connection(self, port, writer)
            self._open.add(writer)
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await connection.run(reader)
            finally:
                writer.transport.abort()
                self._open.discard(writer)

        return client

    def own(self, reply: bytes) -> bytes:
        """Return a reply with our ports in place of the brokers'."""
        for port, ours in self._listening.items():
            reply = reply.replace(_HOST + struct.pack(">i", port), _HOST + struct.pack(">i", ours))
        return reply


class _Connection:
    """One client's connection to one broker."""

    def __init__(self, proxy: KafkaProxy, port: int, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._port = port
        self._client = client
        self._spoilt: dict[int, Fault] = {}  # by a request's number: what its reply meets
        self._of_addresses: set[int] = set()

    async def run(self, requests: asyncio.StreamReader) -> None:
        """Send requests on and replies back until either side ends."""
        replies, broker = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.ensure_future(self._requests(requests, broker))
        back = asyncio.ensure_future(self._replies(replies))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            broker.transport.abort()

    async def _requests(self, requests: asyncio.StreamReader, broker: asyncio.StreamWriter) -> None:
        while True:
            frame = await _frame(requests)
            kind, _, number = struct.unpack(">hhi", frame[:8])
            self._proxy.requests[kind] += 1
            fault = self._proxy.faults(kind)
            if fault is not None:
                self._proxy.counts[type(fault).__name__] += 1
            match fault:
                case NeverSent():
                    return
                case Detached(seconds):
                    asyncio.get_running_loop().create_task(self._alone(frame, seconds))
                    return
                case Late(seconds):
                    await asyncio.sleep(seconds)
                case ReplyLost() | ReplyCut():
                    self._spoilt[number] = fault
                case None:
                    pass
            if kind in _TELLS_ADDRESSES:
                self._of_addresses.add(number)
            broker.write(struct.pack(">i", len(frame)) + frame)
            await broker.drain()

    async def _alone(self, frame: bytes, seconds: float) -> None:
        """Send a request by itself, when its client has gone."""
        await asyncio.sleep(seconds)
        with suppress(OSError, asyncio.IncompleteReadError):
            replies, broker = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                broker.write(struct.pack(">i", len(frame)) + frame)
                await _frame(replies)
            finally:
                broker.transport.abort()

    async def _replies(self, replies: asyncio.StreamReader) -> None:
        while True:
            frame = await _frame(replies)
            (number,) = struct.unpack(">i", frame[:4])
            fault = self._spoilt.pop(number, None)
            if isinstance(fault, ReplyLost):
                return
            if number in self._of_addresses:
                self._of_addresses.discard(number)
                frame = self._proxy.own(frame)
            whole = struct.pack(">i", len(frame)) + frame
            if isinstance(fault, ReplyCut):
                self._client.write(whole[: len(whole) // 2])
                await self._client.drain()
                return
            self._client.write(whole)
            await self._client.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def nth(plan: Mapping[int, Mapping[int, Fault]]) -> Faults:
    """Return faults by the kind of a request and how many of it there were: `{END_TXN: {3: …}}`."""
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def faults(kind: int) -> Fault | None:
        with lock:
            seen[kind] += 1
            return plan.get(kind, {}).get(seen[kind])

    return faults


def at_random(choices: Mapping[int, list[Fault]], *, share: float, seed: int) -> Faults:
    """Return faults for that share of the requests of these kinds."""
    rng = random.Random(seed)
    lock = threading.Lock()

    def faults(kind: int) -> Fault | None:
        with lock:
            if kind in choices and rng.random() < share:
                return rng.choice(choices[kind])
        return None

    return faults


def at_most(number: int, faults: Faults) -> Faults:
    """Return the first so many of these faults, and none after them."""
    left = [number]
    lock = threading.Lock()

    def some(kind: int) -> Fault | None:
        with lock:
            found = faults(kind) if left[0] else None
            left[0] -= found is not None
            return found

    return some
