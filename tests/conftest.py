"""What every test run has."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.figures", "tests.support.servers"]

# No test fails because the machine is busy.
settings.register_profile(
    "opstrail", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("opstrail")

FAST = ("unit", "contract", "chart")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `fast` what lies in a folder whose tests need no servers, but for marked ones."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in FAST:
            item.add_marker(pytest.mark.fast)
