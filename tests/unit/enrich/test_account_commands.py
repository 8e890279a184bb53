"""`opstrail catalog accounts`: a plan first, then the act; JSON when piped."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from opstrail_enrich import commands
from opstrail_enrich.commands import Catalog, catalog
from opstrail_runtime import command_line
from opstrail_runtime.errors import Refused
from opstrail_runtime.stage import Output
from opstrail_schemas.messages import Account
from opstrail_schemas.topics import TopicName
from tests.support.enriching import ACCOUNT, T0, Bench
from tests.support.memory_kafka import StillPulse

Run = Callable[..., Result]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def organization() -> list[Account]:
    """What AWS Organizations answers."""
    return []


@pytest.fixture
def run(bench: Bench, organization: list[Account], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands on a broker in memory and an organization that is made up."""

    def connected() -> Catalog:
        facts = bench.stage().facts
        facts.restore(StillPulse())

        def write(outputs: Sequence[Output]) -> None:
            for output in outputs:
                bench.kafka.append(output.topic, output.key, output.value)

        return Catalog(facts, write)

    monkeypatch.setattr(commands, "connect", connected)
    monkeypatch.setattr(commands, "listed_accounts", lambda: organization)
    monkeypatch.setattr(commands, "now_ms", lambda: T0)
    return lambda *words: CliRunner().invoke(catalog, ["accounts", *map(str, words)])


def in_aws(name: str, **more: Any) -> Account:
    return Account(account_id=ACCOUNT, name=name, source="organizations", **more)


def test_a_sync_shows_its_plan_and_writes_nothing(
    run: Run, bench: Bench, organization: list[Account]
) -> None:
    organization.append(in_aws("shop"))

    result = run("sync")

    assert [{"listed": 1, "new": 1, "changed": 0, "unchanged": 0, "written": 0}] == json.loads(
        result.stdout
    )
    assert "--execute" in result.stderr
    assert [] == bench.kafka.messages(TopicName.ACCOUNTS)


def test_a_sync_writes_what_is_new_once(
    run: Run, bench: Bench, organization: list[Account]
) -> None:
    organization.append(in_aws("shop"))

    counts = [json.loads(run("sync", "--execute").stdout)[0] for _ in range(2)]

    assert [(1, 0), (0, 1)] == [(row["written"], row["unchanged"]) for row in counts]
    assert 1 == len(bench.kafka.messages(TopicName.ACCOUNTS))


def test_a_change_is_named_and_the_list_says_since_when(
    run: Run, organization: list[Account], tmp_path: Path
) -> None:
    organization.append(in_aws("new", ou_path="Root", state="ACTIVE"))
    (tmp_path / "a.csv").write_text(f"id,name\n{ACCOUNT},old\n")
    run("import", tmp_path / "a.csv", "--execute")

    synced = run("sync", "--execute")

    assert f"account {ACCOUNT}: name is 'new', 'old' is known" in synced.stderr
    assert [
        {
            "accountId": ACCOUNT,
            "name": "new",
            "ouPath": "Root",
            "state": "ACTIVE",
            "tags": {},
            "since": "2021-03-04T10:00:00.000+00:00",
        }
    ] == json.loads(run("list").stdout)


def test_the_list_of_what_never_changed_says_no_time(run: Run, tmp_path: Path) -> None:
    accounts = [{"id": ACCOUNT, "name": "shop", "tags": {"team": "x"}}]
    (tmp_path / "a.json").write_text(json.dumps(accounts))
    run("import", tmp_path / "a.json", "--execute")

    (row,) = json.loads(run("list").stdout)

    assert ({"team": "x"}, None) == (row["tags"], row["since"])


def test_a_refusal_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[Account]:
        raise Refused("AWS Organizations denies ListAccounts")

    monkeypatch.setattr(commands, "listed_accounts", refuse)

    result = run("sync", "--execute")

    assert (1, "Error: AWS Organizations denies ListAccounts\n") == (
        result.exit_code,
        result.stderr,
    )


def test_on_a_terminal_tags_are_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    command_line.show([{"name": "shop", "tags": {"team": "x", "owner": "me"}}])

    assert "team=x, owner=me" in capsys.readouterr().out
