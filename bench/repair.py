"""Repair of 100,000 documents of one stack, whose name is told by an import after they are stored.

    make bench, or: python -m pytest -s bench/repair.py --override-ini=python_files='*.py'

The repair is that of `opstrail run`: its services' start is part of the time.
"""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from tests.support.figures import Figure
from tests.support.installed import installed
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

DOCUMENTS, A_FILE = 100_000, 2_000
STACK, ACCOUNT = "2f18b4cb-4de5-4429-a149-ff7da9f0d8ee", "111122223333"
NAMED = {
    "StackId": STACK,
    "Name": "shop",
    "Arn": f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/",
}


def test_repair_of_one_stack(servers: Servers, tmp_path: Path, figure: Figure) -> None:
    trails, facts, nothing = tmp_path / "trails", tmp_path / "stacks.json", tmp_path / "nothing"
    trails.mkdir()
    nothing.mkdir()
    for start in range(0, DOCUMENTS, A_FILE):
        records = [_call(number) for number in range(start, start + A_FILE)]
        body = gzip.compress(json.dumps({"Records": records}).encode(), 1)
        (trails / f"{start:06}.json.gz").write_bytes(body)
    facts.write_text(json.dumps({"Stacks": [NAMED]}))
    with installed(servers, tmp_path) as own:
        loaded = own.run(trails).result
        assert loaded["stored"] == DOCUMENTS
        imported = own.start("catalog", "stacks", "import", str(facts), "--execute")
        assert imported.process.wait(60) == 0, imported.err.read_text()
        began = time.monotonic()
        ended = own.run(nothing)
        seconds = time.monotonic() - began

        figure(
            f"repair of {DOCUMENTS:,} documents of one stack (machine: {os.cpu_count()} cores, "
            f"load {os.getloadavg()[0]:.1f})",
            f"{seconds:.0f} s; its first load {loaded['seconds']:.0f} s",
            "at most 300 s",
        )
        figure("repair, peak of enrich", f"{ended.peaks['enrich'] / 2**20:.0f} MiB", "none set")
        figure("repair, peak of run", f"{ended.peaks['run'] / 2**20:.0f} MiB", "none set")
        assert ended.result["repaired"] == DOCUMENTS


def _call(number: int) -> dict[str, object]:
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "Root", "accountId": ACCOUNT},
        "eventTime": f"2021-03-04T{number // 3600 % 24:02}:{number // 60 % 60:02}:00Z",
        "eventSource": "opsworks.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.1",
        "requestParameters": {"stackId": STACK},
        "responseElements": None,
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
    }
