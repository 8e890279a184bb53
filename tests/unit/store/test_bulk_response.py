"""Verdicts on the answers that OpenSearch gives."""

import json

import pytest

from opstrail_store.bulk_response import (
    AlreadyThere,
    Bisect,
    Reject,
    Retry,
    Stop,
    Stored,
    item_verdicts,
    request_verdict,
)

CLOSED = '{"type":"index_closed_exception","reason":"closed"}'
FULL = (
    '{"type":"cluster_block_exception","reason":"index [i] blocked by: [TOO_MANY_REQUESTS/12/disk '
    'usage exceeded flood-stage watermark, index has read-only-allow-delete block];"}'
)
MALFORMED = (
    '{"type":"mapper_parsing_exception","reason":"failed to parse","caused_by":{"reason":"dup"}}'
)


SHARDS = {
    "type": "validation_exception",
    "reason": "Validation Failed: 1: this action would add [2] total shards, but this cluster "
    "currently has [1000]/[1000] maximum shards open;",
}


def test_a_cluster_that_takes_no_more_shards_is_waited_for():
    item = {"index": {"status": 400, "error": SHARDS}}
    [verdict] = item_verdicts({"items": [item]}, 1)

    assert isinstance(verdict, Retry)
    assert isinstance(request_verdict(400, {"error": SHARDS}), Retry)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ('{"index":{"status":201}}', Stored()),
        ('{"index":{"status":200}}', Stored()),
        ('{"delete":{"status":200}}', Stored()),
        ('{"delete":{"status":404}}', Stored()),
        ('{"index":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}',
         AlreadyThere()),
        ('{"index":{"status":429,"error":{"type":"busy","reason":"r"}}}', Retry("429: busy: r")),
        ('{"index":{"status":503,"error":{"type":"shards","reason":"r"}}}',
         Retry("503: shards: r", doubtful=True)),
        ('{"index":{"status":500}}', Retry("500", doubtful=True)),
        ('{"index":{}}', Retry("0", doubtful=True)),
        (f'{{"index":{{"status":400,"error":{MALFORMED}}}}}',
         Reject("400: mapper_parsing_exception: failed to parse: dup")),
        ('{"index":{"status":413}}', Reject("413")),
        (f'{{"index":{{"status":400,"error":{CLOSED}}}}}',
         Retry("400: index_closed_exception: closed")),
        ('{"index":{"status":401}}', Stop("401")),
        ('{"index":{"status":403,"error":{"type":"security_exception"}}}',
         Stop("403: security_exception")),
        ('{"index":{"status":404,"error":{"type":"index_not_found_exception"}}}',
         Stop("404: index_not_found_exception")),
        ('{"delete":{"status":404,"error":{"type":"index_not_found_exception"}}}',
         Stop("404: index_not_found_exception")),
    ],
)  # fmt: skip
def test_every_status_of_an_item_has_its_verdict(item, expected):
    assert [expected] == item_verdicts(json.loads(f'{{"items":[{item}]}}'), 1)


@pytest.mark.parametrize("status", [403, 429])
def test_a_full_disk_is_waited_for_under_either_status(status):
    body = {"items": [{"index": {"status": status, "error": json.loads(FULL)}}]}

    (verdict,) = item_verdicts(body, 1)

    assert isinstance(verdict, Retry)
    assert isinstance(request_verdict(status, {"error": json.loads(FULL)}), Retry)


@pytest.mark.parametrize("body", [{}, {"items": None}, {"items": []}, {"items": [{}, {}]}])
def test_an_answer_to_something_else_says_nothing_about_the_document(body):
    (verdict,) = item_verdicts(body, 1)

    assert isinstance(verdict, Retry)
    assert verdict.doubtful


@pytest.mark.parametrize(
    ("status", "info", "expected"),
    [
        (400, {"error": {"type": "illegal_argument_exception", "reason": "Malformed"}}, Bisect),
        (413, "too large", Bisect),
        (401, "", Stop),
        (403, {"error": "no rights"}, Stop),
        (404, None, Stop),
        (408, "", Retry),
        (429, {}, Retry),
        (500, {}, Retry),
        (502, "<html>", Retry),
        (503, {}, Retry),
    ],
)
def test_every_status_of_a_request_has_its_verdict(status, info, expected):
    assert isinstance(request_verdict(status, info), expected)
