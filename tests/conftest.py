"""What every test run has."""

pytest_plugins = ["tests.support.figures", "tests.support.servers"]
