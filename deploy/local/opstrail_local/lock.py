"""Resolve the servers' artifacts anew and write artifacts.lock: `python -m opstrail_local.lock`.

Run it after changing `versions.py`, read the difference, commit it. What it writes is what every
later fetch is checked against.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jgo.env import EnvironmentBuilder, LockFile
from jgo.maven import MavenContext

from opstrail_local import versions
from opstrail_local.artifacts import Artifact, Tree, render
from opstrail_local.repository import remote_repositories

LOCK_FILE = Path(__file__).with_name("artifacts.lock")


def resolved(work: Path) -> Iterator[Artifact]:
    """Ask the repository for every artifact; all of them are downloaded into `work`."""
    context = MavenContext(
        repo_cache=work / "maven", remote_repos=remote_repositories(), timeout=120
    )
    yield from _broker_jars(EnvironmentBuilder(context=context, cache_dir=work / "jgo"), context)
    yield _one(
        context,
        "opensearch",
        f"org.opensearch.distribution.integ-test-zip:opensearch:{versions.OPENSEARCH}:zip",
    )
    yield _one(
        context, "registry", f"io.apicurio:apicurio-registry-app:{versions.REGISTRY}:tar.gz:all"
    )


def _broker_jars(builder: EnvironmentBuilder, context: MavenContext) -> Iterator[Artifact]:
    # One endpoint a call: joined with "+", the second one's dependency management overrides the
    # versions of the first (kafka-clients became 3.9.1).
    broker = f"org.apache.kafka:kafka_2.13:{versions.KAFKA}"
    binding = f"org.apache.logging.log4j:log4j-slf4j-impl:{versions.LOG4J_BINDING}"
    for dependency in _dependencies(builder, broker):
        yield _one(context, "kafka", dependency)
    for dependency in _dependencies(builder, binding):
        if dependency.startswith(binding):
            yield _one(context, "kafka", dependency)


def _dependencies(builder: EnvironmentBuilder, endpoint: str) -> list[str]:
    environment = builder.from_endpoint(endpoint)
    lock = LockFile.load(environment.path / "jgo.lock.toml")
    return [
        ":".join(filter(None, (d.groupId, d.artifactId, d.version, d.packaging, d.classifier)))
        for d in lock.dependencies
    ]


def _one(context: MavenContext, tree: Tree, coordinates: str) -> Artifact:
    group, name, version, packaging, *classifier = coordinates.split(":")
    component = context.project(group, name).at_version(version)
    path = component.artifact(packaging=packaging, classifier="".join(classifier)).resolve()
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Artifact(tree, coordinates, path.stat().st_size, sha256)


def main() -> None:
    """Write artifacts.lock beside this module."""
    with tempfile.TemporaryDirectory() as work:
        artifacts = list(resolved(Path(work)))
    LOCK_FILE.write_text(render(artifacts))
    total_mb = sum(a.size for a in artifacts) / 1e6
    sys.stderr.write(f"{len(artifacts)} artifacts, {total_mb:.0f} MB, in {LOCK_FILE}\n")


if __name__ == "__main__":
    main()
