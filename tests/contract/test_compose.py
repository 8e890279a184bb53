"""The compose file says what the code says: images, ports, settings, commands, and their order."""

import json
import os
import re
import runpy
import subprocess
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import click
import pytest
import yaml

from opstrail_cli.main import opstrail
from opstrail_cli.sample.archive import archive
from opstrail_local import versions
from opstrail_runtime.wrong_settings import fields_of, variable
from opstrail_schemas.topics import LARGEST_MESSAGE_BYTES
from tests.support.docker_servers import MOTO
from tests.support.servers import Servers

TOP = Path(__file__).parents[2]
FOLDER = TOP / "deploy" / "compose"
COMPOSE: Mapping[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: Mapping[str, Any] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "opstrail:local"}
SETTINGS = {
    "discover": "opstrail_ingest.settings:Settings",
    "split": "opstrail_ingest.settings:Settings",
    "enrich": "opstrail_enrich.settings:Settings",
    "store": "opstrail_store.settings:Settings",
    "history": "opstrail_history.settings:Settings",
    "topics": "opstrail_cli.schemas_commands:OnlyKafka",
    "schemas": "opstrail_cli.schemas_commands:OnlyRegistry",
    "store-setup": "opstrail_store.settings:SetupSettings",
}
HERE = {name: place for name, place in SETTINGS.items() if find_spec(place.split(".")[0])}


def test_images_are_the_versions_that_tests_run_against() -> None:
    assert {
        "kafka": f"apache/kafka:{versions.KAFKA}",
        "registry": f"apicurio/apicurio-registry:{versions.REGISTRY}",
        "opensearch": f"opensearchproject/opensearch:{versions.OPENSEARCH}",
        "aws": f"motoserver/moto:{MOTO}",
    } == {name: each["image"] for name, each in SERVICES.items() if name not in OURS}


@pytest.mark.parametrize("name", HERE)
def test_each_service_takes_its_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable_name in [each for each in os.environ if each.startswith("OPSTRAIL_")]:
        monkeypatch.delenv(variable_name)
    for variable_name, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable_name, value)
    module, model = HERE[name].split(":")

    getattr(import_module(module), model)()  # raises WrongSettings


def test_every_name_is_a_setting() -> None:
    known = set()
    for place in set(HERE.values()):
        module, name = place.split(":")
        model = getattr(import_module(module), name)
        for section in model.model_fields:
            known |= {variable((section, field)) for field in fields_of(model, (section,))}
    told = {
        name
        for each in OURS.values()
        for name in each.get("environment", {})
        if name.startswith("OPSTRAIL_")
    }
    if "history" not in HERE:
        told = {name for name in told if not name.startswith("OPSTRAIL_HISTORY__")}

    assert told <= known


@pytest.mark.parametrize("name", sorted(set(OURS) - {"image", "sample"}))
def test_every_command_exists(name: str) -> None:
    command: click.Command | None = opstrail
    for word in [each for each in OURS[name]["command"] if not each.startswith("-")]:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
        assert command is not None, f"opstrail {OURS[name]['command']}"


def test_addresses_name_services_and_the_ports_that_they_listen_on() -> None:
    listens = {"kafka": 9092, "registry": 8080, "opensearch": 9200, "aws": 5000}
    for name, each in OURS.items():
        for variable_name, value in each.get("environment", {}).items():
            if variable_name.endswith(("__URL", "__ENDPOINT_URL", "__QUEUE_URL")):
                address = urlsplit(value)
                if each.get("network_mode") == "host":
                    published = SERVICES["opensearch"]["ports"]
                    assert f"127.0.0.1:{address.port}:{address.port}" in published
                else:
                    assert listens[str(address.hostname)] == address.port, f"{name}: {value}"
                    section = variable_name.split("__")[0]
                    if section != "OPSTRAIL_DISCOVER":
                        hosts = json.loads(each["environment"][f"{section}__PLAINTEXT_HOSTS"])
                        assert [address.hostname] == hosts
    kafka = SERVICES["kafka"]["environment"]
    assert "PLAINTEXT://kafka:9092" == kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert str(LARGEST_MESSAGE_BYTES) == kafka["KAFKA_MESSAGE_MAX_BYTES"]


def test_nothing_is_published_beyond_this_machine() -> None:
    for each in SERVICES.values():
        for port in each.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_everything_waits_for_what_it_needs() -> None:
    for name, each in OURS.items():
        for before, how in each.get("depends_on", {}).items():
            runs_once = before in OURS and "restart" not in SERVICES[before]
            expected = "service_completed_successfully" if runs_once else "service_healthy"
            assert {"condition": expected} == how, f"{name} after {before}"
            assert runs_once or "healthcheck" in SERVICES[before]
    for name in ("split", "enrich", "store", "discover", "history"):
        assert {"topics", "schemas", "store-setup"} <= SERVICES[name]["depends_on"].keys()
        assert "unless-stopped" == SERVICES[name]["restart"]


def test_containers_of_ours_have_no_more_rights_than_they_need() -> None:
    for each in OURS.values():
        assert each["read_only"] is True
        assert ["ALL"] == each["cap_drop"]
        assert "privileged" not in each


@pytest.mark.servers
@pytest.mark.usefixtures("aws_credentials")
def test_the_sample_goes_into_a_bucket_that_notifies_a_queue(
    servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3", "SQS"):
        monkeypatch.setenv(f"OPSTRAIL_{name}__ENDPOINT_URL", servers.addresses.aws)
    script = runpy.run_path(str(FOLDER / "sample.py"))
    script["main"].__globals__.update(BUCKET=namespace, QUEUE=namespace)

    script["main"]()

    sqs = boto3.client("sqs", endpoint_url=servers.addresses.aws)
    url = sqs.get_queue_url(QueueName=namespace)["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    # One message is AWS's own test of the notification.
    assert int(told["ApproximateNumberOfMessages"]) in {
        len(archive().files),
        len(archive().files) + 1,
    }
    queue = SERVICES["discover"]["environment"]["OPSTRAIL_DISCOVER__QUEUE_URL"]
    assert urlsplit(url).path.rsplit("/", 1)[0] == urlsplit(queue).path.rsplit("/", 1)[0]


@pytest.mark.servers
def test_the_registrys_health_check_tells_whether_it_answers(servers: Servers) -> None:
    *_, script = SERVICES["registry"]["healthcheck"]["test"]
    port = urlsplit(servers.addresses.registry).port

    def ask(where: int) -> int:
        command = re.sub(r"/dev/tcp/127.0.0.1/8080", f"/dev/tcp/127.0.0.1/{where}", script)
        return subprocess.run(["bash", "-c", command], check=False, timeout=30).returncode

    assert 0 == ask(port or 0)
    assert 0 != ask(1)
