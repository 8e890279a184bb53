"""`opstrail store`: the service, and the set-up of OpenSearch."""

import sys

import click

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.loop_options import loop_options
from opstrail_store.opensearch_errors import OpenSearchRefuses
from opstrail_store.serve import serve
from opstrail_store.settings import Settings, SetupSettings
from opstrail_store.store_setup import SetupRefused, execute, plan
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client


@click.group(invoke_without_command=True)
@loop_options
@click.pass_context
def store(context: click.Context) -> None:
    """Write enriched events into OpenSearch (the service), or set OpenSearch up."""
    if context.invoked_subcommand is None:
        sys.exit(serve(Settings()))


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
