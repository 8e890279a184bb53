"""The image's steps, executed by buildah on a stand-in base; what comes out, run as its own user.

The base is made from Debian packages and stands for the Python image of the Dockerfile, which no
registry here serves; so what this does not show is that image itself, and a kernel's limits.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opstrail_local.places import default_cache
from tests.support.chart import TOP, not_run, tools
from tests.support.figures import Figure

DOCKERFILE = TOP / "deploy" / "image" / "Dockerfile"
WHEELS = TOP / "deploy" / "image" / "wheels"
STORE = default_cache() / "image"  # not in the checkout: checks of files would walk through it
BASE, IMAGE = "localhost/base:test", "localhost/opstrail:test"
BASE_PYTHON = "3.11"  # of Debian 12
LOCKS = (TOP / "deploy/image/requirements.lock", TOP / "deploy/image/tools.lock")


@dataclass(frozen=True, slots=True)
class Buildah:
    """Buildah with a store of the tests' own."""

    program: str

    def __call__(self, *arguments: str | Path, check: bool = True) -> str:
        places: tuple[str | Path, ...] = ("--root", STORE / "root", "--runroot", STORE / "runroot")
        done = subprocess.run(
            [self.program, *map(str, (*places, *arguments))],
            cwd=TOP,
            env={**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout + ("" if check else done.stderr)


@pytest.fixture(scope="module")
def buildah() -> Buildah:
    found = shutil.which("buildah")
    if found is None or shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        not_run("the image needs buildah, mmdebstrap and root: apt-get install buildah mmdebstrap")
    STORE.mkdir(parents=True, exist_ok=True)
    return Buildah(found)


def made(archive: Path) -> Path:
    """Have the stand-in base, made once."""
    if not archive.exists():
        fresh = archive.with_suffix(".new")
        packages = "--include=python3,python3-venv,python3-pip"
        command = ["mmdebstrap", "--variant=minbase", "--format=tar", packages, "bookworm", fresh]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            not_run(f"no base: {done.stderr[-500:]}")
        fresh.rename(archive)
    return archive


def download_wheels() -> None:
    for lock in LOCKS:
        command = (
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary=:all:", "--python-version", BASE_PYTHON),
            *("--requirement", str(lock), "--dest", str(WHEELS)),
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            not_run(f"no wheels: {done.stderr[-500:]}")


@pytest.fixture(scope="module")
def image(buildah: Buildah) -> Iterator[str]:
    """Build the image without a network, and yield a container of it."""
    archive = made(STORE / "base.tar")
    if BASE not in buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        container = buildah("from", "scratch").strip()
        buildah("add", container, archive, "/")
        buildah("run", container, "--", "ln", "-sf", "python3", "/usr/bin/python")
        buildah("commit", "--rm", container, BASE)
    download_wheels()
    buildah(
        *("bud", "--pull=never", "--network", "none", "--format", "docker", "--layers"),
        *("--build-arg", f"PYTHON={BASE}"),
        *("--build-arg", "PIP_ARGS=--no-index --find-links deploy/image/wheels"),
        *("--tag", IMAGE, "--file", DOCKERFILE, "."),
    )
    container = buildah("from", "--pull=never", IMAGE).strip()
    yield container
    buildah("rm", container)


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [tools().hadolint, DOCKERFILE], capture_output=True, text=True, check=False
    )

    assert "" == done.stdout + done.stderr
    assert 0 == done.returncode


def test_everything_is_installed_by_its_hash() -> None:
    for lock in LOCKS:
        text = lock.read_text()
        pinned = [line for line in text.splitlines() if "==" in line]
        assert len(pinned) <= text.count("--hash=sha256:")
    main = (TOP / "requirements.lock").read_text()
    for line in LOCKS[0].read_text().splitlines():
        if "==" in line:
            assert f"{line.split(' ')[0]} " in main, f"{line}: another version than is tested"


@pytest.mark.timeout(900)
def test_the_image_runs_as_its_role_says(buildah: Buildah, image: str, figure: Figure) -> None:
    began = time.monotonic()
    config = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]

    assert "65532:65532" == config["User"]
    assert ["/opt/opstrail/bin/opstrail"] == config["Entrypoint"]
    assert ["CMD", "opstrail", "health"] == config["Healthcheck"]["Test"]
    assert {"title", "licenses", "version", "description"} <= {
        label.removeprefix("org.opencontainers.image.") for label in config["Labels"]
    }
    assert "0.1.0" in run(buildah, image, "opstrail", "--version")
    assert "opstrail.events.raw.v1" in run(buildah, image, "opstrail", "schemas", "list")
    told = run(buildah, image, "python3", "-c", "import os; print(os.getuid(), os.getgid())")
    assert "65532 65532" == told.strip()
    # Nothing of it can be changed by whoever it runs as.
    wrote = run(
        buildah, image, "python3", "-c",
        "import os; print([p for p, _, _ in os.walk('/opt/opstrail') if os.access(p, os.W_OK)])",
    )  # fmt: skip
    assert "[]" == wrote.strip()
    refused = buildah("run", image, "--", "opstrail", "health", check=False)
    assert "Connection refused" in refused
    missing = buildah("run", image, "--", "opstrail", "store", check=False)
    assert "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS: is not set" in missing
    figure("the image's own commands, seconds", round(time.monotonic() - began, 1), "none")


@pytest.mark.timeout(900)
def test_the_image_tells_what_is_in_it(buildah: Buildah, image: str) -> None:
    told = run(buildah, image, "python3", "-c", "print(open('/opt/opstrail/sbom.cdx.json').read())")
    content = json.loads(told)
    components = {
        re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"]
        for each in content["components"]
    }

    assert ("CycloneDX", "1.6") == (content["bomFormat"], content["specVersion"])
    assert {"opstrail", "opstrail-schemas", "confluent-kafka", "opensearch-py"} <= set(components)
    assert not {"pytest", "pip", "hatchling", "cyclonedx-bom", "moto"} & set(components)
    for line in LOCKS[0].read_text().splitlines():
        if "==" in line and ";" not in line:
            name, _, version = line.split(" ")[0].partition("==")
            assert version == components[name]


@pytest.mark.timeout(900)
def test_a_service_in_the_image_answers_its_health_check(buildah: Buildah, image: str) -> None:
    """It waits for a registry that is away, lives, is not ready, and stops on SIGTERM with 0."""
    script = """
import os, signal, subprocess, sys, time
env = {**os.environ, "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
       "OPSTRAIL_REGISTRY__URL": "http://127.0.0.1:1/x", "OPSTRAIL_TELEMETRY__PORT": "19404"}
service = subprocess.Popen(["opstrail", "enrich"], env=env)
while subprocess.run(["opstrail", "health"], env=env, capture_output=True).returncode:
    assert service.poll() is None
ready = subprocess.run(["opstrail", "health", "--ready"], env=env).returncode
service.send_signal(signal.SIGTERM)
print("ready", ready, "ended", service.wait(60))
"""
    assert "ready 1 ended 0" in run(buildah, image, "python3", "-c", script)


def run(buildah: Buildah, image: str, *words: str) -> str:
    # Under chroot isolation buildah now and then ends before it has passed on what was printed.
    for _ in range(3):
        if told := buildah("run", "--cap-drop", "all", image, "--", *words):
            return told
    raise AssertionError(f"{words} printed nothing")
