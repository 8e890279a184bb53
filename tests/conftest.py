"""What every test run has."""

pytest_plugins = ["tests.support.servers"]
