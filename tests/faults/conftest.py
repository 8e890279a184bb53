"""Servers of their own for runs under faults, and the table of all runs at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrail_local import instance
from opstrail_local.places import default_cache
from tests.support.faulting.result import Result, table
from tests.support.servers import Servers, servers_of

_results: list[Result] = []


@pytest.fixture(scope="session")
def results() -> list[Result]:
    """Where runs put what they came to."""
    return _results


@pytest.fixture(scope="session")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that may be killed: local ones, whatever the others are.

    OPSTRAIL_FAULTS_STATE names a folder whose servers are kept running, to try one run again.
    """
    kept = os.environ.get("OPSTRAIL_FAULTS_STATE")
    if kept:
        yield Servers(instance.up(Path(kept), cache=default_cache()), "local", Path(kept))
    else:
        with servers_of(tmp_path_factory.mktemp("servers")) as servers:
            yield servers


@pytest.fixture
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The same with three brokers."""
    with servers_of(tmp_path_factory.mktemp("three"), kafka_nodes=3) as servers:
        yield servers


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all runs in one table."""
    if _results:
        terminalreporter.section("runs under faults")
        terminalreporter.write_line(table(_results))
