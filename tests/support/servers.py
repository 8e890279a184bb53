"""Real servers for tests: the fixture `servers` (a pytest plug-in, named in tests/conftest.py).

In this order: servers named by the environment, Docker where an engine answers, a local JVM. When
none of the three works the tests that ask for servers fail; they are never skipped. Nothing is
started until a test asks, and everything that was started is stopped when the session ends.

    OPSTRAIL_TEST_KAFKA, _REGISTRY, _OPENSEARCH, _AWS    addresses of servers that run (all four)
    OPSTRAIL_TEST_SERVERS=docker | local                 take this branch and no other
"""

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal, assert_never

import psutil
import pytest

from opstrail_local import instance, trees, versions
from opstrail_local.credentials import CREDENTIALS
from opstrail_local.instance import Addresses
from opstrail_local.places import default_cache
from opstrail_local.progress import stderr_console
from opstrail_local.server import NotReady, ask
from tests.support.docker_servers import MOTO, DockerServers, engine_answers

Branch = Literal["environment", "docker", "local"]

_NAMED = {
    "kafka": "OPSTRAIL_TEST_KAFKA",
    "registry": "OPSTRAIL_TEST_REGISTRY",
    "opensearch": "OPSTRAIL_TEST_OPENSEARCH",
    "aws": "OPSTRAIL_TEST_AWS",
}
# Set by the controlling process; workers of pytest-xdist inherit it and so share one instance.
_STATE = "OPSTRAIL_TEST_STATE"

_started: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and how they were obtained."""

    addresses: Addresses
    branch: Branch
    state: Path | None
    """The state folder of a local instance; only there can a server be killed."""

    def environment(self) -> dict[str, str]:
        """What a process of ours is given so that it uses these servers."""
        return self.addresses.environment()

    def kill(self, name: str) -> None:
        """SIGKILL one server. Tests of faults need the local branch, and fail on the others."""
        instance.kill(self._local(), name)

    def start(self, name: str) -> None:
        """Start a killed server again, on its port and data."""
        instance.start(self._local(), name)

    def runs(self, name: str) -> bool:
        """Whether this server's process lives, however well."""
        return any(each.pid is not None for each in self._named(name))

    def fill_disk(self, name: str, most_bytes: int) -> None:
        """Let no file of this server grow beyond so many bytes, until it is started again.

        The kernel then answers EFBIG, in the middle of a write too, as a full disk does ENOSPC; to
        a JVM both are an IOException. No right to mount anything is needed.
        """
        for each in self._named(name):
            assert each.pid is not None, f"{name} does not run"
            own = psutil.Process(each.pid)
            _, hard = own.rlimit(psutil.RLIMIT_FSIZE)
            own.rlimit(psutil.RLIMIT_FSIZE, (most_bytes, hard))

    def largest_file(self, name: str, pattern: str) -> int:
        """Return the size in bytes of the largest file of this server with such a name."""
        return max(each.stat().st_size for each in (self._local() / name).rglob(pattern))

    def _named(self, name: str) -> list[instance.ServerStatus]:
        return [each for each in instance.status(self._local()) if each.name == name]

    def _local(self) -> Path:
        if self.state is None:
            pytest.fail(f"servers from {self.branch} cannot be killed: OPSTRAIL_TEST_SERVERS=local")
        return self.state


@contextmanager
def servers_of(state: Path, *, kafka_nodes: int = 1) -> Iterator[Servers]:
    """Yield local servers that may be killed, whatever the shared ones are; stop them then."""
    try:
        addresses = instance.up(state, cache=default_cache(), kafka_nodes=kafka_nodes)
        yield Servers(addresses, "local", state)
    finally:
        instance.down(state, delete_data=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Kafka, schema registry, OpenSearch and the S3 + SQS stand-in, shared by the whole session.

    Tests keep apart by names of their own (fixture `namespace`), not by servers of their own.
    """
    begun = time.monotonic()
    branch = _branch()
    match branch:
        case "environment":
            yield _noted(Servers(_named_servers(), branch, None), begun)
        case "docker":
            containers = DockerServers()
            try:
                yield _noted(Servers(containers.start(), branch, None), begun)
            finally:
                containers.stop()
        case "local":
            # Stopped by pytest_unconfigure: other workers may still use it.
            state = Path(os.environ[_STATE])
            addresses = instance.up(state, cache=default_cache())
            yield _noted(Servers(addresses, branch, state), begun)


@pytest.fixture
def namespace() -> str:
    """A name that no other test has: prefix of topics, indices, buckets, queues and groups."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stand-in's credentials, in the environment as AWS clients look for them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return dict(CREDENTIALS)


@pytest.fixture(scope="session")
def kafka_address(servers: Servers) -> str:
    """Kafka's bootstrap servers."""
    return servers.addresses.kafka


@pytest.fixture(scope="session")
def registry_url(servers: Servers) -> str:
    """The registry's Confluent-compatible interface."""
    return servers.addresses.registry


@pytest.fixture(scope="session")
def opensearch_url(servers: Servers) -> str:
    """OpenSearch."""
    return servers.addresses.opensearch


@pytest.fixture(scope="session")
def aws_url(servers: Servers) -> str:
    """S3 and SQS."""
    return servers.addresses.aws


def pytest_configure(config: pytest.Config) -> None:
    """Name, but do not fill, the state folder of a local instance."""
    if not hasattr(config, "workerinput"):
        os.environ[_STATE] = str(Path(tempfile.gettempdir()) / f"opstrail-test-{uuid.uuid4().hex}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the session started; runs after an interruption as well."""
    if hasattr(config, "workerinput"):
        return
    state = Path(os.environ.pop(_STATE))
    if state.exists():
        instance.down(state, delete_data=True)


@pytest.hookimpl(tryfirst=True)  # before -m "not servers" is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for servers, however indirectly, is marked so."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what a local instance lacks before the first test: minutes, seen, under no timeout."""
    asked = any("servers" in getattr(item, "fixturenames", ()) for item in session.items)
    if not asked or session.config.option.collectonly or _branch() != "local":
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        trees.ensure(default_cache(), stderr_console())


def pytest_report_header() -> list[str]:
    """Which servers tests get, and what this run leaves out."""
    return _described()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it again at the end: with -q there is no header."""
    terminalreporter.section("servers")
    for line in _described():
        terminalreporter.line(line)
    used = bool(_started) or Path(os.environ[_STATE]).exists()
    terminalreporter.line(_use(used=used))


def _use(*, used: bool) -> str:
    if not used:
        return "servers: no test asked for the shared ones, they were not started"
    ready = "".join(f", ready after {seconds:.1f} s" for seconds in _started.values())
    return f"servers: used by this run{ready}"


@cache
def _described() -> list[str]:
    try:
        branch = _branch()
    except pytest.UsageError as error:
        return [f"servers: {error}"]
    match branch:
        case "environment":
            told = _named_versions()
            shown = _line(told["kafka"], told["registry"], told["opensearch"], told["aws"])
        case "docker" | "local":
            moto = MOTO if branch == "docker" else version("moto")
            shown = _line(versions.KAFKA, versions.REGISTRY, versions.OPENSEARCH, moto)
        case never:
            assert_never(never)
    how = {
        "environment": "named by the environment",
        "docker": "Docker, through testcontainers",
        "local": "local JVM, from published Java artifacts",
    }
    return [f"servers: {shown} ({how[branch]})", f"not run: {'; '.join(_left_out(branch))}"]


def _line(kafka: str, registry: str, opensearch: str, moto: str) -> str:
    return (
        f"Kafka {kafka}, registry Apicurio {registry}, OpenSearch {opensearch}, "
        f"S3 and SQS by moto {moto}"
    )


def _left_out(branch: Branch) -> list[str]:
    reasons = []
    if branch != "docker":
        why = "no engine answers" if not _docker() else f"{branch} servers were asked for"
        reasons.append(f"Docker branch ({why})")
    if branch != "local":
        reasons.append("local JVM branch (the other one came first)")
    return reasons


@cache
def _branch() -> Branch:
    named = [variable for variable in _NAMED.values() if os.environ.get(variable)]
    if named:
        if len(named) < len(_NAMED):
            missing = ", ".join(sorted(set(_NAMED.values()) - set(named)))
            raise pytest.UsageError(f"servers named by the environment: also set {missing}")
        return "environment"
    match os.environ.get("OPSTRAIL_TEST_SERVERS", ""):
        case "":
            return "docker" if _docker() else "local"
        case "docker":
            return "docker"
        case "local":
            return "local"
        case other:
            raise pytest.UsageError(f"OPSTRAIL_TEST_SERVERS={other}: docker or local")


@cache
def _docker() -> bool:
    return engine_answers()


def _named_servers() -> Addresses:
    found = {kind: os.environ[variable] for kind, variable in _NAMED.items()}
    return Addresses(**found, versions=_named_versions())


@cache
def _named_versions() -> dict[str, str]:
    """What the named servers say of themselves. Kafka and others' registries tell no version."""
    root = os.environ[_NAMED["registry"]].removesuffix("/apis/ccompat/v7")
    return {
        "kafka": "(version not told)",
        "registry": _told(f"{root}/apis/registry/v3/system/info", "version"),
        "opensearch": _told(os.environ[_NAMED["opensearch"]], "version", "number"),
        "aws": "(version not told)",
    }


def _told(url: str, *path: str) -> str:
    try:
        answer = ask("GET", url)
        for key in path:
            answer = answer[key]
    except (NotReady, KeyError, TypeError):
        return "(version not told)"
    return str(answer)


def _noted(servers: Servers, begun: float) -> Servers:
    _started["ready"] = time.monotonic() - begun
    return servers
