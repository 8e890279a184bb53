"""The tour's questions to OpenSearch, answered by a stand-in as OpenSearch answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from opstrail_cli.demo_report import StackEvent
from opstrail_cli.demo_store import look


def _bucket(key: str, count: int, *below: dict[str, object]) -> dict[str, object]:
    return {"key": key, "doc_count": count, "below": {"buckets": list(below)}}


STACK = {"id": "stack-1", "name": "shop", "resolution": "instance"}


def _document(delivery: str, **ours: object) -> dict[str, object]:
    time, request = "2022-01-01T00:00:00Z", {"instanceId": "i"}
    opstrail = {"delivery": {"object": delivery}, **ours}
    return {
        "eventTime": time,
        "eventName": "StopInstance",
        "requestParameters": request,
        "opstrail": opstrail,
    }


EVENTS: dict[str, Any] = {
    "hits": {
        "hits": [
            {"_id": "111122223333/a", "_source": _document("file-1", stack=STACK)},
            {"_id": "111122223333/b", "_source": _document("file-1")},
        ]
    },
    "aggregations": {
        "kinds": {"buckets": [_bucket("root", 2)]},
        "credentials": {"buckets": [_bucket("longTerm", 2)]},
        "accounts": {"buckets": [_bucket("", 2)]},
        "callers": {"buckets": [_bucket("anna", 2, _bucket("iamUser", 2))]},
        "opsworks": {
            "ids": {"buckets": [_bucket("stack-1", 2)]},
            "calls": {"buckets": [_bucket("shop-prod", 2, _bucket("StopStack", 2))]},
        },
    },
}
LETTERS = {"hits": {"hits": [{"_source": {"key": "a", "reason": "not-json"}}]}}


class _OpenSearch(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        alias, call = self.path.strip("/").split("/")
        if call == "_refresh" and body:  # as OpenSearch does
            self.send_error(400, "request [POST /_refresh] does not support having a body")
            return
        answer = LETTERS if alias == "opstrail-dead-letters" else EVENTS
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def opensearch() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _OpenSearch) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_lies_in_the_store_is_found(opensearch: str) -> None:
    found = look(opensearch)

    assert {"111122223333/a", "111122223333/b"} == found.identities
    assert [{"key": "a", "reason": "not-json"}] == found.dead_letters
    assert [("anna", "iamUser", 2)] == found.top_callers
    assert [("shop-prod", "StopStack", 2)] == found.stack_calls
    assert {"stack-1": 2} == found.by_stack_id
    assert [
        StackEvent("111122223333/a", "2022-01-01T00:00:00Z", "StopInstance",
                   "stack-1", "shop", "instance", names_stack=False)
    ] == found.stack_events  # fmt: skip


def test_the_digest_is_one_of_all_but_the_delivery(
    opensearch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(opensearch).digest
    monkeypatch.setitem(EVENTS["hits"]["hits"][1], "_source", _document("file-2"))
    same = look(opensearch).digest
    monkeypatch.setitem(EVENTS["hits"]["hits"][1], "_source", _document("file-2", stack=STACK))

    assert first == same != look(opensearch).digest
