"""Real servers, files in any order, facts early, late and in between, processes killed: one result.

Each order is an installation of its own. Their documents must be equal without
`opstrail.delivery`, and must say what one enrichment says that knows all facts from the start.
"""

import gzip
import json
import os
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from opstrail_enrich.account_inventory import account_facts
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.learning import facts_of
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_schemas.messages import Message, as_record
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.servers import Servers
from tests.support.stack_story import ACCOUNTS, files_of, story
from tests.support.story_events import event_of, expected

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

ORDERS, SEED = 10, 4
SMALL_STEPS = {"OPSTRAIL_LOOP__MOST_RECORDS": "10", "OPSTRAIL_SPLIT__BATCH_S": "0.05"}
NAMES = {account: f"name-{account[0]}" for account in ACCOUNTS}


def test_any_order_on_real_servers_ends_in_the_same_documents(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    records = story(SEED, calls=60)
    inventory = _inventory(records)
    ends: list[Mapping[str, Any]] = []
    repaired = killed = 0
    for order in range(ORDERS):
        rng = random.Random(order)
        state = tmp_path / str(order)
        state.mkdir()
        with installed(servers, state, **FEW_PARTITIONS) as own:
            folder = _written(records, state / "trails", rng)
            facts = _facts(inventory, state)
            restarts, repairs = _run(own, folder, facts, rng)
            killed, repaired = killed + restarts, repaired + repairs
            hits = list(own.hits())
            ends.append({hit["_id"]: _without_delivery(hit["_source"]) for hit in hits})
            assert [] == own.dead_letters()

    figure("orders on real servers that end otherwise", _other(ends), f"0 of {ORDERS}")
    figure("orders on real servers, processes killed", killed, "at least one in most orders")
    figure("orders on real servers, documents repaired", repaired, "none set")
    assert all(end == ends[0] for end in ends)
    assert killed >= ORDERS // 2
    differing = _differing(ends[0], records, inventory)
    figure("orders on real servers, documents otherwise than in one go", len(differing), "0")
    assert [] == differing


def _run(own: Installed, folder: Path, facts: list[Path], rng: random.Random) -> tuple[int, int]:
    """Run with a kill in the middle, and imports early, late or in between; return both counts."""
    when = rng.choice(["early", "between", "late"])
    for command in (("topics", "create"), ("schemas", "register")):
        assert 0 == own.start(*command).process.wait(60)
    if when == "early":
        _import(own, facts)
    victim = rng.choice(["split", "enrich", "store"])
    with own.running(folder, **SMALL_STEPS) as run:
        seen = {"split": "files.ledger", "enrich": "events.enriched", "store": "events.enriched"}
        run.until(lambda: own.written(seen[victim]) >= rng.randint(1, 15), f"{victim} worked")
        pid = run.pid(victim)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        if when == "between":
            _import(own, facts)
        first = run.ended().result
    if when == "late":
        _import(own, facts)
    second = own.run(folder, **SMALL_STEPS).result
    third = own.run(folder, **SMALL_STEPS).result
    assert (0, 0) == (second["stored"], third["stored"])
    assert 0 == third["repaired"], "a second repair finds nothing"
    return first["restarts"], first["repaired"] + second["repaired"]


def _written(records: list[dict[str, Any]], folder: Path, rng: random.Random) -> Path:
    folder.mkdir()
    for number, file in enumerate(files_of(records, rng)):
        body = json.dumps({"Records": file}).encode()
        (folder / f"{number:03}.json.gz").write_bytes(gzip.compress(body))
    return folder


def _inventory(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a saved describe-stacks answer about some of the stacks."""
    ids = sorted(
        {
            (r["requestParameters"]["stackId"], r["recipientAccountId"])
            for r in records
            if r["requestParameters"].get("stackId")
        }
    )
    return {
        "Stacks": [
            {
                "StackId": stack_id,
                "Name": f"stack-{number}",
                "Arn": f"arn:aws:opsworks:eu-west-1:{account}:stack/{stack_id}/",
                "DefaultOs": "Ubuntu",
            }
            for number, (stack_id, account) in enumerate(ids[:2])
        ]
    }


def _facts(inventory: dict[str, Any], folder: Path) -> list[Path]:
    stacks, accounts = folder / "stacks.json", folder / "accounts.json"
    stacks.write_text(json.dumps(inventory))
    accounts.write_text(json.dumps(NAMES))
    return [stacks, accounts]


def _import(own: Installed, facts: list[Path]) -> None:
    for kind, file in zip(("stacks", "accounts"), facts, strict=True):
        done = own.start("catalog", kind, "import", str(file), "--execute")
        assert 0 == done.process.wait(60), done.err.read_text()


def _without_delivery(source: dict[str, Any]) -> dict[str, Any]:
    ours = {name: value for name, value in source["opstrail"].items() if name != "delivery"}
    return source | {"opstrail": ours}


def _other(ends: list[Mapping[str, Any]]) -> int:
    return sum(end != ends[0] for end in ends)


def _differing(
    stored: Mapping[str, Any], records: list[dict[str, Any]], inventory: dict[str, Any]
) -> list[str]:
    """Return the documents that do not say what one enrichment says that knows all facts."""
    events = [event_of(record) for record in records]
    facts = [
        *(fact for event in events for fact in facts_of(event)),
        *stack_facts([Saved("stacks.json", json.dumps(inventory))]),
        *account_facts([Saved("accounts.json", json.dumps(NAMES))]),
    ]
    wanted = expected(events, facts)
    assert wanted.keys() == stored.keys()
    return [
        identity
        for identity, (version, enrichment) in wanted.items()
        if stored[identity]["opstrail"]["version"] != version
        or stored[identity]["opstrail"].get("stack") != _shown(enrichment.stack)
        or stored[identity]["opstrail"].get("account") != _shown(enrichment.account)
    ]


def _shown(message: Message | None) -> dict[str, Any] | None:
    if message is None:
        return None
    return {
        name: value
        for name, value in as_record(message).items()
        if value is not None and value not in ([], {})
    }
