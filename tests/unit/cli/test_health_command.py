"""The command that an image's health check runs."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from opstrail_cli.health_command import health
from opstrail_cli.processes import free_port
from opstrail_runtime.health import serve_health

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    def asked(*options: str, port: int, host: str = "127.0.0.1") -> tuple[int, str]:
        monkeypatch.setenv("OPSTRAIL_TELEMETRY__PORT", str(port))
        monkeypatch.setenv("OPSTRAIL_TELEMETRY__HOST", host)
        done = CliRunner().invoke(health, options)
        return done.exit_code, done.output

    return asked


@pytest.mark.parametrize(
    ("beat_s", "ready", "options", "code"),
    [
        (0.0, False, (), 0),
        (0.0, False, ("--ready",), 1),
        (0.0, True, ("--ready",), 0),
        (500.0, True, (), 1),
    ],
)
def test_it_ends_as_the_process_answers(
    ask: Ask, beat_s: float, ready: bool, options: tuple[str, ...], code: int
) -> None:
    port = serve_health("127.0.0.1", 0, seconds_since_beat=lambda: beat_s, ready=lambda: ready)

    assert code == ask(*options, port=port)[0]
    # An address that a container binds to is asked from inside.
    assert code == ask(*options, port=port, host="0.0.0.0")[0]


def test_nobody_there_is_not_healthy(ask: Ask) -> None:
    code, told = ask(port=free_port())

    assert 1 == code
    assert "refused" in told


def test_without_a_port_it_says_which_setting_is_missing(ask: Ask) -> None:
    code, told = ask(port=0)

    assert 2 == code
    assert "OPSTRAIL_TELEMETRY__PORT" in told
