"""`opstrail local`: up, down, status."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import click
from rich.table import Table

from opstrail_local import instance
from opstrail_local.addresses import shell_lines
from opstrail_local.errors import LocalServersError
from opstrail_local.instance import ServerStatus
from opstrail_local.places import default_cache, default_state
from opstrail_local.progress import stdout_console

_INTERRUPTED = 130
_TERMINATED = 143

_state = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_state,
    help="Folder of data, logs and the record of what runs.",
)


@click.group()
def local() -> None:
    """Real Kafka, registry, OpenSearch and an S3 + SQS stand-in on this machine."""


@local.command()
@_state
@click.option(
    "--opensearch-heap",
    envvar="OPSTRAIL_LOCAL_OPENSEARCH_HEAP",
    default="512m",
    show_default=True,
    help="Java heap of OpenSearch.",
)
@click.option(
    "--kafka-nodes",
    type=click.IntRange(1, 5),
    help="Kafka nodes of a new state folder, else 1; from three on all has three replicas.",
)
def up(state: Path, opensearch_heap: str, kafka_nodes: int | None) -> None:
    """Start what does not run; print settings for a shell: set -a; . <(opstrail local up)."""
    with _failures_told():
        addresses = instance.up(
            state.absolute(),
            cache=default_cache(),
            opensearch_heap=opensearch_heap,
            kafka_nodes=kafka_nodes,
        )
    click.echo(shell_lines(addresses.environment()), nl=False)


@local.command()
@_state
@click.option("--delete-data", is_flag=True, help="Delete the state folder afterwards.")
def down(state: Path, *, delete_data: bool) -> None:
    """Stop the servers. Their data stays for the next `up` (but for the S3 + SQS stand-in's)."""
    with _failures_told():
        instance.down(state.absolute(), delete_data=delete_data)


@local.command()
@_state
def status(state: Path) -> None:
    """Show each server: address, process, memory, health. JSON when piped."""
    servers = instance.status(state.absolute())
    if sys.stdout.isatty():
        stdout_console().print(_table(servers))
    else:
        click.echo(json.dumps([asdict(server) for server in servers], indent=2))


def _table(servers: list[ServerStatus]) -> Table:
    table = Table("server", "version", "address", "pid", "memory", "state")
    for server in servers:
        running = "healthy" if server.healthy else "not ready"
        table.add_row(
            server.name,
            server.version,
            server.address,
            str(server.pid or "-"),
            f"{server.resident_bytes / 2**20:.0f} MiB" if server.pid else "-",
            running if server.pid else "stopped",
        )
    return table


@contextmanager
def _failures_told() -> Iterator[None]:
    """What goes wrong as one message; SIGTERM cleans up just as Ctrl-C does."""

    def terminated(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except LocalServersError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt as error:
        raise SystemExit(_INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, before)
