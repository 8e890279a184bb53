"""Options that every service's command has: settings for one start, by hand."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _sets(variable: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
        if value:
            os.environ[variable] = "true"

    return callback


def loop_options(command: F) -> F:
    """Add `--from-earliest` and `--clear-crash-marks`: what error messages tell to start with."""
    for name, text in (
        ("from-earliest", "Begin at the oldest record where the committed offset is gone."),
        ("clear-crash-marks", "Forget which inputs killed the process: the service was mended."),
    ):
        variable = f"OPSTRAIL_LOOP__{name.replace('-', '_').upper()}"
        command = click.option(
            f"--{name}", is_flag=True, expose_value=False, callback=_sets(variable), help=text
        )(command)
    return command
