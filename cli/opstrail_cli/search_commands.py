"""`opstrail search`, `show`, `tail`, `export`: people's commands, over the history API."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import click
from rich.console import Console
from rich.syntax import Syntax

from opstrail_cli import search_view
from opstrail_cli.history_client import HistoryClient, Refused
from opstrail_cli.search_options import filter_options, parameters
from opstrail_history.export_formats import CLOSING
from opstrail_history.row import plain
from opstrail_history.settings import ClientSettings

_PAGE = 1_000
_TAIL_BYTES = 4_096
_CSV_CLOSING = re.compile(r'"# complete: (\d+) events"')
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


@click.command()
@filter_options
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Most events; 0: all.",
)
@click.option("--oldest-first", is_flag=True, help="In the order in which they happened.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON each, also on a terminal.")
def search(*, number: int, oldest_first: bool, as_json: bool, **given: Any) -> None:
    r"""Search events: a table on a terminal, one line of JSON each when piped.

    WORDS must all be in an event; `-- -word` must not, `word*` begins one. Of one filter several
    values are alternatives; `!` before a value excludes it, `*` behind it finds beginnings.

    \b
    Examples:
      opstrail search --since 3650d --stack shop-prod
      opstrail search --since yesterday --read-only no --outcome denied
      opstrail search --account shop-production --name 'Delete*' --aws-service no
      opstrail search --source-ip 203.0.113.0/24 "access denied"
    """
    asked = [*parameters(given), ("order", "oldest" if oldest_first else "newest")]
    client = HistoryClient(ClientSettings())
    found, total = _searched(client, asked, number)
    if as_json or not sys.stdout.isatty():
        for event in found:
            click.echo(json.dumps(event, ensure_ascii=False))
        return
    console = Console()
    events = list(found)
    console.print(search_view.table(events, wide=console.width >= search_view.NARROW))
    if total() > len(events):
        console.print(f"{len(events):,} of {total():,} events; -n 0 shows all", style="dim")


def _searched(
    client: HistoryClient, asked: list[tuple[str, str]], number: int
) -> tuple[Iterator[Mapping[str, Any]], Any]:
    """Return events, at most `number` of them (0: all), and what tells how many there are."""
    known: list[int] = []

    def events() -> Iterator[Mapping[str, Any]]:
        left, cursor = number, None
        while True:
            size = min(_PAGE, left) if number else _PAGE
            pairs = [*asked, ("size", str(size))]
            if cursor is not None:
                pairs.append(("cursor", cursor))
            answer = client.get("/api/v1/events", pairs)
            if answer["total"] is not None:
                known.append(answer["total"])
            yield from answer["events"]
            left -= len(answer["events"])
            cursor = answer["cursor"]
            if cursor is None or (number and left <= 0):
                return

    return events(), lambda: known[0] if known else 0


@click.command()
@click.argument("event_id", metavar="ID")
@click.option("--raw", is_flag=True, help="The record's exact text alone.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, also on a terminal.")
def show(event_id: str, *, raw: bool, as_json: bool) -> None:
    r"""Show one event: its record, its file, who stands behind it, what belongs to it.

    ID is an event id, or account/eventID where several accounts have a record of that id.

    \b
    Examples:
      opstrail show 4f1a2b3c-5d6e-7f80-91a2-b3c4d5e6f708
      opstrail show 111122223333/4f1a2b3c-5d6e-7f80-91a2-b3c4d5e6f708 --raw | jq .
    """
    client = HistoryClient(ClientSettings())
    named = [("id", _document_id(client, event_id))]
    found = client.get("/api/v1/event", named)
    if raw:
        click.echo(found["raw"])
        return
    related = client.get("/api/v1/event/related", named)
    lineage = client.get("/api/v1/event/lineage", named)
    if as_json or not sys.stdout.isatty():
        click.echo(json.dumps({**found, "related": related["groups"], "lineage": lineage}))
        return
    console = Console()
    for line in search_view.details(found, related, lineage):
        console.print(line, soft_wrap=True)
    console.print()
    text = found["raw"] if found["record"] is None else json.dumps(found["record"], indent=2)
    console.print(Syntax("\n".join(map(plain, text.split("\n"))), "json", word_wrap=True))


def _document_id(client: HistoryClient, event_id: str) -> str:
    if "/" in event_id:
        return event_id
    ids: list[str] = client.get(f"/api/v1/event-ids/{quote(event_id, safe='')}")
    if len(ids) > 1:
        raise click.ClickException(f"several events have that id; choose one: {', '.join(ids)}")
    return ids[0]


@click.command()
@filter_options
@click.option("--json", "as_json", is_flag=True, help="One line of JSON each, also on a terminal.")
def tail(*, as_json: bool, **given: Any) -> None:
    r"""Follow events as they are stored, until interrupted.

    Begins with what was stored in the last half minute.

    \b
    Examples:
      opstrail tail --read-only no --aws-service no
      opstrail tail --outcome denied --json | jq -r .who.arn
    """
    client = HistoryClient(ClientSettings())
    plainly = as_json or not sys.stdout.isatty()
    console = Console()
    try:
        for kind, message in client.live(parameters(given)):
            if kind != "row":
                click.echo(f"{kind}: {plain(message['why'])}", err=True)
            elif plainly:
                click.echo(json.dumps(message, ensure_ascii=False))
                sys.stdout.flush()
            else:
                console.print(search_view.line(message), soft_wrap=True)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _quiet_stdout()


@click.command()
@filter_options
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "records", "csv"]), default="ndjson",
    show_default=True, help="Documents a line; CloudTrail's {\"Records\":[…]}; a table.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="File to write; else standard output.")  # fmt: skip
@click.option("--oldest-first", is_flag=True, help="In the order in which they happened.")
def export(*, form: str, output: Path | None, oldest_first: bool, **given: Any) -> None:
    r"""Download all events that a search finds, without a cap.

    The download ends with a count; one that was cut off says so and ends with exit code 1. What is
    written to a file appears under its name only when it is complete.

    \b
    Examples:
      opstrail export --since 2024-01 --until 2024-03 --format csv -o quarter.csv
      opstrail export --account 111122223333 > events.ndjson
      opstrail export --format records --stack shop-prod | opstrail run - --until-idle
    """
    asked = [
        *parameters(given), ("format", form), ("order", "oldest" if oldest_first else "newest"),
    ]  # fmt: skip
    client = HistoryClient(ClientSettings())
    try:
        if output is None:
            ending = _copied(client, asked, sys.stdout.buffer)
        else:
            unfinished = output.with_name(output.name + ".incomplete")
            with unfinished.open("wb") as file:
                ending = _copied(client, asked, file)
            _check_ending(form, ending)
            unfinished.replace(output)
    except KeyboardInterrupt:
        click.echo("interrupted: what was written is incomplete", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _quiet_stdout()
        sys.exit(EXIT_FAILED)
    _check_ending(form, ending)
    click.echo(_counted(form, ending), err=True)


def _copied(client: HistoryClient, asked: list[tuple[str, str]], to: BinaryIO) -> str:
    """Copy a download; return its last bytes."""
    ending = b""
    for piece in client.stream("/api/v1/export", asked):
        to.write(piece)
        ending = (ending + piece)[-_TAIL_BYTES:]
    to.flush()
    return ending.decode("utf-8", "replace")


def _check_ending(form: str, ending: str) -> None:
    """Raise Refused where a download does not end as a complete one does."""
    if _closing(form, ending) is None:
        raise Refused("the download is INCOMPLETE: try again")


def _closing(form: str, ending: str) -> Mapping[str, Any] | None:
    """Return what a download says of itself in its last line; None where it is not complete."""
    last = ending.rstrip("\r\n").rpartition("\n")[2]
    if form == "csv":
        found = _CSV_CLOSING.fullmatch(last)
        return None if found is None else {"events": int(found[1])}
    try:
        closing = json.loads(f'{{"Records":[{last}' if form == "records" else last)[CLOSING]
    except (ValueError, KeyError, TypeError):
        return None
    return closing if closing.get("complete") is True else None


def _counted(form: str, ending: str) -> str:
    closing = _closing(form, ending) or {}
    counts = [f"{closing['events']:,} events"]
    if closing.get("withoutEventID") or closing.get("otherAccountThanItsKey"):
        counts.append(
            f"{closing['withoutEventID']} without eventID, "
            f"{closing['otherAccountThanItsKey']} of another account than their record names: "
            "taken in again these are new"
        )
    if closing.get("unreadable"):
        counts.append(f"{closing['unreadable']} left out: their documents are not opstrail's")
    return "complete: " + "; ".join(counts)


def _quiet_stdout() -> None:
    """Let nothing be flushed into a pipe that is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
