"""`opstrail catalog accounts sync` against a stand-in of AWS Organizations. Kafka is a fake."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.organizations.models import organizations_backends
from moto.server import ThreadedMotoServer

from opstrail_enrich import commands
from opstrail_enrich.commands import Catalog, catalog
from opstrail_enrich.settings import OrganizationsSettings
from opstrail_enrich.wiring import new_organizations
from opstrail_runtime.stage import Output
from opstrail_schemas.messages import Account
from tests.support.enriching import Bench
from tests.support.memory_kafka import StillPulse

MANY = 45  # more than fit on two pages
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Address of the stand-in."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(aws: str, aws_credentials: dict[str, str]) -> Any:
    """A client of the stand-in, in which there is no organization yet."""
    organizations_backends.reset()  # this service's only: others may be in use by other tests
    return boto3.client("organizations", endpoint_url=aws)


@pytest.fixture
def run(aws: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    bench = Bench()

    def connected() -> Catalog:
        facts = bench.stage().facts
        facts.restore(StillPulse())

        def write(outputs: Sequence[Output]) -> None:
            for output in outputs:
                bench.kafka.append(output.topic, output.key, output.value)

        return Catalog(facts, write)

    def listed() -> list[Account]:
        return new_organizations(OrganizationsSettings(endpoint_url=aws)).accounts()

    monkeypatch.setattr(commands, "connect", connected)
    monkeypatch.setattr(commands, "listed_accounts", listed)
    return lambda *words: CliRunner().invoke(catalog, ["accounts", *words])


def rows(result: Result) -> Any:
    assert 0 == result.exit_code, result.stderr
    return json.loads(result.stdout)


def an_account(client: Any, name: str, **tags: str) -> str:
    created = client.create_account(
        Email=f"{name}@example.com",
        AccountName=name,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    account_id: str = created["CreateAccountStatus"]["AccountId"]
    return account_id


def a_unit(client: Any, parent: str, name: str) -> str:
    unit = client.create_organizational_unit(ParentId=parent, Name=name)
    unit_id: str = unit["OrganizationalUnit"]["Id"]
    return unit_id


def an_organization(client: Any) -> str:
    client.create_organization(FeatureSet="ALL")
    root_id: str = client.list_roots()["Roots"][0]["Id"]
    return root_id


def test_all_accounts_come_with_path_state_and_tags(client: Any, run: Run) -> None:
    root = an_organization(client)
    unit = a_unit(client, a_unit(client, root, "Prod"), "Web")
    shop = an_account(client, "shop", team="x")
    client.move_account(AccountId=shop, SourceParentId=root, DestinationParentId=unit)
    client.close_account(AccountId=shop)

    rows(run("sync", "--execute"))

    assert [
        {
            "accountId": shop,
            "name": "shop",
            "ouPath": "Root/Prod/Web",
            "state": "SUSPENDED",
            "tags": {"team": "x"},
            "since": None,
        }
    ] == [row for row in rows(run("list")) if row["accountId"] == shop]


def test_many_accounts_are_all_there_and_a_second_sync_writes_nothing(
    client: Any, run: Run
) -> None:
    an_organization(client)
    for number in range(MANY):
        an_account(client, f"a-{number}")

    plan, first, second = (
        rows(run("sync", *more))[0] for more in ([], ["--execute"], ["--execute"])
    )

    assert (MANY + 1, 0) == (plan["new"], plan["written"])
    assert MANY + 1 == first["written"]
    assert (0, 0, MANY + 1) == (second["new"], second["written"], second["unchanged"])


def test_what_changed_is_known_from_now_on(client: Any, run: Run) -> None:
    root = an_organization(client)
    unit = a_unit(client, root, "Prod")
    shop = an_account(client, "shop", team="x", owner="me")
    rows(run("sync", "--execute"))
    client.move_account(AccountId=shop, SourceParentId=root, DestinationParentId=unit)
    client.untag_resource(ResourceId=shop, TagKeys=["owner"])

    result = run("sync", "--execute")

    assert [
        f"account {shop}: ouPath is 'Root/Prod', 'Root' is known",
        f"account {shop}: tag:owner is None, 'me' is known",
    ] == result.stderr.splitlines()
    assert 1 == rows(result)[0]["changed"]
    (row,) = (row for row in rows(run("list")) if row["accountId"] == shop)
    assert ("Root/Prod", {"team": "x"}) == (row["ouPath"], row["tags"])
    assert row["since"] is not None
