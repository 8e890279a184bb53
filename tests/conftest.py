"""What every test run has."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.figures", "tests.support.servers"]

# No test fails because the machine is busy.
settings.register_profile(
    "opstrail", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("opstrail")
