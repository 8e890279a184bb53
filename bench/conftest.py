"""Benches are pytest files too, so that figures and servers are those of the tests."""

pytest_plugins = ["tests.support.figures", "tests.support.servers"]
