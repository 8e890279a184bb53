"""Services without any code of ours read the same events: in Python, Java and Go."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from opstrail_local import trees
from opstrail_local.places import default_cache
from opstrail_local.progress import stderr_console
from tests.support.chart import not_run
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
EXAMPLES = Path(__file__).parents[2] / "examples" / "subscribers"
EVENTS = 1_000
ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def own(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installed, str]]:
    """An installation that holds 1,000 events, and the digest that a subscriber must get."""
    folder = tmp_path_factory.mktemp("subscribers")
    trails = folder / "trails" / f"AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2024/01/02"
    trails.mkdir(parents=True)
    # Texts that a careless reader would spoil.
    words = ["plain", "Zürich 東京 😀", 'a "quoted" \\ path', "\u2028", "é"]
    records = [
        a_record(eventID=f"id-{n}", recipientAccountId=ACCOUNT, userAgent=words[n % len(words)])
        for n in range(EVENTS)
    ]
    for number in range(10):
        body = trail_file(records[number * 100 : number * 100 + 100])
        (trails / f"{ACCOUNT}_CloudTrail_eu-west-1_20240102T1000Z_{number}.json.gz").write_bytes(
            body
        )
    with installed(servers, folder, **FEW_PARTITIONS) as installation:
        ended = installation.run(folder / "trails")
        assert (0, EVENTS) == (ended.code, ended.result["stored"])
        seen = {
            f"{value['event']['accountId']}/{value['event']['eventID']}": _sha(
                value["event"]["raw"]
            )
            for value in installation.decoded("events.enriched")
        }
        lines = "".join(f"{key} {digest}\n" for key, digest in sorted(seen.items()))
        yield installation, hashlib.sha256(lines.encode()).hexdigest()


def _sha(raw: str | bytes) -> str:
    return hashlib.sha256(raw if isinstance(raw, bytes) else raw.encode()).hexdigest()


def python(folder: Path) -> Sequence[str]:
    return (sys.executable, str(EXAMPLES / "digest.py"))


def java(folder: Path) -> Sequence[str]:
    if shutil.which("javac") is None or shutil.which("java") is None:
        not_run("the Java example needs a JDK")
    places = trees.ensure(default_cache(), stderr_console())
    (avro,) = places.registry.rglob("org.apache.avro.avro-1*.jar")
    path = f"{places.kafka}/*:{avro}"
    compiled(["javac", "-cp", path, "-d", str(folder), str(EXAMPLES / "Digest.java")])
    return ("java", "-cp", f"{folder}:{path}", "Digest")


def go(folder: Path) -> Sequence[str]:
    if shutil.which("go") is None:
        not_run("the Go example needs Go")
    program = folder / "digest"
    source = EXAMPLES / "go"
    fetched = subprocess.run(
        ["go", "mod", "download"], cwd=source, capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        not_run(f"Go's modules cannot be fetched: {fetched.stderr[-300:]}")
    compiled(["go", "build", "-o", str(program), "."], source)
    return (str(program),)


def compiled(command: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(installation: Installed, servers: Servers) -> Mapping[str, str]:
    return {
        **os.environ,
        **servers.environment(),
        "TOPIC": installation.topic("events.enriched"),
        "EVENTS": str(EVENTS),
    }


@pytest.mark.parametrize("language", [python, java, go], ids=lambda make: make.__name__)
def test_a_subscriber_reads_the_same_events(
    own: tuple[Installed, str],
    servers: Servers,
    tmp_path: Path,
    figure: Figure,
    language: Callable[[Path], Sequence[str]],
) -> None:
    installation, expected = own
    command = language(tmp_path)

    done = subprocess.run(
        command,
        env=environment(installation, servers),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    name = language.__name__
    figure(f"{name}: events, digest", f"{told['events']}, {told['sha256'][:16]}", "=")
    assert {"events": EVENTS, "sha256": expected} == told
