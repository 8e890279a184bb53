"""Figures with their goals beside them (a pytest plug-in, named in tests/conftest.py).

A test asks for the fixture `figure` and calls it; what it told stands in the terminal summary,
also with `-q` and from workers of pytest-xdist. Of `summed` figures each test tells a part; the sum
stands there.
"""

from collections import Counter
from collections.abc import Callable

import pytest

Figure = Callable[[str, object, str], None]
Summed = Callable[[str, int, str], None]
_PROPERTY, _SUMMED = "figure", "summed figure"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Tell a figure: its name, its value, and the goal it is measured against."""

    def tell(name: str, value: object, goal: str) -> None:
        line = f"{name}: {value} (goal: {goal})"
        request.node.user_properties.append((_PROPERTY, line))
        print(line)

    return tell


@pytest.fixture
def summed(request: pytest.FixtureRequest) -> Summed:
    """Tell a part of a figure: its name, the part, and the goal of the whole."""

    def tell(name: str, part: int, goal: str) -> None:
        request.node.user_properties.append((_SUMMED, (name, part, goal)))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all figures once more, at the end."""
    told = [
        (name, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
    ]
    lines = [str(value) for name, value in told if name == _PROPERTY]
    sums: Counter[tuple[str, str]] = Counter()
    for name, value in told:
        if name == _SUMMED:
            what, part, goal = value
            sums[what, goal] += part
    lines += [f"{what}: {total:,} (goal: {goal})" for (what, goal), total in sums.items()]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)
