"""`opstrail doctor` on a healthy installation, and on broken ones."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from opensearchpy import OpenSearch

from tests.support.installed import Installed, installed
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]
NOBODY = {
    "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "OPSTRAIL_REGISTRY__URL": "http://127.0.0.1:1/x",
    "OPSTRAIL_OPENSEARCH__URL": "http://127.0.0.1:1",
}


def opstrail(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: v for name, v in os.environ.items() if not name.startswith("OPSTRAIL_")}
    return subprocess.run(
        [sys.executable, "-m", "opstrail_cli.main", *words],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def doctor(*options: str, **environment: str) -> tuple[int, list[Mapping[str, Any]]]:
    done = opstrail("doctor", "--json", *options, **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def bad(found: list[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    areas: dict[str, list[Mapping[str, Any]]] = {}
    for each in found:
        if each["level"] == "bad":
            assert each["mend"], each
            areas.setdefault(each["area"], []).append(each)
    return areas


@pytest.fixture
def own(servers: Servers, tmp_path: Any) -> Iterator[Installed]:
    with installed(servers, tmp_path) as found:
        yield found


@pytest.fixture
def environment(servers: Servers, own: Installed) -> dict[str, str]:
    found = {
        **servers.environment(),
        "OPSTRAIL_KAFKA__TOPIC_PREFIX": own.name,
        "OPSTRAIL_KAFKA__FILES_PARTITIONS": "2",
        "OPSTRAIL_KAFKA__EVENTS_PARTITIONS": "2",
        "OPSTRAIL_STORE__INDEX_PREFIX": own.name,
    }
    for words in (("topics", "create"), ("schemas", "register"), ("store", "setup", "--execute")):
        done = opstrail(*words, **found)
        assert done.returncode == 0, done.stderr
    return found


def test_a_healthy_installation_is_found_healthy(
    environment: dict[str, str], own: Installed, aws_credentials: dict[str, str], servers: Servers
) -> None:
    s3 = boto3.client("s3", endpoint_url=servers.addresses.aws)
    sqs = boto3.client("sqs", endpoint_url=servers.addresses.aws)
    s3.create_bucket(Bucket=own.name)
    s3.put_object(Bucket=own.name, Key="AWSLogs/a", Body=b"x")
    queue = sqs.create_queue(QueueName=own.name)["QueueUrl"]

    code, found = doctor(
        **environment,
        OPSTRAIL_DISCOVER__QUEUE_URL=queue,
        OPSTRAIL_DISCOVER__ALLOWED_BUCKETS=json.dumps([own.name]),
    )

    assert {} == bad(found)
    assert 0 == code
    assert "version 3.6 or later" in json.dumps([each for each in found if each["area"] == "kafka"])
    assert {
        *("kafka", "topics", "acls", "lag", "registry", "schemas", "opensearch", "clock"),
        *("templates", "sqs", "s3"),
    } == {each["area"] for each in found}


def test_an_installation_that_is_broken_everywhere_is_told_what_mends_it(
    environment: dict[str, str], own: Installed, servers: Servers, aws_credentials: dict[str, str]
) -> None:
    admin = AdminClient({"bootstrap.servers": servers.addresses.kafka})
    raw, noticed = own.topic("events.raw"), own.topic("files.noticed")
    for future in admin.delete_topics([own.topic("events.repaired")]).values():
        future.result(30)
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, raw, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([changed]).values():
        done.result(30)
    for future in admin.delete_topics([noticed]).values():
        future.result(30)
    while noticed in admin.list_topics(timeout=30).topics:
        pass
    for created in admin.create_topics([NewTopic(noticed, 3, 1)]).values():
        created.result(30)
    store = OpenSearch(servers.addresses.opensearch)
    store.indices.delete_index_template(name=f"{own.name}-files")
    store.close()

    code, found = doctor(
        **environment,
        OPSTRAIL_DISCOVER__QUEUE_URL=f"{servers.addresses.aws}/123456789012/nowhere",
        OPSTRAIL_DISCOVER__ALLOWED_BUCKETS='["no-such-bucket-of-ours"]',
    )

    wrong = bad(found)
    assert 1 == code
    text = json.dumps(wrong)
    assert "events.repaired is missing" in text
    assert "retention.ms is 1000" in text
    assert "unequal partition counts" in text
    assert "opstrail store setup --execute" in text
    assert "no-such-bucket-of-ours" in text
    assert {"topics", "templates", "s3", "sqs"} == wrong.keys()


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("discover", {"sqs", "s3"}),
        ("split", {"sqs", "s3"}),
        ("enrich", set()),
        ("store", {"opensearch", "templates", "clock"}),
    ],
)
@pytest.mark.usefixtures("aws_credentials")
def test_in_a_services_pod_it_looks_at_what_that_service_is_told_of(
    environment: dict[str, str],
    own: Installed,
    servers: Servers,
    role: str,
    sees: set[str],
) -> None:
    boto3.client("s3", endpoint_url=servers.addresses.aws).create_bucket(Bucket=own.name)
    queue = boto3.client("sqs", endpoint_url=servers.addresses.aws).create_queue(QueueName=own.name)
    told = {
        **environment,
        "OPSTRAIL_DISCOVER__QUEUE_URL": queue["QueueUrl"],
        "OPSTRAIL_DISCOVER__ALLOWED_BUCKETS": json.dumps([own.name]),
    }
    if "opensearch" not in sees:
        del told["OPSTRAIL_OPENSEARCH__URL"]

    code, found = doctor("--role", role, **told)

    assert {} == bad(found)
    assert 0 == code
    always = {"kafka", "topics", "acls", "lag", "registry", "schemas"}
    assert always | sees == {each["area"] for each in found}


def test_servers_that_are_away_are_named_with_the_setting_to_look_at() -> None:
    code, found = doctor(**NOBODY)

    assert 1 == code
    assert {
        "kafka": "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS",
        "registry": "OPSTRAIL_REGISTRY__URL",
        "opensearch": "OPSTRAIL_OPENSEARCH__URL",
    } == {
        area: next(word for word in each[0]["mend"].split() if "OPSTRAIL_" in word).rstrip(",")
        for area, each in bad(found).items()
    }


def test_settings_that_are_wrong_are_findings_too() -> None:
    code, found = doctor(OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS="kafka.example:9092")

    assert 1 == code
    text = json.dumps(bad(found)["settings"])
    assert "plaintext_hosts" in text
    assert "OPSTRAIL_OPENSEARCH__URL: is not set" in text
