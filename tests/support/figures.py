"""Figures with their goals beside them (a pytest plug-in, named in tests/conftest.py).

A test asks for the fixture `figure` and calls it; what it told stands in the terminal summary,
also with `-q` and from workers of pytest-xdist.
"""

from collections.abc import Callable

import pytest

Figure = Callable[[str, object, str], None]
_PROPERTY = "figure"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Tell a figure: its name, its value, and the goal it is measured against."""

    def tell(name: str, value: object, goal: str) -> None:
        line = f"{name}: {value} (goal: {goal})"
        request.node.user_properties.append((_PROPERTY, line))
        print(line)

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all figures once more, at the end."""
    lines = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)
