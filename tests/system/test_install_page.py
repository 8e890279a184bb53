"""The page on Kubernetes, typed as it stands: every command, every file, every value."""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import boto3
import pytest

from tests.support import stand_ins
from tests.support.figures import Figure
from tests.support.installed import Installed, installed
from tests.support.servers import Servers

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "how-to" / "kubernetes.md"
BUCKET = "organization-trail"
REGION: Final = "eu-west-1"
# A file that the reader writes: its name, perhaps a word on it, and what is in it; or commands.
_PART = re.compile(
    r"(?ms)^(?:`(?P<file>[\w.-]+)`:[^\n]*(?:\n[^\n`]+)*\n\n(?:<!--[^\n]*-->\n)?)?"
    r"```(?P<kind>\w+)\n(?P<text>.*?)^```$"
)


@pytest.mark.servers
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("aws_credentials")
def test_the_page_on_kubernetes_can_be_followed_literally(
    servers: Servers, tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(servers, tmp_path / "own") as own:
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        s3 = boto3.client("s3", endpoint_url=servers.addresses.aws)
        # The trail is there before opstrail.
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        folder = tmp_path / "checkout"
        folder.mkdir()
        (folder / "deploy").symlink_to(TOP / "deploy")
        environment = stand_ins.install(tmp_path, _known(servers, own))

        files = commands = 0
        for part in _PART.finditer(PAGE.read_text("utf-8")):
            if part["kind"] == "sh":
                typed = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", part["text"]],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=300,
                )
                assert typed.returncode == 0, part["text"] + typed.stdout + typed.stderr
                commands += 1
            else:
                assert part["file"], f"where does the reader write this? {part['text']}"
                (folder / part["file"]).write_text(part["text"])
                files += 1

        known = json.loads(Path(environment[stand_ins.STATE]).read_text())
        notified = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        assert notified["QueueConfigurations"]
        figure(
            "blocks of commands of the install page typed", commands, "all of them, ending with 0"
        )
        figure("files of the install page written", files, "all of them")
        figure("calls of aws, docker, helm, kafka-acls and kubectl", known["typed"], "> 10")
        assert 10 < known["typed"]


def _known(servers: Servers, own: Installed) -> dict[str, object]:
    return {
        "aws": servers.addresses.aws,
        "servers": servers.environment(),
        "name": own.name,
        "typed": 0,
        "namespaces": [],
        "built": [],
        "pushed": [],
        "secrets": {},
        "service_accounts": [],
    }
