"""`opstrail store`: the service, the set-up of OpenSearch, repair and retention."""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.status import Status

from opstrail_runtime import failpoints
from opstrail_runtime.command_line import Patient, show
from opstrail_runtime.errors import Fenced, Refused, Unavailable
from opstrail_runtime.health import serve_while_at_work
from opstrail_runtime.loop_options import loop_options
from opstrail_runtime.serve import configure_logs
from opstrail_schemas.registry import NotRegistered
from opstrail_store.index_name import IndexNames, Period, period_start
from opstrail_store.opensearch_errors import OpenSearchRefuses
from opstrail_store.reread import Result
from opstrail_store.retention import Retention
from opstrail_store.retention_plan import (
    RetentionRefused,
    check_that_some_stay,
    day_of,
    horizon_of,
)
from opstrail_store.retention_view import rows_of, told_of
from opstrail_store.serve import serve
from opstrail_store.settings import Settings, SetupSettings
from opstrail_store.store_setup import SetupRefused, execute, plan
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client, new_reread

SAY_EVERY_S = 10.0
RETRY_S = 2.0


@click.group(invoke_without_command=True)
@loop_options
@click.pass_context
def store(context: click.Context) -> None:
    """Write enriched events into OpenSearch (the service), or set OpenSearch up."""
    if context.invoked_subcommand is None:
        sys.exit(serve(Settings()))


@store.command()
@click.option("--all", "over_all", is_flag=True, help="Every document: after a change of rules.")
def reread(*, over_all: bool) -> None:
    """Send the events that newer facts concern through enrich once more (repair).

    Waits until what is on its way is stored. It may be stopped at any time, and run again.
    """
    console, settings = Console(stderr=True), Settings()
    try:
        with console.status("reading facts") as status:
            say = _sayer(console, status)
            failpoints.arm("reread", os.environ)
            serve_while_at_work(settings.telemetry.host, settings.telemetry.port)
            began = time.monotonic()
            result = _repaired(settings, say, over_all=over_all)
    except KeyboardInterrupt:
        sys.exit(130)
    except (Fenced, NotRegistered, Refused) as error:
        raise click.ClickException(str(error)) from error
    show(
        [
            {
                "facts": result.facts,
                "examined": result.examined,
                "sent": result.sent,
                "unreadable": result.unreadable,
                "seconds": round(time.monotonic() - began, 1),
            }
        ]
    )


def _repaired(settings: Settings, say: Callable[[str], None], *, over_all: bool) -> Result:
    """Repair; begin anew where a server was away: what is repaired by then is passed over."""
    pulse = Patient()
    while True:
        try:
            repair = new_reread(settings, pulse, say)
            return repair.run_over_all() if over_all else repair.run()
        except Unavailable as away:
            say(f"waiting for {away}")
            pulse.wait(RETRY_S, why=str(away))


def _sayer(console: Console, status: Status) -> Callable[[str], None]:
    """Return what tells how it goes: in one line on a terminal, else a line each ten seconds."""
    last = [time.monotonic()]

    def say(text: str) -> None:
        if console.is_terminal:
            status.update(text)
        elif time.monotonic() - last[0] >= SAY_EVERY_S:
            last[0] = time.monotonic()
            click.echo(text, err=True)

    return say


@store.command()
@click.option("--execute", "do_it", is_flag=True, help="Do it; without, only the plan is shown.")
def setup(*, do_it: bool) -> None:
    """Create or update index templates, indices and aliases: the plan first."""
    settings = SetupSettings()
    wanted = Layout(settings.store.period, settings.store.shards)
    try:
        steps = plan(
            new_client(settings.opensearch),
            settings.store.index_prefix,
            wanted,
            replicas=settings.store.replicas,
        )
        for step in steps:
            click.echo(f"{step.action:<7}{step.what}" + (f": {step.detail}" if step.detail else ""))
        if do_it:
            execute(steps)
    except (Unavailable, OpenSearchRefuses, SetupRefused) as error:
        raise click.ClickException(str(error)) from error
    open_steps = sum(step.action != "same" for step in steps)
    if open_steps and not do_it:
        click.echo(f"{open_steps} to do: run again with --execute")
    elif open_steps:
        click.echo(f"{open_steps} done")
    else:
        click.echo("nothing to do")


@store.command()
@click.option("--execute", "do_it", is_flag=True, help="Do it; without, only the plan is shown.")
@click.option(
    "--before",
    type=click.DateTime(("%Y-%m", "%Y-%m-%d")),
    help="Keep what is from this month or day (UTC) on, in place of OPSTRAIL_STORE__KEEP_DAYS.",
)
@click.option("--reopen", is_flag=True, help="Let the horizon go back: older events are taken in.")
def retention(*, do_it: bool, before: datetime | None, reopen: bool) -> None:
    """Close, and some time later delete, the months (or days) that are too old: the plan first.

    A period goes as a whole, once all of it is older than OPSTRAIL_STORE__KEEP_DAYS. It is closed
    first: what still comes for it is counted as expired. A run at least
    OPSTRAIL_STORE__CLOSED_HOURS later deletes its index, and what is as old among files and dead
    letters. Nothing brings it back.
    """
    settings = SetupSettings()
    told, now_ms = settings.store, time.time_ns() // 1_000_000
    configure_logs(settings.telemetry)
    if before is None and told.keep_days is None:
        raise click.UsageError(
            "everything is kept for ever: set OPSTRAIL_STORE__KEEP_DAYS, or say --before"
        )
    work = Retention(new_client(settings.opensearch), told.index_prefix)
    try:
        layout = work.layout()
        names = IndexNames(told.index_prefix, layout.period)
        found = work.find(
            layout,
            horizon_ms=_horizon(before, told.keep_days, now_ms, layout.period),
            now_ms=now_ms,
            closed_ms=int(told.closed_hours * 3_600_000),
            reopen=reopen,
        )
        if before is None:
            check_that_some_stay(found.plan, names)
        show(rows_of(found))
        if do_it:
            work.execute(found, now_ms=now_ms, say=lambda text: click.echo(text, err=True))
    except (Unavailable, OpenSearchRefuses, RetentionRefused) as error:
        raise click.ClickException(str(error)) from error
    click.echo(told_of(found, do_it=do_it), err=True)


def _horizon(before: datetime | None, keep_days: int | None, now_ms: int, period: Period) -> int:
    if before is None:
        assert keep_days is not None  # noqa: S101 - the caller has looked
        return horizon_of(now_ms, keep_days, period)
    horizon_ms = int(before.replace(tzinfo=UTC).timestamp()) * 1000
    if horizon_ms != period_start(horizon_ms, period):
        raise click.UsageError(f"--before {day_of(horizon_ms)}: a {period} goes as a whole")
    if horizon_ms > now_ms:
        raise click.UsageError(f"--before {day_of(horizon_ms)}: that is still to come")
    return horizon_ms
