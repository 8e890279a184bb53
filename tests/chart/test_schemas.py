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
    environment,
    manifests,
    name_of,
    of_kind,
    pod_templates,
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


_STRIMZI = (
    "strimzi.users.enabled=true",
    "strimzi.topics.enabled=true",
    'strimzi.cluster="c"',
)
# Roles of AWS everywhere: nothing needs the Secret.
_NO_SECRET = (
    'kafka.saslMechanism="AWS_MSK_IAM"',
    'kafka.region="r"',
    'opensearch.auth="sigv4"',
    'opensearch.region="r"',
    "history.enabled=false",
    'secrets.existingSecret=""',
)


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
        (["drainSeconds=600"], "terminationGracePeriodSeconds: write more than"),
        (["keda.enabled=true", "keda.minReplicas.split=9"], "keda.minReplicas.split"),
        (
            ["keda.enabled=true", "keda.minReplicas.split=5", "kafka.filesPartitions=4"],
            "the partitions, 4",
        ),
        (['kafka.saslMechanism=""'], "/kafka/saslMechanism"),
        (['kafka.ca={"secret":"a","configMap":"b"}'], "/kafka/ca/configMap"),
        (['settings={"OPSTRAIL_KAFKA__PASSWORD":"x"}'], "OPSTRAIL_KAFKA__PASSWORD"),
        (['history.settings={"OPSTRAIL_HISTORY__CURSOR_KEY":"x"}'], "CURSOR_KEY"),
        (['fullnameOverride="A_b"'], "/fullnameOverride"),
        ([*_STRIMZI, 'kafka.saslMechanism="SCRAM-SHA-256"'], "/kafka/saslMechanism"),
        ([*_STRIMZI, "kafka.clientCertificate=true"], "/kafka/saslMechanism"),
        ([*_NO_SECRET, "registry.basicAuth=true"], "/secrets/existingSecret"),
        ([*_NO_SECRET, "registry.clientCertificate=true"], "/secrets/existingSecret"),
        ([*_NO_SECRET, "kafka.clientCertificate=true"], "/secrets/existingSecret"),
        (['image.digest="sha256:1"'], "/image/digest"),
        (["retention.enabled=true"], "/retention/keepDays"),
        (["retention.enabled=true", "retention.keepDays=6"], "/retention/keepDays"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_wrong_values_are_refused_by_their_name(settings: list[str], text: str) -> None:
    minimal = next(path for path in VALUES if path.stem == "minimal")

    assert text in render(minimal, settings=settings).refusal


def _minimal() -> Path:
    return next(path for path in VALUES if path.stem == "minimal")


def test_no_secret_is_asked_for_where_none_is_needed() -> None:
    assert "" == render(_minimal(), settings=_NO_SECRET).refusal


def test_numbers_of_settings_reach_the_pods_as_they_were_written(tmp_path: Path) -> None:
    told = tmp_path / "values.yaml"
    told.write_text(
        "settings: {OPSTRAIL_STORE__BULK_MAX_BYTES: 5000000, OPSTRAIL_STORE__X: 0.5}\n"
        "store: {settings: {OPSTRAIL_STORE__Y: true, OPSTRAIL_STORE__Z: text}}\n"
        "keda: {enabled: true, lagThreshold: {store: 1000000}}\n"
    )
    made = render(_minimal(), told).manifests
    (store,) = [each for each in made if name_of(each) == "StatefulSet/rel-opstrail-store"]
    (scaled,) = [each for each in made if name_of(each) == "ScaledObject/rel-opstrail-store"]

    found = environment(store["spec"]["template"])

    names = ("BULK_MAX_BYTES", "X", "Y", "Z")
    assert ["5000000", "0.5", "true", "text"] == [found[f"OPSTRAIL_STORE__{n}"] for n in names]
    assert "1000000" == scaled["spec"]["triggers"][0]["metadata"]["lagThreshold"]


def test_annotations_of_pods_reach_all_pods_and_a_roles_own_win() -> None:
    settings = ['podAnnotations={"a":"all","b":"all"}', 'setup.podAnnotations={"b":"own"}']
    found = {
        name_of(manifest): template["metadata"]["annotations"]
        for manifest, template in pod_templates(render(_minimal(), settings=settings).manifests)
    }

    assert {"a": "all", "b": "own"} == found["Job/rel-opstrail-store-setup"]
    assert {"a": "all", "b": "all"} == found["CronJob/rel-opstrail-reread"]
    assert all(each["a"] == "all" for each in found.values())


def test_names_fit_where_the_release_has_a_long_one() -> None:
    made = render(
        _minimal(),
        settings=[f'fullnameOverride="{"a" * 38}"', "accountsSync.enabled=true"],
    ).manifests

    assert 52 >= max(len(m["metadata"]["name"]) for m in of_kind(made, "CronJob"))


def test_keda_trusts_the_authority_of_a_config_map_and_logs_in_only_where_one_does() -> None:
    tls = [
        "keda.enabled=true",
        'kafka.securityProtocol="SSL"',
        'kafka.saslMechanism=""',
    ]
    without = render(_minimal(), settings=tls).manifests
    with_ca = render(_minimal(), settings=[*tls, 'kafka.ca.configMap="ours"']).manifests

    assert [] == of_kind(without, "TriggerAuthentication")
    for each in of_kind(without, "ScaledObject"):
        assert all("authenticationRef" not in trigger for trigger in each["spec"]["triggers"])
    expected = [{"parameter": "ca", "name": "ours", "key": "ca.crt"}]
    for each in of_kind(with_ca, "TriggerAuthentication"):
        assert {"configMapTargetRef": expected} == each["spec"]
