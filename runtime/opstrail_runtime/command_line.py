"""What commands share: rows for people and programs, and a pulse outside of any group."""

import json
import sys
import time
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]


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


class Patient:
    """The pulse of a command, which is in no group: it sleeps where a service would poll."""

    def beat(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float, *, why: str) -> None:  # noqa: ARG002 - the protocol's
        """Sleep."""
        time.sleep(seconds)
