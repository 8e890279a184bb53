"""What stands in for aws, docker, helm, kafka-acls and kubectl where a page's commands are typed.

Each is a program of that name on the PATH. It refuses what the true one would not take, or what
does not fit what was done before; what it takes it does with what is here: AWS's calls at moto,
`opstrail` itself in place of a container, `helm template` and the set-up Jobs in place of a
cluster. `STAND_IN` names the file of what they know of each other.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import yaml
from botocore.validate import validate_parameters

from opstrail_runtime.acls import Role, acls
from tests.support.chart import (
    Manifest,
    environment,
    mounted,
    name_of,
    of_kind,
    pod_templates,
    tools,
)

PROGRAMS = ("aws", "docker", "helm", "kafka-acls", "kubectl")
STATE = "STAND_IN"
State = MutableMapping[str, Any]
# moto has one account, and no pod identity.
ACCOUNT, MOTOS_ACCOUNT = "111122223333", "123456789012"
NOT_AT_MOTO = {"eks"}
ONLY_WHERE_TLS = ("KAFKA__SASL", "KAFKA__USERNAME", "SECRETS_DIR", "OPENSEARCH__AUTH")


def install(folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Put the programs into a folder; return the environment in which they are found."""
    programs = folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {__name__} {name} "$@"\n')
        program.chmod(0o755)
    known = folder / "known.json"
    known.write_text(json.dumps(state))
    clean = {name: v for name, v in os.environ.items() if not name.startswith("OPSTRAIL_")}
    return {
        **clean,
        STATE: str(known),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def options(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return plain words, and options with their values in order; each option takes one."""
    plain, told = [], dict[str, list[str]]()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("-") else ""
        told.setdefault(name, []).append(value)
    return plain, told


def only(told: Mapping[str, object], *allowed: str) -> None:
    """Refuse options that are not known here."""
    unknown = told.keys() - set(allowed)
    if unknown:
        raise SystemExit(f"unknown here: {' '.join(sorted(unknown))}")


def aws(words: Sequence[str], known: State) -> int:
    """Make the call at moto, with the parameters that AWS's own model of the service knows."""
    (client_name, action), told = options(words)
    service = {"s3api": "s3"}.get(client_name, client_name)
    model = botocore.session.get_session().get_service_model(service)
    name = next(each for each in model.operation_names if _kebab(each) == action)
    shape: Any = model.operation_model(name).input_shape
    parameters = {}
    for option, (value,) in told.items():
        member = next(m for m in shape.members if f"--{_kebab(m)}" == option)
        text = Path(value.removeprefix("file://")).read_text() if value[:7] == "file://" else value
        structured = shape.members[member].type_name in {"structure", "map", "list"}
        parameters[member] = json.loads(text) if structured else text
    validate_parameters(parameters, shape)
    known["service_accounts"] += [v for k, v in parameters.items() if k == "serviceAccount"]
    if service not in NOT_AT_MOTO:
        at_moto = json.loads(json.dumps(parameters).replace(ACCOUNT, MOTOS_ACCOUNT))
        client = boto3.Session().client(service, endpoint_url=known["aws"])  # type: ignore[call-overload]
        answer = getattr(client, re.sub("-", "_", action))(**at_moto)
        if "QueueUrl" in answer:
            known["queue"] = answer["QueueUrl"]
    return 0


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def docker(words: Sequence[str], known: State) -> int:
    """Build and push in name; run `opstrail` where the image would."""
    match words:
        case ["build", "-f", file, "-t", image, folder]:
            assert Path(file).is_file(), file
            assert Path(folder, "deploy").is_dir(), folder
            known["built"].append(image)
        case ["push", image]:
            assert image in known["built"], f"{image} was not built"
            known["pushed"].append(image)
        case ["run", "--rm", image, *arguments]:
            assert image in known["built"], f"{image} was not built"
            return opstrail(arguments, {})
        case _:
            raise SystemExit(f"unknown here: docker {' '.join(words)}")
    return 0


def kafka_acls(words: Sequence[str], _known: State) -> int:
    """Look whether the rights suffice for every role."""
    _, told = options(words)
    only(
        told,
        *("--bootstrap-server", "--command-config", "--add", "--allow-principal", "--operation"),
        *("--resource-pattern-type", "--topic", "--group", "--transactional-id"),
    )
    assert ["All"] == told["--operation"]
    assert ["prefixed"] == told["--resource-pattern-type"]
    for role in Role:
        for acl in acls(role):
            option = {"transactionalId": "--transactional-id"}.get(acl.kind, f"--{acl.kind}")
            full = acl.full(topic_prefix="", slot_namespace="opstrail")
            assert full.startswith(told[option][0]), f"{role}: {full}"
    return 0


def helm(words: Sequence[str], known: State) -> int:
    """Render the chart, look whether all that its pods need is there, run the set-up Jobs."""
    plain, told = options(words)
    only(told, "--namespace", "--values", "--set", "--timeout")
    verb, release, chart = plain
    (namespace,) = told["--namespace"]
    assert ("install", True) == (verb, namespace in known["namespaces"])
    command = [str(tools().helm), "template", release, chart, "--namespace", namespace]
    command += [w for name in ("--values", "--set") for v in told[name] for w in (name, v)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[Manifest] = [each for each in yaml.safe_load_all(made) if each]
    known["manifests"] = found
    accounts = {each["metadata"]["name"] for each in of_kind(found, "ServiceAccount")}
    assert set(known["service_accounts"]) <= accounts, "a role for a ServiceAccount that is not"
    for manifest, template in pod_templates(found):
        assert template["spec"]["containers"][0]["image"] in known["pushed"], "another image"
        for kind, name, key, _ in mounted(template):
            assert key in known["secrets"][name], f"{name_of(manifest)}: {kind} {name} lacks {key}"
    for manifest in of_kind(found, "Job"):
        template = manifest["spec"]["template"]
        done = opstrail(template["spec"]["containers"][0]["args"], told_here(template, known))
        if done != 0:
            return done
    return 0


def kubectl(words: Sequence[str], known: State) -> int:
    """Keep what is created; run `opstrail` as the pod that is named would."""
    match words:
        case ["create", "namespace", name]:
            known["namespaces"].append(name)
        case ["-n", namespace, "create", "secret", "generic", name, *rest]:
            _in(namespace, known)
            plain, told = options(rest)
            assert [] == plain
            only(told, "--from-literal", "--from-file")
            keys = [each.partition("=")[0] for each in told["--from-literal"]]
            files = [Path(each) for each in told["--from-file"]]
            assert all(each.is_file() for each in files)
            known["secrets"][name] = [*keys, *(each.name for each in files)]
        case ["-n", namespace, "exec", pod, "--", "opstrail", *arguments]:
            _in(namespace, known)
            name, _, ordinal = pod.rpartition("-")
            (found,) = [
                each
                for each in of_kind(known["manifests"], "StatefulSet")
                if each["metadata"]["name"] == name
            ]
            assert int(ordinal) < found["spec"]["replicas"]
            return opstrail(arguments, told_here(found["spec"]["template"], known))
        case ["-n", namespace, "port-forward", target, ports]:
            _in(namespace, known)
            kind, _, name = target.partition("/")
            (found,) = [
                each
                for each in of_kind(known["manifests"], kind.capitalize())
                if each["metadata"]["name"] == name
            ]
            port = int(ports.partition(":")[2])
            assert port in {each["port"] for each in found["spec"]["ports"]}
        case _:
            raise SystemExit(f"unknown here: kubectl {' '.join(words)}")
    return 0


def _in(namespace: str, known: State) -> None:
    assert namespace in known["namespaces"], f"no namespace {namespace}"


def told_here(template: Manifest, known: State) -> dict[str, str]:
    """Return a pod's environment with the servers that are here in place of those that it names."""
    told = {
        name: value
        for name, value in environment(template).items()
        if not name.removeprefix("OPSTRAIL_").startswith(ONLY_WHERE_TLS)
    }
    here = {
        **known["servers"],
        "OPSTRAIL_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
        "OPSTRAIL_KAFKA__TOPIC_PREFIX": known["name"],
        "OPSTRAIL_KAFKA__FILES_PARTITIONS": "2",
        "OPSTRAIL_KAFKA__EVENTS_PARTITIONS": "2",
        "OPSTRAIL_STORE__INDEX_PREFIX": known["name"],
        "OPSTRAIL_DISCOVER__QUEUE_URL": known.get("queue", ""),
    }
    # Addresses of what a pod is not told of stay unknown to it.
    return {name: here.get(name, value) for name, value in told.items()} | {
        name: value for name, value in here.items() if name.endswith("__ENDPOINT_URL")
    }


def opstrail(arguments: Sequence[str], told: Mapping[str, str]) -> int:
    """Run it here."""
    command = [sys.executable, "-m", "opstrail_cli.main", *arguments]
    return subprocess.run(command, env={**os.environ, **told}, check=False).returncode


def main(program: str, words: Sequence[str]) -> int:
    """Do what a program was asked for, and keep what is known of it."""
    place = Path(os.environ[STATE])
    known = json.loads(place.read_text())
    act = {
        "aws": aws,
        "docker": docker,
        "helm": helm,
        "kafka-acls": kafka_acls,
        "kubectl": kubectl,
    }[program]
    code = act(words, known)
    place.write_text(json.dumps({**known, "typed": known["typed"] + 1}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
