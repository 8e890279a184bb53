"""The Helm chart, rendered: what it makes of values, and what is known of what it makes."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tools.chart.fetch import CannotFetch, Tools, fetch

TOP = Path(__file__).parents[2]
CHART = TOP / "deploy" / "helm" / "opstrail"
VALUES = sorted((TOP / "deploy" / "helm" / "values").glob("*.yaml"))
CRD_SCHEMAS = "OPSTRAIL_TEST_CRD_SCHEMAS"
Manifest = Mapping[str, Any]


@cache
def tools() -> Tools:
    """Return the tools; the test is not run where they cannot be had, and fails so in CI."""
    try:
        return fetch()
    except (CannotFetch, OSError) as error:
        not_run(f"helm cannot be fetched: {error}")


def not_run(why: str) -> NoReturn:
    """Say that a check was not run; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"not run, in CI: {why}")
    pytest.skip(f"not run: {why}")


def custom_schema(kind: str) -> Mapping[str, Any]:
    """Return the schema of a custom resource's kind."""
    told = os.environ.get(CRD_SCHEMAS)
    shared = Path(os.environ.get("SHARED") or TOP.parent / "shared")
    folder = Path(told) if told else shared / "reference" / "crd-schemas"
    found = list(folder.glob(f"{kind.lower()}-*.json"))
    if not found:
        not_run(f"no schema of {kind} in {folder}; {CRD_SCHEMAS} names the folder")
    schema: Mapping[str, Any] = json.loads(found[0].read_text("utf-8"))
    return schema


@dataclass(frozen=True, slots=True)
class Rendering:
    """What helm said: manifests, or why it refused."""

    manifests: Sequence[Manifest]
    refusal: str


def render(*values: Path, settings: Sequence[str] = (), version: str = "1.34.0") -> Rendering:
    """Render the chart as the release `rel` in the namespace `trail`."""
    command = [
        str(tools().helm),
        *("template", "rel", str(CHART), "--namespace", "trail", "--kube-version", version),
        *(part for path in values for part in ("--values", str(path))),
        *(part for each in settings for part in ("--set-json", each)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Rendering((), done.stderr)
    return Rendering([each for each in yaml.safe_load_all(done.stdout) if each], "")


@cache
def manifests(values: Path) -> tuple[Manifest, ...]:
    """Return what the chart makes of a values file."""
    rendered = render(values)
    assert rendered.refusal == ""
    return tuple(rendered.manifests)


def of_kind(found: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """Return the manifests of these kinds."""
    return [each for each in found if each["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    """Return kind and name."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_templates(found: Sequence[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Give every manifest that makes pods, with the template that it makes them of."""
    for manifest in found:
        match manifest["kind"]:
            case "StatefulSet" | "Deployment" | "Job":
                yield manifest, manifest["spec"]["template"]
            case "CronJob":
                yield manifest, manifest["spec"]["jobTemplate"]["spec"]["template"]


def environment(template: Manifest) -> dict[str, str]:
    """Return the environment of a pod's container."""
    return {each["name"]: each["value"] for each in template["spec"]["containers"][0]["env"]}


def mounted(template: Manifest) -> list[tuple[str, str, str, str]]:
    """Return what a pod mounts of Secrets and ConfigMaps: kind, name, key, path."""
    return [
        (kind, source[kind]["name"], item["key"], item["path"])
        for volume in template["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for kind in ("secret", "configMap")
        if kind in source
        for item in source[kind]["items"]
    ]
