"""What no schema sees: whether the parts of what the chart makes fit each other and the code."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from opstrail_cli.main import opstrail
from opstrail_runtime.acls import Kind, Role, acls
from opstrail_runtime.secret_files import SECRETS_DIR
from opstrail_runtime.settings import LoopSettings
from opstrail_runtime.wiring import TRANSACTION_TIMEOUT_MS
from opstrail_runtime.wrong_settings import fields_of, variable
from opstrail_schemas.topics import all_topics
from tests.support.chart import (
    VALUES,
    Manifest,
    environment,
    manifests,
    mounted,
    name_of,
    of_kind,
    pod_templates,
    render,
)

pytestmark = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
SERVICES = {"discover", "split", "enrich", "store", "history"}
NOT_OURS = {"AWS_REGION"}
OF_SETTINGS = (
    "opstrail_ingest.settings:Settings",
    "opstrail_enrich.settings:Settings",
    "opstrail_store.settings:Settings",
    "opstrail_history.settings:Settings",
    "opstrail_store.settings:SetupSettings",
)
# What whoever installs puts into the Secrets, by the values files' own names.
SECRETS: Mapping[str, set[str]] = {
    "opstrail": {
        *("kafka-username", "kafka-password", "kafka.crt", "kafka.key"),
        *("registry-username", "registry-password", "registry.crt", "registry.key"),
        *("opensearch-username", "opensearch-password", "opensearch.crt", "opensearch.key"),
        *("history-access.yaml", "history-cursor-key"),
    },
    "opstrail-retention": {"opensearch-username", "opensearch-password"},
    "opstrail-history-tls": {"tls.crt", "tls.key"},
    "platform-ca": {"ca.crt"},
    "trail-cluster-ca-cert": {"ca.crt"},  # Strimzi's
}
CONFIG_MAPS: Mapping[str, set[str]] = {"opensearch-ca": {"ca.crt"}}


def known_settings() -> dict[str, tuple[type[BaseModel], tuple[str, ...]]]:
    """Return every setting of every service that is here, by its variable."""
    found: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {}
    for place in OF_SETTINGS:
        module, name = place.split(":")
        if find_spec(module.split(".")[0]):
            model = getattr(import_module(module), name)
            for section in model.model_fields:
                for field in fields_of(model, (section,)):
                    found[variable((section, field))] = (model, (section, field))
    return found


def test_everything_is_in_the_namespace_of_the_release(values: Path) -> None:
    assert {"trail"} == {each["metadata"].get("namespace") for each in manifests(values)}


def test_names_are_unique(values: Path) -> None:
    names = [(each["apiVersion"], name_of(each)) for each in manifests(values)]

    assert len(names) == len(set(names))


def test_selectors_match_the_pods_they_mean_and_no_other(values: Path) -> None:
    found = manifests(values)
    pods = [template["metadata"]["labels"] for _, template in pod_templates(found)]
    checked = 0
    for manifest in of_kind(
        found, "StatefulSet", "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"
    ):
        spec = manifest["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        wanted = selector.get("matchLabels", selector)
        matched = [pod for pod in pods if wanted.items() <= pod.items()]
        component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        expected = [pod for pod in pods if pod["app.kubernetes.io/component"] == component]
        assert expected == matched != [], name_of(manifest)
        checked += 1
    for manifest, template in pod_templates(found):
        for constraint in template["spec"].get("topologySpreadConstraints", ()):
            wanted = constraint["labelSelector"]["matchLabels"]
            assert wanted.items() <= template["metadata"]["labels"].items(), name_of(manifest)
    assert 20 < checked


def test_every_service_has_a_budget_with_one_limit(values: Path) -> None:
    budgets = of_kind(manifests(values), "PodDisruptionBudget")

    assert SERVICES == {each["metadata"]["name"].removeprefix("rel-opstrail-") for each in budgets}
    assert [1] * len(budgets) == [
        len({"minAvailable", "maxUnavailable"} & each["spec"].keys()) for each in budgets
    ]


def test_ports_have_short_names_real_protocols_and_targets_that_exist(values: Path) -> None:
    found = manifests(values)
    of_pods = {
        port["name"]
        for _, template in pod_templates(found)
        for port in template["spec"]["containers"][0].get("ports", ())
    }
    for manifest in of_kind(found, "Service"):
        for port in manifest["spec"]["ports"]:
            assert port["targetPort"] in of_pods
    for port in _ports(found):
        assert port.get("protocol", "TCP") in {"TCP", "UDP", "SCTP"}, port
        name = port.get("name", "a")
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?", name), port
    for manifest in of_kind(found, "ServiceMonitor"):
        assert {each["port"] for each in manifest["spec"]["endpoints"]} <= of_pods


def _ports(found: tuple[Manifest, ...]) -> Iterator[Mapping[str, Any]]:
    for _, template in pod_templates(found):
        yield from template["spec"]["containers"][0].get("ports", ())
    for manifest in of_kind(found, "Service"):
        yield from manifest["spec"]["ports"]
    for manifest in of_kind(found, "NetworkPolicy"):
        for rule in [*manifest["spec"].get("ingress", ()), *manifest["spec"]["egress"]]:
            yield from rule["ports"]


def test_service_accounts_exist_when_their_pods_start(values: Path) -> None:
    found = manifests(values)
    accounts = {each["metadata"]["name"]: each for each in of_kind(found, "ServiceAccount")}
    for manifest, template in pod_templates(found):
        account = accounts[template["spec"]["serviceAccountName"]]
        # A hook before the installation needs an account that is a hook too, and an earlier one.
        assert _hook(account) == _hook(manifest), name_of(manifest)
        if _hook(manifest):
            assert _weight(account) < _weight(manifest)


def test_network_policies_exist_when_their_pods_start(values: Path) -> None:
    """A namespace may forbid what no policy allows, and hooks run before all else is made."""
    found = manifests(values)
    policies = {each["metadata"]["name"]: each for each in of_kind(found, "NetworkPolicy")}
    for manifest, _ in pod_templates(found):
        policy = policies[manifest["metadata"]["name"]]
        assert _hook(policy) == _hook(manifest), name_of(manifest)
        if _hook(manifest):
            assert _weight(policy) < _weight(manifest)


def _hook(manifest: Manifest) -> str | None:
    return (manifest["metadata"].get("annotations") or {}).get("helm.sh/hook")


def _weight(manifest: Manifest) -> int:
    return int(manifest["metadata"]["annotations"]["helm.sh/hook-weight"])


def test_every_name_in_an_environment_is_a_setting_with_a_value_it_takes(values: Path) -> None:
    known = known_settings()
    history_is_here = find_spec("opstrail_history") is not None
    for manifest, template in pod_templates(manifests(values)):
        for name, value in environment(template).items():
            if name in NOT_OURS | {SECRETS_DIR}:
                continue
            if name.startswith("OPSTRAIL_HISTORY__") and not history_is_here:
                continue
            assert name in known, f"{name_of(manifest)}: {name} is no setting"
            model, path = known[name]
            annotation = fields_of(model, path[:-1])[path[-1]].annotation
            if annotation is int:
                int(value)
            if "HOSTS" in name or "BUCKETS" in name or "LIBRDKAFKA" in name:
                json.loads(value)


def test_secret_files_are_settings(values: Path) -> None:
    known = known_settings()
    for manifest, template in pod_templates(manifests(values)):
        secrets = [path for *_, path in mounted(template) if path.startswith("secrets/")]
        told = environment(template).get(SECRETS_DIR)
        assert (told == "/etc/opstrail/secrets") == bool(secrets), name_of(manifest)
        for path in secrets:
            name = path.removeprefix("secrets/")
            assert name in known or name.startswith("OPSTRAIL_HISTORY__"), name


def test_services_start_with_what_they_are_told(
    values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings class of each role takes its environment and its secret files, as mounted."""
    models = {
        "discover": OF_SETTINGS[0],
        "split": OF_SETTINGS[0],
        "enrich": OF_SETTINGS[1],
        "accounts-sync": OF_SETTINGS[1],
        "store": OF_SETTINGS[2],
        "reread": OF_SETTINGS[2],
        "store-setup": OF_SETTINGS[4],
        "retention": OF_SETTINGS[4],
        "history": OF_SETTINGS[3],
    }
    for manifest, template in pod_templates(manifests(values)):
        role = template["metadata"]["labels"]["app.kubernetes.io/component"]
        place = models.get(role)
        if place is None or find_spec(place.split(".")[0]) is None:
            continue
        folder = tmp_path / role
        folder.mkdir()
        for *_, path in mounted(template):
            if path.startswith("secrets/"):
                (folder / Path(path).name).write_text("x")
        with monkeypatch.context() as patched:
            for name, value in environment(template).items():
                patched.setenv(name, str(folder) if name == SECRETS_DIR else value)
            module, name = place.split(":")
            getattr(import_module(module), name)()  # raises WrongSettings
        assert name_of(manifest)


def test_every_key_that_is_mounted_exists(values: Path) -> None:
    found = manifests(values)
    users = {each["metadata"]["name"]: each for each in of_kind(found, "KafkaUser")}
    own = {each["metadata"]["name"]: set(each["data"]) for each in of_kind(found, "ConfigMap")}
    for manifest, template in pod_templates(found):
        for kind, name, key, _ in mounted(template):
            if name in users:
                tls = users[name]["spec"]["authentication"]["type"] == "tls"
                keys = {"ca.crt", "user.crt", "user.key"} if tls else {"password"}
            else:
                keys = SECRETS[name] if kind == "secret" else {**CONFIG_MAPS, **own}[name]
            assert key in keys, f"{name_of(manifest)}: {kind} {name} has no {key}"
    for manifest in of_kind(found, "TriggerAuthentication"):
        for target in manifest["spec"].get("secretTargetRef") or ():
            keys = {"password"} if target["name"] in users else SECRETS[target["name"]]
            assert target["key"] in keys, name_of(manifest)
        for target in manifest["spec"].get("configMapTargetRef") or ():
            assert target["key"] in own[target["name"]]


def test_files_that_settings_name_are_mounted(values: Path) -> None:
    for manifest, template in pod_templates(manifests(values)):
        paths = {f"/etc/opstrail/{path}" for *_, path in mounted(template)}
        told = {v for v in environment(template).values() if v.startswith("/etc/opstrail/")}
        assert told - {"/etc/opstrail/secrets"} <= paths, name_of(manifest)


def test_pods_fit_pod_security_restricted(values: Path) -> None:
    for manifest, template in pod_templates(manifests(values)):
        spec, where = template["spec"], name_of(manifest)
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, where
        assert spec["automountServiceAccountToken"] is False, where
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert 0 < spec["securityContext"]["runAsUser"], where
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"], where
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= {"emptyDir", "projected", "secret", "configMap"}
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["readOnlyRootFilesystem"] is True, where
            assert {"drop": ["ALL"]} == context["capabilities"], where
            assert "privileged" not in context
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, where
            assert "memory" in container["resources"]["limits"], where
            assert "command" not in container, f"{where}: the role is its argument"


def test_slots_are_stable_over_restarts(values: Path) -> None:
    """A slot is the ordinal in the host name, and only a StatefulSet's pods have one again."""
    for manifest, template in pod_templates(manifests(values)):
        environment_ = environment(template)
        role = template["metadata"]["labels"]["app.kubernetes.io/component"]
        if "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS" not in environment_:
            continue
        assert environment_["OPSTRAIL_SLOT__NAMESPACE"], name_of(manifest)
        if role in SERVICES:
            assert manifest["kind"] == "StatefulSet"
            assert "OPSTRAIL_SLOT__NUMBER" not in environment_
            assert "hostname" not in template["spec"]
            assert manifest["spec"]["serviceName"] in {
                each["metadata"]["name"] for each in of_kind(manifests(values), "Service")
            }
        else:
            # The end of a job's pod is random, and may be digits.
            assert environment_["OPSTRAIL_SLOT__NUMBER"] == "0", name_of(manifest)
    for manifest in of_kind(manifests(values), "CronJob"):
        assert manifest["spec"]["concurrencyPolicy"] == "Forbid"


def test_pods_are_given_longer_than_a_drain_and_a_transaction(values: Path) -> None:
    for manifest, template in pod_templates(manifests(values)):
        drain_s = environment(template).get("OPSTRAIL_LOOP__DRAIN_S")
        if drain_s is not None:
            grace_s = template["spec"]["terminationGracePeriodSeconds"]
            needed_s = float(drain_s) + TRANSACTION_TIMEOUT_MS / 1000
            assert grace_s > needed_s, name_of(manifest)
            assert LoopSettings(drain_s=float(drain_s)).drain_s == float(drain_s)


def test_probes_ask_what_the_program_serves(values: Path) -> None:
    for manifest, template in pod_templates(manifests(values)):
        container = template["spec"]["containers"][0]
        if manifest["kind"] in {"Job", "CronJob"}:
            assert "livenessProbe" not in container
            continue
        assert "/livez" == container["livenessProbe"]["httpGet"]["path"]
        assert "/livez" == container["startupProbe"]["httpGet"]["path"]
        assert "/readyz" == container["readinessProbe"]["httpGet"]["path"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert int(environment(template)["OPSTRAIL_TELEMETRY__PORT"]) == ports["metrics"]


def test_what_serves_metrics_is_found_by_whoever_scrapes_them(values: Path) -> None:
    found = manifests(values)
    services = [each["spec"] for each in of_kind(found, "Service")]
    serving = []
    for manifest, template in pod_templates(found):
        if "OPSTRAIL_TELEMETRY__PORT" not in environment(template):
            continue
        labels = template["metadata"]["labels"]
        serving.append(labels["app.kubernetes.io/component"])
        assert any(
            service["selector"].items() <= labels.items()
            and "metrics" in {port["name"] for port in service["ports"]}
            for service in services
        ), name_of(manifest)
        (policy,) = [
            each
            for each in of_kind(found, "NetworkPolicy")
            if each["metadata"]["name"] == manifest["metadata"]["name"]
        ]
        assert "metrics" in {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
    assert {*SERVICES, "reread"} == set(serving)


def test_every_command_exists(values: Path) -> None:
    for manifest, template in pod_templates(manifests(values)):
        arguments = template["spec"]["containers"][0]["args"]
        words = [each for each in arguments if not each.startswith(("-", "s3://"))]
        assert _exists(words), f"{name_of(manifest)}: opstrail {shlex.join(words)}"
        told = CliRunner().invoke(opstrail, [*words, "--help"])
        assert told.exit_code == 0
        for option in (each for each in arguments if each.startswith("-")):
            assert option in told.output, f"{name_of(manifest)}: {option}"


def _exists(words: list[str]) -> bool:
    command: click.Command | None = opstrail
    for word in words:
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


def test_roles_reach_what_they_need_and_nothing_else(values: Path) -> None:
    found = manifests(values)
    signs = any(
        environment(template).get("OPSTRAIL_KAFKA__SASL_MECHANISM") == "AWS_MSK_IAM"
        or environment(template).get("OPSTRAIL_OPENSEARCH__AUTH") == "sigv4"
        for _, template in pod_templates(found)
    )
    policies = {each["metadata"]["name"]: each for each in of_kind(found, "NetworkPolicy")}
    for manifest, template in pod_templates(found):
        policy = policies[manifest["metadata"]["name"]]
        role = template["metadata"]["labels"]["app.kubernetes.io/component"]
        told = environment(template)
        needed = {
            9092: "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS" in told,
            8081: "OPSTRAIL_REGISTRY__URL" in told,
            9200: "OPSTRAIL_OPENSEARCH__URL" in told,
            80: role in {"discover", "split", "accounts-sync"} or signs,
            53: True,
        }
        allowed = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert needed == {port: port in allowed for port in needed}, role
        assert ["Ingress", "Egress"] == policy["spec"]["policyTypes"]


def test_strimzi_gets_the_topics_and_the_rights_of_the_code(values: Path) -> None:
    found = manifests(values)
    topics = of_kind(found, "KafkaTopic")
    users = of_kind(found, "KafkaUser")
    if not topics:
        assert not users
        return
    prefix = "audit"
    assert {f"{prefix}.{topic.name}": topic.config() for topic in all_topics()} == {
        each["metadata"]["name"]: each["spec"]["config"] for each in topics
    }
    for topic in topics:
        assert "keep" == topic["metadata"]["annotations"]["helm.sh/resource-policy"]
    assert {f"rel-opstrail-{role}" for role in Role} == {u["metadata"]["name"] for u in users}
    for user in users:
        role = Role(user["metadata"]["name"].removeprefix("rel-opstrail-"))
        expected = {
            (
                acl.kind.value,
                acl.full(topic_prefix=prefix, slot_namespace=prefix),
                "prefix" if acl.prefixed else "literal",
                acl.operations,
            )
            for acl in acls(role)
        }
        assert expected == {
            (
                acl["resource"]["type"],
                acl["resource"]["name"],
                acl["resource"]["patternType"],
                tuple(acl["operations"]),
            )
            for acl in user["spec"]["authorization"]["acls"]
        }
    assert {"transactionalId"} <= {acl.kind for role in Role for acl in acls(role)}
    for _, template in pod_templates(found):
        told = environment(template)
        if "OPSTRAIL_KAFKA__USERNAME" in told:
            assert told["OPSTRAIL_KAFKA__USERNAME"] in {u["metadata"]["name"] for u in users}
    assert Kind.TOPIC.value == "topic"


def test_keda_scales_by_the_groups_and_topics_that_services_read(values: Path) -> None:
    scaled = of_kind(manifests(values), "ScaledObject")
    sets = {each["metadata"]["name"]: each for each in of_kind(manifests(values), "StatefulSet")}
    for each in scaled:
        target = each["spec"]["scaleTargetRef"]["name"]
        role = Role(target.removeprefix("rel-opstrail-"))
        assert "replicas" not in sets[target]["spec"], "KEDA and the chart would fight"
        assert 1 <= each["spec"]["minReplicaCount"] <= each["spec"]["maxReplicaCount"] <= 24
        prefix = environment(sets[target]["spec"]["template"])["OPSTRAIL_KAFKA__TOPIC_PREFIX"]
        before = f"{prefix}." if prefix else ""
        readable = {
            before + acl.name: acl.operations for acl in acls(role) if acl.kind is Kind.TOPIC
        }
        for trigger in each["spec"]["triggers"]:
            metadata = trigger["metadata"]
            assert "earliest" == metadata["offsetResetPolicy"]
            assert f"{before}opstrail.{role}" == metadata["consumerGroup"]
            assert "Read" in readable[metadata["topic"]]
            assert "enable" == metadata["tls"]
    if not scaled:
        assert all("replicas" in each["spec"] for each in sets.values())


def test_everything_optional_is_off_but_what_safety_needs(values: Path) -> None:
    if values.stem != "minimal":
        return
    kinds = {each["kind"] for each in manifests(values)}

    assert {
        *("StatefulSet", "Deployment", "Service", "ServiceAccount", "Job", "CronJob"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    } == kinds
    off = render(
        values,
        settings=[
            "networkPolicy.enabled=false",
            "podDisruptionBudget.enabled=false",
            "reread.enabled=false",
            "history.enabled=false",
            "setup.enabled=false",
        ],
    )
    assert {"StatefulSet", "Service", "ServiceAccount"} == {m["kind"] for m in off.manifests}
