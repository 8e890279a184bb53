"""`opstrail doctor`: reaches every server, and names what mends each thing that it finds."""

import json
import sys
from collections.abc import Iterator, Mapping

import click
from rich.console import Console
from rich.table import Table

from opstrail_cli import checkup
from opstrail_cli.findings import Finding, bad, exit_code
from opstrail_ingest.settings import Settings as IngestSettings
from opstrail_runtime.acls import Role
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.log_text import printable
from opstrail_runtime.settings import WrongSettings
from opstrail_store.settings import SetupSettings

# What each role speaks to: the rest its credentials need not reach.
_AREAS: Mapping[Role, frozenset[str]] = {
    Role.DISCOVER: frozenset({"aws"}),
    Role.SPLIT: frozenset({"aws"}),
    Role.ENRICH: frozenset(),
    Role.STORE: frozenset({"opensearch"}),
    Role.IMPORTS: frozenset(),
    Role.OPERATORS: frozenset({"aws", "opensearch"}),
}
_COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}


@click.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.OPERATORS.value,
    show_default=True,
    help="Who one is: what that role speaks to is looked at, and whether it may what it needs to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, role: str, as_json: bool) -> None:
    """Look at everything that opstrail depends on; each finding comes with the line that mends it.

    Brokers with their version and settings, topics, rights, lag, the registry and its schemas,
    OpenSearch with its templates, disks and clock, the queue and the buckets. Changes nothing. Ends
    with 1 where something is bad.
    """
    found = list(_findings(Role(role)))
    if as_json or not sys.stdout.isatty():
        click.echo(json.dumps([each.row() for each in found], indent=2))
    else:
        _show(found)
    sys.exit(exit_code(found))


def _findings(role: Role) -> Iterator[Finding]:
    try:
        ingest = IngestSettings()
    except WrongSettings as error:
        yield bad("settings", error.message, "docs/reference/settings.md")
    else:
        yield from _all_of("kafka", checkup.kafka(ingest.kafka, role))
        yield from _all_of("registry", checkup.registry(ingest.registry))
        if "aws" in _AREAS[role]:
            yield from _all_of("aws", checkup.aws(ingest))
    if "opensearch" not in _AREAS[role]:
        return
    try:
        store = SetupSettings()
    except WrongSettings as error:
        yield bad("settings", error.message, "docs/reference/settings.md")
    else:
        yield from _all_of("opensearch", checkup.opensearch(store))


def _all_of(area: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Give the findings of one server; one that goes away meanwhile does not end the others."""
    try:
        yield from findings
    except (Unavailable, Refused) as error:
        yield bad(area, str(error), "run `opstrail doctor` again once it answers")


def _show(findings: list[Finding]) -> None:
    table = Table("", "what", "found", "mended by", box=None)
    for each in findings:
        mark = f"[{_COLOURS[each.level]}]{each.level}[/]"
        table.add_row(mark, each.area, printable(each.what), printable(each.mend))
    Console().print(table)
