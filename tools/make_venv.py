"""Make .venv hold exactly what requirements.lock says, plus this checkout, editable.

Needs only a Python 3.11 or newer and its pip: uv comes out of the lock file by its hash, then
installs the rest by theirs. Nothing to do is noticed by a stamp and takes no time.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = TOP / "requirements.lock"
STAMP = VENV / "made-from"
PROJECTS = (TOP / "schemas", TOP)
PIP_INSTALL = (
    *(PYTHON, "-m", "pip", "install"),
    *("--quiet", "--no-deps", "--require-hashes", "--requirement"),
)

# pip's setting -> the variable by which uv takes it. A user's pip configuration may be all that
# reaches a registry from their network, and uv reads none of it.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}


def fingerprint() -> str:
    """Name all that the environment is made from, so that any change of it is seen."""
    digest = hashlib.sha256(f"{TOP} {sys.version}".encode())
    for part in (LOCK, Path(__file__), *(project / "pyproject.toml" for project in PROJECTS)):
        digest.update(part.read_bytes())
    return digest.hexdigest()


def locked(name: str, lock: str) -> str:
    """Return the lines of one distribution, hashes included."""
    found = re.search(rf"^{re.escape(name)}==.*\n(?:[ ]+--hash=.*\n)+", lock, re.MULTILINE)
    if found is None:
        raise SystemExit(f"requirements.lock does not hold {name}: run `make lock`")
    return found[0]


def uv_environment(pip_config: str) -> dict[str, str]:
    """Return the variables that tell uv what `pip config list` told pip; the last line wins.

    pip lists its files first and the environment last, which is the order in which they count.
    """
    variables: dict[str, str] = {}
    for section, name, value in re.findall(r"(?m)^(\S+?)\.([\w-]+)='(.*)'$", pip_config):
        if name in UV_VARIABLES and section in {"global", "install", ":env:"}:
            values = value.replace("\\n", " ").split()
            if name == "find-links":  # pip ignores folders that are not there, uv stops at them
                values = [v for v in values if "://" in v or Path(v).is_dir()]
            separator = "," if name == "find-links" else " "
            variables[UV_VARIABLES[name]] = separator.join(values)
    return {name: value for name, value in variables.items() if value}


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command in the checkout; its failure is ours."""
    subprocess.run(command, cwd=TOP, env=environment, check=True)


def install_uv() -> None:
    """Install uv with pip, by the hash in the lock."""
    lines = locked("uv", LOCK.read_text())
    version = lines.split()[0].removeprefix("uv==")
    uv = VENV / "bin" / "uv"
    if uv.exists():
        here = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
        if here.stdout.split()[1:2] == [version]:
            return
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder, "uv.lock")
        only_uv.write_text(lines)
        run(*PIP_INSTALL, only_uv)


def install_locked() -> None:
    """Install all that is locked, and the two projects, editable, without any network."""
    pip_config = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    environment = uv_environment(pip_config) | os.environ
    uv_pip = (VENV / "bin" / "uv", "pip")
    into_venv = ("--quiet", "--python", PYTHON)
    try:
        run(*uv_pip, "sync", *into_venv, "--require-hashes", LOCK, environment=environment)
    except subprocess.CalledProcessError:
        print("uv could not install; trying pip", file=sys.stderr)
        run(*PIP_INSTALL, LOCK)
    editable = [part for project in PROJECTS for part in ("--editable", project)]
    options = ("--offline", "--no-deps", "--no-build-isolation")
    run(*uv_pip, "install", *into_venv, *options, *editable, environment=environment)


def main() -> None:
    """Bring .venv up to date, saying how long it took."""
    if sys.version_info < (3, 11):  # noqa: UP036  the reader's Python may well be older
        raise SystemExit("opstrail needs Python 3.11 or newer: make setup PYTHON=python3.12")
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    started = time.monotonic()
    print("making .venv from requirements.lock", file=sys.stderr)
    STAMP.unlink(missing_ok=True)
    usable = PYTHON.exists() and (
        subprocess.run(
            [PYTHON, "-c", "import sys, pip; print(sys.version)"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        == sys.version
    )
    if not usable:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    install_uv()
    install_locked()
    STAMP.write_text(wanted)
    print(f"made .venv in {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
