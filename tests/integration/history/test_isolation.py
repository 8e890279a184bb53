"""Two tokens, every endpoint: nobody sees, counts or follows another account's events."""

import base64
import json
from urllib.parse import quote_plus

import boto3
import httpx2
import pytest
from botocore.config import Config

from opstrail_history.access import token_hash
from tests.support.history import A, B, a_record, a_store, event_of, served

TOKENS = {A: "opstrailaaaa", B: "opstrailbbbb"}
OTHER = {A: B, B: A}
READER, ADMIN, ADMIN_OF_A = "opstrailreader", "opstrailadmin", "opstrailadmina"
# Names that only one account's events have: a leak shows whatever form it takes.
MARK = {A: "marigold", B: "bluebell"}


def access_file():
    tokens = [
        {"name": f"team-{account}", "sha256": token_hash(token), "accounts": [account],
         "rights": ["read", "export"]}
        for account, token in TOKENS.items()
    ]  # fmt: skip
    tokens += [
        {"name": "reader", "sha256": token_hash(READER), "accounts": [A], "rights": ["read"]},
        {"name": "admin", "sha256": token_hash(ADMIN), "accounts": "all", "rights": ["admin"]},
        {"name": "a", "sha256": token_hash(ADMIN_OF_A), "accounts": [A], "rights": ["admin"]},
    ]
    return json.dumps({"tokens": tokens})


def records(account):
    mark = MARK[account]
    user = {
        "type": "IAMUser", "principalId": f"AIDA{mark}", "userName": mark, "accountId": account,
        "arn": f"arn:aws:iam::{account}:user/{mark}", "accessKeyId": f"AKIA{mark}",
    }  # fmt: skip
    yield from (
        a_record(f"{mark}-{at}", f"2024-01-02T00:00:{at:02}Z", userIdentity=user,
                 recipientAccountId=account, requestID="shared-request", sharedEventID="shared",
                 resources=[{"ARN": "arn:aws:s3:::shared"}], eventName=f"Put{mark}",
                 sourceIPAddress="203.0.113.7")
        for at in range(12)
    )  # fmt: skip
    yield a_record(
        f"{mark}-correction", "2024-01-03T00:00:00Z", userIdentity=user, recipientAccountId=account,
        addendum={"reason": "UPDATED_DATA", "originalEventID": f"{mark}-1"},
    )  # fmt: skip
    # The other account's session was issued here, and used there.
    yield a_record(
        f"{mark}-issues", "2024-01-01T00:00:00Z", userIdentity=user, recipientAccountId=account,
        eventSource="sts.amazonaws.com", eventName="AssumeRole",
        responseElements={"credentials": {"accessKeyId": f"ASIA{MARK[OTHER[account]]}"}},
    )  # fmt: skip
    yield a_record(
        f"{mark}-session", "2024-01-04T00:00:00Z", recipientAccountId=account,
        userIdentity={"type": "AssumedRole", "accountId": account, "principalId": f"AROA{mark}:s",
                      "arn": f"arn:aws:sts::{account}:assumed-role/{mark}/s",
                      "accessKeyId": f"ASIA{mark}"},
    )  # fmt: skip


PER_ACCOUNT = 15


@pytest.fixture(scope="module")
def shared_store(opensearch_url):
    with a_store(opensearch_url, "hisolation" + token_hash(opensearch_url)[:8]) as stored:
        stored.put([event_of(record) for account in TOKENS for record in records(account)])
        stored.put_rows("dead-letters", [
            {"letterKey": MARK[one], "accountId": one, "failedAt": 1, "text": MARK[one]}
            for one in TOKENS
        ] + [{"letterKey": "nobody", "failedAt": 1, "text": "bluebell marigold"}])  # fmt: skip
        stored.put_rows("files", [
            {"bucket": "trail", "key": f"made.json{'' if one == A else '-'}", "state": MARK[one],
             "accountId": one, "updatedAt": 1} for one in TOKENS
        ])  # fmt: skip
        yield stored


@pytest.fixture(scope="module")
def url(shared_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    (folder / "access.yaml").write_text(access_file())
    settings = shared_store.settings(
        access_file=folder / "access.yaml", audit_file=folder / "audit.jsonl",
        streams_at_once=100,
    )  # fmt: skip
    with served(settings) as address:
        yield address


def client(url, token):
    return httpx2.Client(base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"})


def asks(account):
    """Every endpoint, asked for what is there and for what is the other account's."""
    mark, other = MARK[account], MARK[OTHER[account]]
    for path in ("/api/v1/events", "/api/v1/facets", "/api/v1/export"):
        yield path, {}
        yield path, {"account": OTHER[account]}
        yield path, {"account": f"!{account}"}
        yield path, {"user": other}
        yield path, {"accessKey": f"AKIA{other}"}
        yield path, {"q": other}
        yield path, {"q": "-zzz"}
        yield path, {"resource": "arn:aws:s3:::shared"}
        yield path, {"sourceIP": "0.0.0.0/0"}
        yield path, {"eventId": f"{other}-1"}
        yield path, {"requestId": "shared-request"}
    for form in ("csv", "records"):
        yield "/api/v1/export", {"format": form}
    for event in (f"{account}/{mark}-1", f"{account}/{mark}-session", f"{OTHER[account]}/{other}-1",
                  f"{account}/{mark}-correction"):  # fmt: skip
        for path in ("/api/v1/event", "/api/v1/event/related", "/api/v1/event/lineage"):
            yield path, {"id": event}
        yield "/details", {"event": event}
        yield "/", {"all": "1", "event": event}
    yield f"/api/v1/event-ids/{mark}-1", {}
    yield f"/api/v1/event-ids/{other}-1", {}
    yield "/api/v1/dead-letters", {}
    yield "/api/v1/dead-letters", {"account": OTHER[account]}
    yield "/api/v1/files", {}
    yield "/api/v1/files", {"account": OTHER[account]}
    yield "/api/v1/access", {}
    yield "/", {"all": "1"}
    yield "/", {"q": "Put*"}
    yield "/", {}


@pytest.mark.parametrize("account", TOKENS)
def test_nothing_of_another_account_comes_out_anywhere(url, account):
    other = MARK[OTHER[account]]
    with client(url, TOKENS[account]) as mine:
        for path, asked in asks(account):
            answer = mine.get(path, params=asked, follow_redirects=True)
            text = answer.text
            # What was asked comes back as it was asked: in chips and links, and in refusals.
            named = [path.rpartition("/")[2]] if "event-ids" in path else []
            for value in [*filter(lambda value: len(value) > 1, asked.values()), *named]:
                text = text.replace(value, "").replace(quote_plus(value), "")
            # The keys that this account itself used or issued are its own, whatever their name.
            text = text.replace(f"ASIA{other}", "")
            assert other not in text, (path, asked, answer.text[:3_000])
            assert answer.status_code in {200, 404}, (path, asked, answer.text[:300])


@pytest.mark.parametrize("account", TOKENS)
def test_counts_are_of_the_own_account_only(url, account):
    with client(url, TOKENS[account]) as mine:
        assert PER_ACCOUNT == mine.get("/api/v1/events").json()["total"]
        counted = mine.get("/api/v1/facets", params={"readOnly": "no"}).json()
        assert PER_ACCOUNT == counted["total"]
        assert [account] == [bucket["value"] for bucket in counted["counts"]["account"]]
        assert 0 == mine.get("/api/v1/events", params={"account": OTHER[account]}).json()["total"]
        assert 0 == counted["hidden"]["readOnly"]
        export = mine.get("/api/v1/export").text.splitlines()
        assert PER_ACCOUNT == json.loads(export[-1])["opstrailExport"]["events"] == len(export) - 1
        assert 1 == mine.get("/api/v1/dead-letters").json()["total"]
        assert 1 == mine.get("/api/v1/files").json()["total"]


def test_an_event_of_another_account_is_as_good_as_none(url):
    with client(url, TOKENS[A]) as mine:
        theirs = mine.get("/api/v1/event", params={"id": f"{B}/bluebell-1"})
        none = mine.get("/api/v1/event", params={"id": f"{B}/no-such"})

    assert 404 == theirs.status_code == none.status_code
    assert theirs.text.replace("bluebell-1", "") == none.text.replace("no-such", "")


def test_a_chain_ends_where_the_accounts_end(url):
    with client(url, TOKENS[A]) as mine, client(url, ADMIN) as admin:
        session = {"id": f"{A}/marigold-session"}
        assert "keyNotIssuedHere" == mine.get("/api/v1/event/lineage", params=session).json()["end"]
        assert "firstPrincipal" == admin.get("/api/v1/event/lineage", params=session).json()["end"]


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/dead-letters"])
def test_a_cursor_of_another_caller_is_refused(url, path):
    with (
        client(url, TOKENS[A]) as mine,
        client(url, TOKENS[B]) as theirs,
        client(url, ADMIN) as admin,
    ):
        for whose, whom in ((theirs, mine), (admin, mine), (mine, admin)):
            cursor = whose.get(path, params={"size": 1}).json()["cursor"]
            answer = whom.get(path, params={"size": 1, "cursor": cursor})
            assert 400 == answer.status_code
            assert "begin anew" in answer.json()["message"]
        cursor = mine.get("/api/v1/events", params={"size": 1}).json()["cursor"]
        other_question = mine.get("/api/v1/events", params={"size": 1, "q": "a", "cursor": cursor})
        assert 400 == other_question.status_code


def test_a_cursor_that_was_made_by_hand_is_refused(url):
    made = base64.urlsafe_b64encode(b'{"after":[0],"accounts":"all"}' * 3).decode()
    with client(url, TOKENS[A]) as mine:
        assert 400 == mine.get("/api/v1/events", params={"cursor": made}).status_code


@pytest.mark.parametrize("token", ["opstrail", "opstrailwrong", TOKENS[A][:-1], "x" * 1_000])
def test_a_wrong_token_gets_nothing(url, token):
    with client(url, token) as nobody:
        for path in ("/api/v1/events", "/api/v1/facets", "/api/v1/export", "/api/v1/live",
                     "/api/v1/files", "/api/v1/dead-letters", "/api/v1/access",
                     "/api/v1/audit"):  # fmt: skip
            assert 401 == nobody.get(path).status_code
        assert 401 == nobody.post("/", content=b"{}").status_code
        page = nobody.get("/")
        assert (303, "/sign-in?to=") == (page.status_code, page.headers["location"])
        assert 401 == nobody.get("/details", params={"event": f"{A}/marigold-1"}).status_code


def test_a_right_that_is_missing_is_missed(url):
    with client(url, READER) as reader, client(url, TOKENS[A]) as mine:
        assert 200 == reader.get("/api/v1/events").status_code
        answer = reader.get("/api/v1/export")
        assert 403 == answer.status_code
        assert "export" in answer.json()["message"]
        for whose, offered in ((reader, False), (mine, True)):
            assert 403 == whose.get("/api/v1/audit").status_code
            assert offered == ("Download all" in whose.get("/", params={"all": "1"}).text)


def test_an_admin_reads_what_was_asked_by_who_sees_no_more_than_they(url):
    with client(url, TOKENS[A]) as mine, client(url, TOKENS[B]) as theirs:
        mine.get("/api/v1/events", params={"q": "asked-in-a"})
        theirs.get("/api/v1/events", params={"q": "asked-in-b"})
    with client(url, "wrong") as nobody:
        nobody.get("/api/v1/facets", params={"q": "asked-by-nobody"})
    with client(url, ADMIN) as admin, client(url, ADMIN_OF_A) as admin_of_a:
        everything = admin.get("/api/v1/audit", params={"size": 1_000})
        of_a = admin_of_a.get("/api/v1/audit", params={"size": 1_000})
        latest = admin.get("/api/v1/audit", params={"size": 1}).json()["lines"]

    assert {"asked-in-a", "asked-in-b", "asked-by-nobody"} <= {
        line["query"].removeprefix("q=") for line in everything.json()["lines"]
    }
    assert {"asked-in-a"} == {
        query for query in ("asked-in-a", "asked-in-b", "asked-by-nobody") if query in of_a.text
    }
    assert all(line["accounts"] == [A] for line in of_a.json()["lines"])
    assert ["audit"] == [line["what"] for line in latest]


@pytest.mark.parametrize("account", TOKENS)
def test_the_live_view_shows_the_own_account_only(url, shared_store, account):
    mark, other = MARK[account], MARK[OTHER[account]]
    # Everything ever stored is newer than the last event id: all of it would be sent.
    with client(url, TOKENS[account]) as mine, mine.stream(
        "GET", "/api/v1/live", headers={"Last-Event-ID": "1"}
    ) as stream:  # fmt: skip
        seen = ""
        for line in stream.iter_lines():
            seen += line
            if seen.count("event: row") == PER_ACCOUNT and line.startswith(": still"):
                break

    assert mark in seen
    assert other not in seen.replace(f"ASIA{other}", "")


@pytest.mark.parametrize("account", TOKENS)
def test_lookup_events_takes_the_token_as_key_id(url, account):
    cloudtrail = boto3.client(
        "cloudtrail", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id=TOKENS[account], aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    pages = cloudtrail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 4})

    events = [event for page in pages for event in page["Events"]]

    assert PER_ACCOUNT == len({event["EventId"] for event in events}) == len(events)
    assert all(MARK[account] in event["EventId"] for event in events)
    other = MARK[OTHER[account]]
    for key, value in (
        ("EventId", f"{other}-1"),
        ("Username", other),
        ("AccessKeyId", f"AKIA{other}"),
        ("EventName", f"Put{other}"),
    ):
        asked = [{"AttributeKey": key, "AttributeValue": value}]
        assert [] == cloudtrail.lookup_events(LookupAttributes=asked)["Events"]


def test_the_page_takes_the_token_by_cookie(url):
    with httpx2.Client(base_url=url, timeout=30) as browser:
        wrong = browser.post("/sign-in", data={"token": "wrong"})
        forged = browser.post(
            "/sign-in", data={"token": TOKENS[A]}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        right = browser.post("/sign-in", data={"token": TOKENS[A]})
        page = browser.get("/", follow_redirects=True)
        leads = [
            browser.post("/sign-in", params={"to": to}, data={"token": TOKENS[A]})
            for to in ("name=a&q=b+c", "//evil.example", "\r\nx: y", '"><script>')
        ]
        shown = browser.get("/sign-in", params={"to": '"><script>'}).text
        out = browser.post("/sign-out")
        gone = browser.get("/")

    assert (401, 403, 303, 200, 303, 303) == tuple(
        answer.status_code for answer in (wrong, forged, right, page, out, gone)
    )
    assert "/?name=a&q=b+c" == leads[0].headers["location"]
    assert all(answer.headers["location"].startswith("/?") for answer in leads)
    assert "<script>" not in shown
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "marigold" in page.text


def test_who_asked_what_is_written_down(shared_store, tmp_path):
    (tmp_path / "access.yaml").write_text(access_file())
    settings = shared_store.settings(
        access_file=tmp_path / "access.yaml", audit_file=tmp_path / "audit.jsonl"
    )
    with served(settings) as address, client(address, TOKENS[A]) as mine:
        mine.get("/api/v1/events", params={"q": "a\nb"})
        mine.get("/api/v1/events", params={"q": "*"})
        mine.get("/api/v1/export")
        mine.get("/api/v1/event", params={"id": f"{B}/bluebell-1"})

    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    # How a download ends is written when it has: maybe while the next question is answered.
    assert {
        ("search", 200, 0), ("search", 400, None), ("export", 200, None),
        ("export-ended", 200, PER_ACCOUNT), ("event", 404, None),
    } == {(line["what"], line["status"], line["events"]) for line in lines}  # fmt: skip
    assert 5 == len(lines)
    assert {(f"team-{A}", "token")} == {(line["who"], line["way"]) for line in lines}
    assert [A] == lines[0]["accounts"]


def test_a_proxy_names_its_user(shared_store, tmp_path):
    users = {"users": [{"name": "ada", "accounts": [A], "rights": ["read"]}]}
    (tmp_path / "access.yaml").write_text(json.dumps(users))
    told = {"access_file": tmp_path / "access.yaml"}
    with served(shared_store.settings(**told, trusted_proxies=["127.0.0.0/8"])) as behind, served(
        shared_store.settings(**told)
    ) as alone:  # fmt: skip
        ada = {"X-Forwarded-User": "ada"}
        known = httpx2.get(f"{behind}/api/v1/access", headers=ada)
        unknown = httpx2.get(f"{behind}/api/v1/access", headers={"X-Forwarded-User": "bob"})
        nobody = httpx2.get(f"{behind}/api/v1/access")
        forged = httpx2.get(f"{alone}/api/v1/access", headers=ada)

    assert [200, 403, 401, 401] == [one.status_code for one in (known, unknown, nobody, forged)]
    assert ("ada", [A]) == (known.json()["name"], known.json()["accounts"])
