"""Searching a real store: filters, pages, counts, one event, what belongs to it."""

import base64
import json
from itertools import permutations

import httpx2
import pytest

from tests.support.history import STORED_AT, A, B, C, a_record, event_of, served


def events(client, **asked):
    answer = client.get("/api/v1/events", params=asked)
    assert 200 == answer.status_code, answer.text
    return answer.json()["events"]


def pages(client, **asked):
    """All events, page by page."""
    found, cursor = [], None
    while True:
        params = {**asked, **({} if cursor is None else {"cursor": cursor})}
        answer = client.get("/api/v1/events", params=params)
        assert 200 == answer.status_code, answer.text
        found += answer.json()["events"]
        cursor = answer.json()["cursor"]
        if cursor is None:
            return found


FILTERED = [
    ({"account": A}, lambda row: row["account"] == A),
    ({"account": "shop-staging"}, lambda row: row["account"] == B),
    ({"account": f"!{A}"}, lambda row: row["account"] != A),
    ({"region": ["us-east-1", "us-west-2"]},
     lambda row: row["region"] in {"us-east-1", "us-west-2"}),
    ({"name": "CreateStack"}, lambda row: row["action"] == "CreateStack"),
    ({"name": "Create*"}, lambda row: row["action"].startswith("Create")),
    ({"source": "sts"}, lambda row: row["source"] == "sts.amazonaws.com"),
    ({"role": "deploy"}, lambda row: row["who"]["role"] == "deploy"),
    ({"session": "build-77"}, lambda row: row["who"]["session"] == "build-77"),
    ({"accessKey": "AKIAIOSFODNN7EXAMPLE"}, lambda row: row["accessKey"] == "AKIAIOSFODNN7EXAMPLE"),
    ({"callerKind": "root"}, lambda row: row["who"]["kind"] == "root"),
    ({"stack": "shop-prod", "name": "CreateInstance"},
     lambda row: row["stack"]["name"] == "shop-prod" and row["action"] == "CreateInstance"),
    ({"instance": "web1"}, lambda row: "web1" in row["stack"]["instances"]),
    ({"app": "storefront"}, lambda row: "storefront" in row["stack"]["apps"]),
    ({"readOnly": "no"}, lambda row: row["readOnly"] is not True),
    ({"readOnly": "yes"}, lambda row: row["readOnly"] is not False),
    ({"outcome": "denied"}, lambda row: row["outcome"] == "denied"),
    ({"outcome": "allowed"}, lambda row: row["outcome"] == "allowed"),
    ({"outcome": "failed"}, lambda row: row["outcome"] == "failed"),
    ({"sourceIP": "203.0.113.0/24"}, lambda row: (row["address"] or "").startswith("203.0.113.")),
    ({"since": "2023-06", "until": "2023-12"}, lambda row: "2023-06" <= row["time"] < "2024"),
    ({"q": "CREATEstack"}, lambda row: row["action"] == "CreateStack"),
    ({"q": "stack:shop-prod -name:CreateDeployment creat*"},
     lambda row: row["stack"]["name"] == "shop-prod" and row["action"] != "CreateDeployment"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "holds"), FILTERED, ids=lambda value: str(value)[:50])
def test_a_filter_finds_what_it_says_and_all_of_it(sample, asked, holds):
    found = pages(sample, **asked, size=100)

    assert found
    assert all(holds(row) for row in found)
    everything = pages(sample, size=1_000)
    # What others a row may not show: a stack that is none, a read that the record does not call so.
    if not {"stack", "instance", "app", "readOnly"} & asked.keys() and "stack:" not in str(asked):
        wanted = {row["id"] for row in everything if holds(row)}
        assert wanted == {row["id"] for row in found}


def test_reads_and_writes_together_are_all(sample):
    sizes = [sample.get("/api/v1/events", params=asked).json()["total"]
             for asked in ({"readOnly": "yes"}, {"readOnly": "no"}, {})]  # fmt: skip

    assert sizes[0] + sizes[1] == sizes[2] == 224


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("size", [1, 7, 224, 1_000])
def test_pages_hold_every_event_once_in_order(sample, size, order):
    if size == 1:
        found = pages(sample, size=size, order=order, region="us-east-1")
        total = sample.get("/api/v1/events", params={"region": "us-east-1"}).json()["total"]
    else:
        found, total = pages(sample, size=size, order=order), 224

    assert total == len(found) == len({row["id"] for row in found})
    times = [row["time"] or "" for row in found]
    assert times == sorted(times, reverse=order == "newest")


def test_pages_of_a_time_that_counts_from_now_follow_each_other(sample):
    asked = {"since": "3650d", "until": "now"}
    total = sample.get("/api/v1/events", params=asked).json()["total"]

    assert 100 < total == len({row["id"] for row in pages(sample, **asked, size=50)})


def test_pages_neither_skip_nor_repeat_while_events_are_stored_and_corrected(store):
    def some(start, count):
        # Many of the same millisecond: the time alone is no order.
        return [
            event_of(a_record(f"e-{at}", "2024-01-02T00:00:00Z"))
            for at in range(start, start + count)
        ]

    store.put(some(0, 90))
    store.put(
        [event_of(a_record("no-time", "never")), event_of(a_record("far", "2999-01-01T00:00:00Z"))]
    )
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        found, cursor, stored = [], None, 1_000
        while True:
            answer = client.get(
                "/api/v1/events", params={"size": 10, **({"cursor": cursor} if cursor else {})}
            ).json()
            found += [row["id"] for row in answer["events"]]
            cursor = answer["cursor"]
            if cursor is None:
                break
            store.put(some(stored, 20))  # new ones, all over the order
            store.put(some(0, 30), stored_at=STORED_AT + 1)  # and old ones again
            stored += 20

    assert len(found) == len(set(found))
    assert {f"{A}/e-{at}" for at in range(90)} | {f"{A}/no-time", f"{A}/far"} <= set(found)


def test_a_point_in_time_that_is_gone_costs_nothing(store):
    store.put(
        [event_of(a_record(f"e-{at}", f"2024-01-0{1 + at % 5}T00:00:00Z")) for at in range(30)]
    )
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        first = client.get("/api/v1/events", params={"size": 10}).json()
        second = client.get("/api/v1/events", params={"size": 10, "cursor": first["cursor"]}).json()
        _close_points_of(store)
        third = client.get("/api/v1/events", params={"size": 10, "cursor": second["cursor"]}).json()

    found = [row["id"] for page in (first, second, third) for row in page["events"]]
    assert 30 == len(set(found))


def _close_points_of(store):
    kept = store.client.get_all_pits().get("pits", [])
    assert kept
    # Others' tests share the server: only ours are closed, which hold this prefix in their id.
    ours = [
        one["pit_id"] for one in kept
        if store.prefix.encode() in base64.urlsafe_b64decode(one["pit_id"] + "==")
    ]  # fmt: skip
    assert ours
    store.client.delete_pit(body={"pit_id": ours})


def test_every_event_has_one_outcome_and_a_refused_sign_in_is_denied(sample):
    def total(**asked):
        return sample.get("/api/v1/events", params=asked).json()["total"]

    outcomes = [total(outcome=one) for one in ("allowed", "denied", "failed")]
    refused = events(sample, name="ConsoleLogin", outcome="denied")

    assert 224 == sum(outcomes) == total()
    assert [("denied", None)] == [(row["outcome"], row["errorCode"]) for row in refused]


def test_counts_are_those_of_the_events(sample):
    rows = pages(sample, size=1_000)
    counted = sample.get("/api/v1/facets").json()

    assert 224 == counted["total"] == sum(bar["count"] for bar in counted["histogram"]["bars"])
    by_account = {bucket["value"]: bucket["count"] for bucket in counted["counts"]["account"]}
    assert {one: sum(row["account"] == one for row in rows) for one in by_account} == by_account
    outcomes = {bucket["value"]: bucket["count"] for bucket in counted["outcomes"]}
    assert {one: sum(row["outcome"] == one for row in rows) for one in outcomes} == outcomes


@pytest.mark.parametrize(
    ("times", "step_ms"),
    [
        (("2024-01-02T00:00:00Z", "2024-01-02T00:00:07Z"), 1_000),
        (("2024-01-02T00:00:00Z", "2024-01-02T20:00:00Z"), 3_600_000),
        (("2014-01-02T00:00:00Z", "2024-01-02T00:00:00Z"), 90 * 86_400_000),
    ],
)
def test_bars_are_as_wide_as_the_time_needs_that_holds_events(store, times, step_ms):
    store.put([event_of(a_record(f"e-{at}", time)) for at, time in enumerate(times)])

    with served(store.settings()) as url:
        asked = [httpx2.get(f"{url}/api/v1/facets", params=params).json()["histogram"]
                 for params in ({}, {"since": "2013-12"}, {"until": "2030-01"})]  # fmt: skip

    begins = [bar["begin"] for bar in asked[0]["bars"]]
    assert [1, 1] == [bar["count"] for bar in asked[0]["bars"]]
    assert begins[0] <= times[0] < begins[1] <= times[1]
    assert step_ms == asked[0]["stepMs"]
    assert asked[0] == asked[1] == asked[2]


def test_each_chip_says_how_many_events_it_hides(sample):
    chips = {"readOnly": "no", "awsService": ["no", "unknown"]}

    def total(**asked):
        return sample.get("/api/v1/events", params=asked).json()["total"]

    hidden = sample.get("/api/v1/facets", params=chips).json()["hidden"]

    assert {
        "readOnly": total(awsService=["no", "unknown"]) - total(**chips),
        "awsService": total(readOnly="no") - total(**chips),
    } == hidden
    assert hidden["readOnly"] > 0 < hidden["awsService"]


def test_one_event_has_its_record_its_file_and_the_ledgers_row(store):
    record = a_record("e-1", "2024-01-02T00:00:00Z", requestParameters={"n": 2**70, "é": "\u2028"})
    store.put([event_of(record, key="a/b.json.gz", index=7)])
    store.put_rows("files", [{"bucket": "trail", "key": "a/b.json.gz", "state": "done",
                              "records": 9, "accountId": A, "updatedAt": 1}])  # fmt: skip
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        found = client.get("/api/v1/event", params={"id": f"{A}/e-1"}).json()
        missing = client.get("/api/v1/event", params={"id": f"{A}/e-2"})
        ids = client.get("/api/v1/event-ids/e-1").json()

    assert json.dumps(record, separators=(",", ":")) == found["raw"]
    assert ("done", 7, 9) == (
        found["file"]["state"],
        found["opstrail"]["delivery"]["recordIndex"],
        found["file"]["records"],
    )  # fmt: skip
    assert (404, [f"{A}/e-1"]) == (missing.status_code, ids)


def test_related_events_are_told_by_why_they_are(store):
    user = a_record("x", "x")["userIdentity"]
    records = [
        a_record("before", "2024-01-02T00:00:00Z", requestID="r-before"),
        a_record("this", "2024-01-02T00:01:00Z", requestID="r-1", sharedEventID="s-1",
                 resources=[{"ARN": "arn:aws:s3:::shop", "type": "AWS::S3::Bucket"}]),
        a_record("after", "2024-01-02T00:02:00Z", requestID="r-after"),
        a_record("same-request", "2024-01-02T00:01:01Z", requestID="r-1",
                 userIdentity={**user, "arn": "arn:aws:iam::1:user/b", "accessKeyId": "AKIAB"}),
        a_record("copy", "2024-01-02T00:01:00Z", sharedEventID="s-1", recipientAccountId=B,
                 userIdentity={"type": "AWSAccount", "accountId": A, "principalId": "AIDAADA"}),
        a_record("correction", "2024-01-02T00:09:00Z", userIdentity={"type": "Unknown"},
                 addendum={"reason": "UPDATED_DATA", "originalEventID": "this"}),
        a_record("resource", "2023-01-01T00:00:00Z", userIdentity={"type": "Unknown"},
                 resources=[{"ARN": "arn:aws:s3:::shop"}]),
    ]  # fmt: skip
    store.put([event_of(record) for record in records])
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        groups = client.get("/api/v1/event/related", params={"id": f"{A}/this"}).json()["groups"]
        back = client.get("/api/v1/event/related", params={"id": f"{A}/correction"}).json()[
            "groups"
        ]

    found = {
        name: [row["id"].partition("/")[2] for row in rows] for name, rows in groups.items() if rows
    }
    assert {
        "before": ["before"], "after": ["after"], "request": ["same-request"], "shared": ["copy"],
        "correctedBy": ["correction"], "resource": ["resource"],
    } == found  # fmt: skip
    assert [f"{A}/this"] == [row["id"] for row in back["corrects"]]


def _assumes(event_id, time, caller, key, *, account=A, shared=None):
    more = {} if shared is None else {"sharedEventID": shared}
    return a_record(
        event_id, time, userIdentity=caller, eventSource="sts.amazonaws.com",
        eventName="AssumeRole", recipientAccountId=account,
        responseElements={"credentials": {"accessKeyId": key}}, **more,
    )  # fmt: skip


def _role(name, key, account=A):
    return {
        "type": "AssumedRole", "principalId": f"AROA{name}:s", "accountId": account,
        "arn": f"arn:aws:sts::{account}:assumed-role/{name}/s", "accessKeyId": key,
        "sessionContext": {"sessionIssuer": {"type": "Role", "userName": name,
                           "arn": f"arn:aws:iam::{account}:role/{name}", "accountId": account,
                           "principalId": f"AROA{name}"}},
    }  # fmt: skip


def _chain(name):
    """A session three roles deep and across two accounts: ada, one, two, three in the other."""
    ada = a_record("x", "x")["userIdentity"]
    foreign = {"type": "AWSAccount", "accountId": A, "principalId": "AROAtwo:s"}
    keys = [f"ASIA{name}{at}" for at in range(4)]
    return [
        a_record(f"act-{name}", "2024-01-02T00:09:00Z", recipientAccountId=B,
                 userIdentity=_role("three", keys[3], B)),
        _assumes(f"third-there-{name}", "2024-01-02T00:03:00Z", foreign, keys[3], account=B,
                 shared=f"s-{name}"),
        _assumes(f"third-{name}", "2024-01-02T00:03:00Z", _role("two", keys[2]), keys[3],
                 shared=f"s-{name}"),
        _assumes(f"second-{name}", "2024-01-02T00:02:00Z", _role("one", keys[1]), keys[2]),
        _assumes(f"first-{name}", "2024-01-02T00:01:00Z", ada, keys[1]),
    ]  # fmt: skip


def test_three_roles_deep_and_across_two_accounts_in_any_order_of_arrival(store, figure):
    orders = [
        [event_of(record) for record in order]
        for name in map(str, range(120))
        for at, order in enumerate(permutations(_chain(name)))
        if name == str(at)
    ]
    for arriving in zip(*orders, strict=True):
        store.put(arriving)
    resolved = 0
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        for name in range(len(orders)):
            acted = {"id": f"{B}/act-{name}"}
            chain = client.get("/api/v1/event/lineage", params=acted).json()
            assert [f"{B}/act-{name}", *(f"{A}/{at}-{name}" for at in ("third", "second", "first"))
                    ] == [step["event"]["id"] for step in chain["steps"]]  # fmt: skip
            assert [f"{B}/third-there-{name}"] == [
                copy["id"] for copy in chain["steps"][1]["copies"]
            ]
            first = chain["steps"][-1]["event"]["who"]["name"]
            assert ("firstPrincipal", "ada") == (chain["end"], first)
            resolved += 1

    figure(
        "session chains three roles deep and across two accounts, orders of arrival resolved",
        str(resolved), "all 120",
    )  # fmt: skip
    assert 120 == resolved


def test_dead_letters_and_files_are_collections(store):
    store.put_rows("dead-letters", [
        {"letterKey": f"k-{at}", "stage": "split", "reason": "not-json", "failedAt": at,
         "accountId": A if at % 2 else C, **({"retryAt": 5} if at == 3 else {})}
        for at in range(25)
    ])  # fmt: skip
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        found, cursor = [], None
        while True:
            answer = client.get("/api/v1/dead-letters", params={
                "size": 10, **({"cursor": cursor} if cursor else {})}).json()  # fmt: skip
            found += [item["letterKey"] for item in answer["items"]]
            cursor = answer["cursor"]
            if cursor is None:
                break
        waiting = client.get("/api/v1/dead-letters", params={"waiting": True}).json()
        mine = client.get("/api/v1/dead-letters", params={"account": A}).json()
        files = client.get("/api/v1/files", params={"state": "done"}).json()

    assert [f"k-{at}" for at in range(24, -1, -1)] == found
    assert (["k-3"], 12, []) == (
        [item["letterKey"] for item in waiting["items"]], mine["total"], files["items"]
    )  # fmt: skip


def test_there_is_a_page_before_anything_is_stored(store):
    with served(store.settings()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        answer = client.get("/", follow_redirects=True)

        assert 200 == answer.status_code
        assert "0 events" in answer.text
        assert 0 == client.get("/api/v1/facets").json()["total"]
