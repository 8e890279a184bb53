"""`opstrail catalog`: a plan first, then the act; JSON when piped."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opstrail_enrich import commands
from opstrail_enrich.commands import Catalog, catalog
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_runtime import command_line
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Output
from opstrail_schemas.topics import TopicName
from tests.support.enriching import ACCOUNT, STACK, Bench
from tests.support.memory_kafka import StillPulse

STACKS = {
    "Stacks": [
        {
            "StackId": STACK,
            "Name": "shop-prod",
            "Region": "eu-west-1",
            "Arn": f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/",
        }
    ]
}
OTHER_ACCOUNT = "444455556666"
Run = Callable[..., Result]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands on a broker in memory: the environment names no other."""

    def connected() -> Catalog:
        facts = bench.stage().facts
        facts.restore(StillPulse())

        def write(outputs: Sequence[Output]) -> None:
            for output in outputs:
                bench.kafka.append(output.topic, output.key, output.value)

        return Catalog(facts, write)

    monkeypatch.setattr(commands, "connect", connected)
    return lambda *words: CliRunner().invoke(catalog, [str(word) for word in words])


def a_file(folder: Path, name: str, value: object) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_an_import_shows_its_plan_and_writes_nothing(
    run: Run, bench: Bench, tmp_path: Path
) -> None:
    result = run("stacks", "import", a_file(tmp_path, "s.json", STACKS))

    assert 0 == result.exit_code
    assert [{"new": 1, "alreadyThere": 0, "contradictions": 0, "written": 0}] == json.loads(
        result.stdout
    )
    assert "--execute" in result.stderr
    assert [] == bench.kafka.messages(TopicName.STACK_FACTS)


def test_an_import_writes_what_is_new_once(run: Run, bench: Bench, tmp_path: Path) -> None:
    file = a_file(tmp_path, "s.json", STACKS)

    results = [run("stacks", "import", file, "--execute") for _ in range(2)]

    assert [(1, 0), (0, 1)] == [
        (row["written"], row["alreadyThere"])
        for result in results
        for row in json.loads(result.stdout)
    ]
    assert 1 == len(bench.kafka.messages(TopicName.STACK_FACTS))


def test_stacks_are_listed_and_shown_by_name_and_id(run: Run, tmp_path: Path) -> None:
    run("stacks", "import", a_file(tmp_path, "s.json", STACKS), "--execute")

    listed = json.loads(run("stacks", "list").stdout)
    shown = [json.loads(run("stacks", "show", word).stdout) for word in ("shop-prod", STACK)]

    assert [
        {
            "accountId": ACCOUNT,
            "stackId": STACK,
            "name": "shop-prod",
            "region": "eu-west-1",
            "status": "active",
        }
    ] == listed
    assert shown[0] == shown[1]
    assert "arn" in shown[0][0]
    assert 1 == run("stacks", "show", "nobody").exit_code


def test_layers_take_the_account_of_a_stack_that_is_known(
    run: Run, bench: Bench, tmp_path: Path
) -> None:
    run("stacks", "import", a_file(tmp_path, "s.json", STACKS), "--execute")
    layers = a_file(tmp_path, "l.json", {"Layers": [{"LayerId": "l", "StackId": STACK}]})

    result = run("stacks", "import", layers, "--execute")

    assert 0 == result.exit_code
    assert 2 == len(bench.kafka.messages(TopicName.STACK_FACTS))


def test_layers_of_an_id_that_two_accounts_have_need_an_account(
    run: Run, bench: Bench, tmp_path: Path
) -> None:
    one = {"StackId": STACK, "Name": "shop", "Region": "eu-west-1"}
    stacks = a_file(tmp_path, "s.json", {"Stacks": [one]})
    for account in (ACCOUNT, OTHER_ACCOUNT):
        fact = stack_facts([Saved("s.json", stacks.read_text())], account_id=account)[0]
        bench.know(fact)
    layers = a_file(tmp_path, "l.json", {"Layers": [{"LayerId": "l", "StackId": STACK}]})

    refused = run("stacks", "import", layers)
    done = run("stacks", "import", layers, "--account", OTHER_ACCOUNT)

    assert (1, 0) == (refused.exit_code, done.exit_code)
    assert "l.json: item 1 of Layers: its account is not known" in refused.stderr


def test_a_name_that_contradicts_needs_its_time(run: Run, bench: Bench, tmp_path: Path) -> None:
    run("accounts", "import", a_file(tmp_path, "a.csv", f"id,name\n{ACCOUNT},old\n"), "--execute")
    renamed = a_file(tmp_path, "b.csv", f"id,name\n{ACCOUNT},new\n")

    refused = run("accounts", "import", renamed, "--execute")
    done = run("accounts", "import", renamed, "--valid-from", "2021-01-01", "--execute")

    assert (1, 0) == (refused.exit_code, done.exit_code)
    assert "'new' here, 'old' is known" in refused.stderr
    assert 2 == len(bench.kafka.messages(TopicName.ACCOUNTS))
    assert ["new"] == [row["name"] for row in json.loads(run("accounts", "list").stdout)]


def test_a_wrong_file_is_named(run: Run, tmp_path: Path) -> None:
    result = run("accounts", "import", a_file(tmp_path, "a.json", "[7]"))

    assert 1 == result.exit_code
    assert "a.json: item 1: not an object" in result.stderr


def test_what_is_away_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Catalog:
        raise Unavailable("kafka", "nobody answers")

    monkeypatch.setattr(commands, "connect", away)

    result = CliRunner().invoke(catalog, ["stacks", "list"])

    assert 1 == result.exit_code
    assert "kafka: nobody answers" in result.stderr


def test_missing_settings_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("OPSTRAIL_REGISTRY__URL", raising=False)

    result = CliRunner().invoke(catalog, ["accounts", "list"])

    assert 2 == result.exit_code
    assert "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS: is not set" in result.stderr
    assert "OPSTRAIL_REGISTRY__URL: is not set" in result.stderr


def test_on_a_terminal_rows_are_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    command_line.show([{"name": "shop", "status": None}])

    assert "shop" in capsys.readouterr().out
