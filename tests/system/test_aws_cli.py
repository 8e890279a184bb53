"""The AWS CLI as it is on PyPI, in an environment of its own, asks our LookupEvents."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opstrail_history.access import token_hash
from tests.support.history import A, a_record, a_store, event_of, sample_events, serving

REQUIREMENTS = Path(__file__).with_name("aws-cli.txt")
CREATE_STACK = ["--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateStack"]


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """The program: pip takes it from wherever this machine's pip takes packages."""
    folder = tmp_path_factory.mktemp("aws-cli")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return folder / "bin" / "aws"


def lookup(aws, url, *options, key_id="local"):
    environment = {
        "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "HOME": "/nonexistent",
    }  # fmt: skip
    return subprocess.run(
        [aws, "cloudtrail", "lookup-events", "--endpoint-url", url, "--output", "json", *options],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_the_aws_cli_prints_the_events(aws, opensearch_url, namespace, tmp_path):
    token = "opstrail0123abc"
    access = tmp_path / "access.yaml"
    grant = {"name": "ada", "sha256": token_hash(token), "accounts": [A], "rights": ["read"]}
    access.write_text(json.dumps({"tokens": [grant]}))
    with a_store(opensearch_url, namespace) as stored:
        stored.put(sample_events())
        stored.put([event_of(a_record("in-a", "2024-01-01T00:00:00Z", eventName="OnlyHere"))])
        with serving(stored) as url:
            events = json.loads(lookup(aws, url, *CREATE_STACK).stdout)["Events"]
            everything = json.loads(lookup(aws, url).stdout)["Events"]
            wrong = lookup(aws, url, "--event-category", "insight")
        with serving(stored, OPSTRAIL_HISTORY__ACCESS_FILE=str(access)) as url:
            refused = lookup(aws, url, *CREATE_STACK, key_id="wrong")
            mine = json.loads(lookup(aws, url, key_id=token).stdout)["Events"]

    assert ["CreateStack", "CreateStack"] == [event["EventName"] for event in events]
    assert 225 == len({event["EventId"] for event in everything})
    assert "InvalidEventCategoryException" in wrong.stderr
    assert "UnrecognizedClientException" in refused.stderr
    assert len(mine) < len(everything)
    assert "in-a" in {event["EventId"] for event in mine}
