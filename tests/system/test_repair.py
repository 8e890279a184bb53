"""Repair on real servers: what was enriched before more was known is written once more, not twice.

An archive replayed backwards is the worst case: every name comes after the calls that need it.
"""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from opstrail_schemas.topics import TopicName
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.servers import Servers
from tests.support.stack_story import story

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

STACK = "2f18b4cb-4de5-4429-a149-ff7da9f0d8ee"
ACCOUNT = "111122223333"
# A transaction a file or so: what comes later is not yet known.
SMALL_STEPS = {"OPSTRAIL_LOOP__MOST_RECORDS": "5", "OPSTRAIL_SPLIT__BATCH_S": "0.05"}


def test_a_newest_first_load_writes_no_document_more_than_twice(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    records = sorted(story(11, calls=150), key=lambda record: record["eventTime"], reverse=True)
    folder = _written(records, tmp_path / "trails", each=5)
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        first = own.run(folder, **SMALL_STEPS)
        writes = _writes(own)
        again = own.start("store", "reread", **SMALL_STEPS)
        assert 0 == again.process.wait(60), again.err.read_text()

        figure("newest first, most writes of a document", max(writes.values()), "at most 2")
        figure("newest first, documents", len(writes), "none set")
        figure("newest first, documents repaired", first.result["repaired"], "none set")
        assert first.result["stored"] == len(writes)
        assert first.result["repaired"] > 0
        assert max(writes.values()) <= 2
        [row] = json.loads(again.out.read_text())
        assert (0, 0) == (row["sent"], row["unreadable"])


def test_a_late_import_moves_the_documents_of_its_stack_and_no_others(
    servers: Servers, tmp_path: Path
) -> None:
    other = "aaaaaaaa-4de5-4429-a149-ff7da9f0d8ee"
    calls = [_call(number, STACK if number % 2 else other) for number in range(40)]
    folder = _written(calls, tmp_path / "trails", each=10)
    facts = tmp_path / "stacks.json"
    facts.write_text(json.dumps({"Stacks": [{"StackId": STACK, "Name": "shop", "Arn": _arn()}]}))
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        assert 40 == own.run(folder).result["stored"]
        imported = own.start("catalog", "stacks", "import", str(facts), "--execute")
        assert 0 == imported.process.wait(60), imported.err.read_text()

        result = own.run(folder).result

        assert (0, 20) == (result["stored"], result["repaired"])
        named = [hit["_source"]["opstrail"]["stack"] for hit in own.hits()]
        assert Counter({(STACK, "shop"): 20, (other, None): 20}) == Counter(
            (stack["id"], stack.get("name")) for stack in named
        )
        assert 20 == len(list(own.messages(TopicName.EVENTS_REPAIRED)))


def test_every_document_goes_once_more_when_asked_and_equal_rules_change_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    folder = _written([_call(number, STACK) for number in range(30)], tmp_path / "trails", each=10)
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        own.run(folder)
        before = {hit["_id"]: (hit["_version"], hit["_source"]) for hit in own.hits()}
        reread = own.start("store", "reread", "--all")
        assert 0 == reread.process.wait(60), reread.err.read_text()

        result = own.run(folder).result

        assert 30 == len(list(own.messages(TopicName.EVENTS_REPAIRED)))
        assert 0 == result["repaired"]
        assert before == {hit["_id"]: (hit["_version"], hit["_source"]) for hit in own.hits()}


def _call(number: int, stack: str) -> dict[str, Any]:
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "Root", "accountId": ACCOUNT},
        "eventTime": f"2021-03-04T10:00:{number:02}Z",
        "eventSource": "opsworks.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.1",
        "requestParameters": {"stackId": stack},
        "responseElements": None,
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
    }


def _arn() -> str:
    return f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/"


def _written(records: list[dict[str, Any]], folder: Path, *, each: int) -> Path:
    folder.mkdir()
    for start in range(0, len(records), each):
        body = json.dumps({"Records": records[start : start + each]}).encode()
        (folder / f"{start:06}.json.gz").write_bytes(gzip.compress(body))
    return folder


def _writes(own: Installed) -> Counter[bytes | None]:
    """Return how often each identity was sent to the store."""
    topics = (TopicName.EVENTS_ENRICHED, TopicName.EVENTS_REPAIRED)
    return Counter(message.key for topic in topics for message in own.messages(topic))
