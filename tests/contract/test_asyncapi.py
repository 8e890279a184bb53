"""The subscribers' contract is as old as the topics, and valid AsyncAPI."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from opstrail_schemas.topics import all_topics
from tests.support.chart import not_run
from tools.docs.asyncapi import FILE, document

TOP = Path(__file__).parents[2]
TOOL = TOP / "tools" / "asyncapi"


@cache
def validator() -> Path:
    """Return the folder in which the validator is installed, by the hashes of its lock file."""
    if shutil.which("npm") is None:
        not_run("AsyncAPI's validator needs Node.js and npm")
    folder = TOP / "build" / "asyncapi"
    stamp = folder / "installed"
    lock = (TOOL / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(TOOL / name, folder / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            not_run(f"AsyncAPI's validator: {done.stderr[-500:]}")
        stamp.write_text(lock)
    return folder


def validated(file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["node", TOOL / "validate.js", file],
        cwd=validator(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_document_is_up_to_date() -> None:
    assert FILE.read_text("utf-8") == document(), "python -m tools.docs.asyncapi"


@pytest.mark.timeout(300)
def test_the_document_is_valid() -> None:
    done = validated(FILE)

    assert 0 == done.returncode, done.stderr
    assert f"{len(all_topics())} channels" in done.stdout


@pytest.mark.timeout(300)
def test_a_document_that_is_not_valid_is_found_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(FILE.read_text("utf-8").replace("action: send", "action: publish", 1))

    assert 1 == validated(broken).returncode


def test_operations_are_what_any_service_may_read() -> None:
    found = yaml.safe_load(FILE.read_text("utf-8"))
    offered = {
        found["channels"][each["channel"]["$ref"].rsplit("/", 1)[1]]["address"]
        for each in found["operations"].values()
    }

    assert {topic.name for topic in all_topics() if "subscribers" in topic.readers} == offered
    assert re.match(r"3\.", found["asyncapi"])
