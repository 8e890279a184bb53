"""What the chart makes is valid: for helm, for each version of Kubernetes, for custom resources."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from tests.support.chart import (
    CHART,
    VALUES,
    custom_schema,
    manifests,
    name_of,
    render,
    tools,
)
from tests.support.figures import Figure
from tools.chart.fetch import KUBERNETES
from tools.docs import chart_files, helm_values

each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
CUSTOM = ("kafka.strimzi.io/", "keda.sh/", "monitoring.coreos.com/")


@each_values
def test_helm_finds_nothing_to_complain_about(values: Path) -> None:
    done = subprocess.run(
        [tools().helm, "lint", "--strict", "--quiet", CHART, "--values", values],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stdout.strip() + done.stderr.strip()
    assert 0 == done.returncode


@each_values
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid_for_each_version_of_kubernetes(
    values: Path, version: str, figure: Figure
) -> None:
    rendered = render(values, version=f"{version}.0").manifests
    own = [each for each in rendered if not each["apiVersion"].startswith(CUSTOM)]
    found = [finding for each in own for finding in findings(each, version)]

    figure(f"findings, {values.stem}, Kubernetes {version}", len(found), "0")
    assert [] == found
    assert 10 < len(own)


@cache
def validator(version: str, file: str) -> Draft202012Validator:
    folder = tools().schemas(version)
    schema = json.loads((folder / file).read_text())
    return Draft202012Validator(schema, registry=definitions(version))


@cache
def definitions(version: str) -> Any:
    text = (tools().schemas(version) / "_definitions.json").read_text()
    return Resource.from_contents(json.loads(text)) @ Registry()


def findings(manifest: Any, version: str) -> list[str]:
    kind = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", manifest["apiVersion"])
    errors = validator(version, f"{manifest['kind'].lower()}-{kind}.json").iter_errors(manifest)
    return [f"{name_of(manifest)}: {error.json_path}: {error.message}" for error in errors]


@each_values
def test_custom_resources_are_valid(values: Path, figure: Figure) -> None:
    found = []
    for manifest in manifests(values):
        if manifest["apiVersion"].startswith(CUSTOM):
            validator = Draft202012Validator(custom_schema(manifest["kind"]))
            found += [
                f"{name_of(manifest)}: {error.json_path}: {error.message}"
                for error in validator.iter_errors(manifest)
            ]

    figure(f"findings in custom resources, {values.stem}", len(found), "0")
    assert [] == found


def test_the_values_of_strimzi_and_keda_make_every_custom_resource() -> None:
    values = next(path for path in VALUES if path.stem == "strimzi-keda")

    assert {
        "KafkaTopic",
        "KafkaUser",
        "ScaledObject",
        "TriggerAuthentication",
        "ServiceMonitor",
        "PrometheusRule",
    } == {each["kind"] for each in manifests(values) if each["apiVersion"].startswith(CUSTOM)}


def test_the_schema_of_the_values_is_a_schema() -> None:
    Draft7Validator.check_schema(dict(helm_values.schema()))


def test_values_and_their_page_are_as_old_as_the_schema() -> None:
    assert helm_values.VALUES.read_text("utf-8") == helm_values.values()
    assert helm_values.PAGE.read_text("utf-8") == helm_values.page()


@pytest.mark.parametrize("name", chart_files.CONTENTS)
def test_files_made_from_the_code_are_as_old_as_the_code(name: str) -> None:
    assert (chart_files.FILES / name).read_text("utf-8") == chart_files.CONTENTS[name]()


def test_at_most_five_values_have_to_be_given(figure: Figure) -> None:
    minimal = next(path for path in VALUES if path.stem == "minimal")
    given = [
        f"{section}.{name}"
        for section, members in yaml.safe_load(minimal.read_text()).items()
        for name in members
    ]

    figure("values that have to be given", len(given), "<= 5")
    assert 5 >= len(given)
    for each in given:
        section, name = each.split(".")
        assert render(minimal, settings=[f'{section}={{"{name}":null}}']).refusal, each


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (['kafka.bootstrapServer="a"'], "bootstrapServer"),
        (["nonsense=1"], "nonsense"),
        (['split.replicas="two"'], "/split/replicas"),
        (["split.replicas=-1"], "/split/replicas"),
        (['kafka.securityProtocol="PLAINTEXT"', 'kafka.saslMechanism=""'], "plaintextHosts"),
        (['registry.url="http://registry.example/x"'], "/registry/plaintextHosts"),
        (['opensearch.url="http://o.example:9200"'], "/opensearch/plaintextHosts"),
        (['opensearch.url="https://user:secret@o.example"'], "/opensearch/url"),
        (['opensearch.auth="sigv4"'], "/opensearch/region"),
        (['kafka.saslMechanism="AWS_MSK_IAM"'], "/kafka/region"),
        (['secrets.existingSecret=""'], "/secrets/existingSecret"),
        (['source.queueUrl=""'], "/source"),
        (['source.bucketPrefix="s3://b/p"'], "/source"),
        (["strimzi.topics.enabled=true"], "/strimzi/cluster"),
        (
            ["strimzi.users.enabled=true", 'strimzi.cluster="c"'],
            "/strimzi/topics/enabled",
        ),
        (["kafka.filesPartitions=0"], "/kafka/filesPartitions"),
        (['kafka.librdkafka={"sasl.password":"x"}'], "sasl.password"),
        (['settings={"PATH":"x"}'], "PATH"),
        (["terminationGracePeriodSeconds=10"], "/terminationGracePeriodSeconds"),
        (['image.digest="sha256:1"'], "/image/digest"),
        (["retention.enabled=true"], "/retention/keepDays"),
        (["retention.enabled=true", "retention.keepDays=6"], "/retention/keepDays"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_wrong_values_are_refused_by_their_name(settings: list[str], text: str) -> None:
    minimal = next(path for path in VALUES if path.stem == "minimal")

    assert text in render(minimal, settings=settings).refusal
