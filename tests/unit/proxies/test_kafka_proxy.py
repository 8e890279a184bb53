"""The Kafka fault proxy, in front of a broker that answers every request with its own bytes."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.proxies.kafka_proxy import (
    END_TXN,
    METADATA,
    PRODUCE,
    Detached,
    KafkaProxy,
    Late,
    NeverSent,
    ReplyCut,
    ReplyLost,
    at_most,
    at_random,
    nth,
)


class Broker:
    """Answers each frame with its number and the address in it; remembers the frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._client, args=(client,), daemon=True).start()

    def _client(self, client: socket.socket) -> None:
        with client:
            while (frame := read_frame(client)) is not None:
                self.frames.append(frame)
                reply = frame[4:8] + b"127.0.0.1" + struct.pack(">i", self.port)
                client.sendall(struct.pack(">i", len(reply)) + reply)

    def close(self) -> None:
        self._socket.close()


def read_frame(client: socket.socket) -> bytes | None:
    try:
        head = client.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return None
        (size,) = struct.unpack(">i", head)
        frame = client.recv(size, socket.MSG_WAITALL)
    except ConnectionError:
        return None
    return frame if len(frame) == size else None


def request(kind: int, number: int = 7) -> bytes:
    frame = struct.pack(">hhi", kind, 0, number) + b"rest"
    return struct.pack(">i", len(frame)) + frame


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.close()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[KafkaProxy]:
    with KafkaProxy((broker.port,)).running() as running:
        yield running


@pytest.fixture
def client(proxy: KafkaProxy) -> Iterator[socket.socket]:
    with connected(proxy) as made:
        yield made


def connected(proxy: KafkaProxy) -> socket.socket:
    port = int(proxy.bootstrap_servers.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def until(broker: Broker, number: int) -> None:
    give_up = time.monotonic() + 10
    while len(broker.frames) < number and time.monotonic() < give_up:
        time.sleep(0.01)


def test_requests_and_replies_pass(broker: Broker, client: socket.socket) -> None:
    client.sendall(request(PRODUCE, 1) + request(PRODUCE, 2))

    replies = [read_frame(client), read_frame(client)]

    assert [1, 2] == [struct.unpack(">i", (reply or b"")[:4])[0] for reply in replies]
    assert [request(PRODUCE, 1)[4:], request(PRODUCE, 2)[4:]] == broker.frames


def test_addresses_of_brokers_become_those_of_proxies(
    broker: Broker, proxy: KafkaProxy, client: socket.socket
) -> None:
    client.sendall(request(METADATA))
    reply = read_frame(client) or b""

    port = struct.unpack(">i", reply[-4:])[0]
    assert proxy.bootstrap_servers == f"127.0.0.1:{port}"
    assert port != broker.port


def test_a_lost_reply_means_that_the_broker_has_acted(
    broker: Broker, proxy: KafkaProxy, client: socket.socket
) -> None:
    proxy.faults = nth({END_TXN: {2: ReplyLost()}})
    client.sendall(request(END_TXN, 1))
    assert read_frame(client) is not None

    client.sendall(request(END_TXN, 2))

    assert read_frame(client) is None
    assert 2 == len(broker.frames)
    assert {"ReplyLost": 1} == proxy.counts
    assert {END_TXN: 2} == proxy.requests


def test_what_is_never_sent_the_broker_does_not_see(
    broker: Broker, proxy: KafkaProxy, client: socket.socket
) -> None:
    proxy.faults = nth({END_TXN: {1: NeverSent()}})
    client.sendall(request(END_TXN))

    assert read_frame(client) is None
    assert [] == broker.frames


def test_a_reply_that_is_cut_ends_the_connection(
    broker: Broker, proxy: KafkaProxy, client: socket.socket
) -> None:
    proxy.faults = nth({PRODUCE: {1: ReplyCut()}})
    client.sendall(request(PRODUCE))

    assert read_frame(client) is None
    assert 1 == len(broker.frames)


def test_a_late_request_is_answered_late(proxy: KafkaProxy, client: socket.socket) -> None:
    proxy.faults = nth({END_TXN: {1: Late(0.05)}})
    began = time.monotonic()
    client.sendall(request(END_TXN))

    assert read_frame(client) is not None
    assert time.monotonic() - began >= 0.04


def test_a_detached_request_arrives_when_its_client_has_gone(
    broker: Broker, proxy: KafkaProxy, client: socket.socket
) -> None:
    proxy.faults = nth({END_TXN: {1: Detached(0.02)}})
    client.sendall(request(END_TXN))

    assert read_frame(client) is None
    until(broker, 1)
    assert [request(END_TXN)[4:]] == broker.frames


def test_all_connections_can_be_cut(proxy: KafkaProxy, client: socket.socket) -> None:
    client.sendall(request(PRODUCE))
    assert read_frame(client) is not None

    proxy.cut()

    assert read_frame(client) is None
    with connected(proxy) as again:
        again.sendall(request(PRODUCE))
        assert read_frame(again) is not None


def test_faults_at_random_are_those_of_the_seed() -> None:
    def of(seed: int) -> list[bool]:
        faults = at_random({END_TXN: [NeverSent()]}, share=0.5, seed=seed)
        return [faults(END_TXN) is not None for _ in range(30)]

    assert of(4) == of(4)
    assert {True, False} == set(of(4))
    assert at_random({END_TXN: [NeverSent()]}, share=1.0, seed=4)(PRODUCE) is None


def test_no_more_faults_come_than_were_asked_for() -> None:
    faults = at_most(2, at_random({END_TXN: [NeverSent()]}, share=1.0, seed=1))

    found = [faults(END_TXN), faults(PRODUCE), faults(END_TXN), faults(END_TXN)]

    assert [NeverSent(), None, NeverSent(), None] == found
