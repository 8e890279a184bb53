"""What commands share: rows for people and programs, and a pulse outside of any group."""

import json
import sys
import time
from collections.abc import Mapping, Sequence

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]
_REQUIRED: Mapping[tuple[int | str, ...], Sequence[str]] = {
    ("kafka",): ["bootstrap_servers"],
    ("registry",): ["url"],
    ("opensearch",): ["url"],
}
_LOCAL = "(`opstrail local up` prints those of servers on this machine)"


def show(rows: Sequence[Row]) -> None:
    """Print rows: a table on a terminal, JSON when piped."""
    if not sys.stdout.isatty():
        click.echo(json.dumps(rows, indent=2))
        return
    Console().print(table_of(rows))


def table_of(rows: Sequence[Row]) -> Table:
    """Return rows as a table, a column a member."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return "" if value is None else str(value)


def said_of(error: ValidationError) -> str:
    """Return what is wrong with settings, by the names of their environment variables."""
    return "\n  ".join(["settings:", *map(_wrong, error.errors()), _LOCAL])


def _wrong(error: ErrorDetails) -> str:
    missing = error["type"] == "missing"
    # Of a section that is missing, the field that it cannot do without.
    place = [*error["loc"], *_REQUIRED.get(error["loc"], ())] if missing else error["loc"]
    name = "__".join(str(part).upper() for part in place)
    return f"OPSTRAIL_{name}: {'missing' if missing else error['msg']}"


class Patient:
    """The pulse of a command, which is in no group: it sleeps where a service would poll."""

    def beat(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float, *, why: str) -> None:  # noqa: ARG002 - the protocol's
        """Sleep."""
        time.sleep(seconds)
