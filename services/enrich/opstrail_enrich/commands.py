"""`opstrail enrich`, and `opstrail catalog`: what is known about stacks and accounts."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from opstrail_enrich.account_catalog import KnownAccount
from opstrail_enrich.account_inventory import account_facts
from opstrail_enrich.account_sync import plan_sync
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.import_plan import Fact, ImportPlan, plan_import
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.serve import serve
from opstrail_enrich.settings import Settings
from opstrail_enrich.stack_catalog import StackCatalog, StackState
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_enrich.stack_timeline import timeline
from opstrail_enrich.wiring import fact_log, fact_writer, new_organizations, now_ms
from opstrail_runtime.command_line import Patient, show
from opstrail_runtime.errors import Fenced, InvalidRecord, LeaseLost, Refused, Unavailable
from opstrail_runtime.loop_options import loop_options
from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import Account
from opstrail_schemas.registry import NotRegistered
from opstrail_schemas.topics import TopicName


@dataclass(frozen=True, slots=True)
class Catalog:
    """What the commands work with: the facts as of now, and what writes new ones."""

    facts: FactLog
    write: Callable[[Sequence[Output]], None]


def connect() -> Catalog:
    """Return the catalog of the cluster that the environment names, all facts read."""
    settings = Settings()
    found = Catalog(fact_log(settings), fact_writer(settings))
    found.facts.restore(Patient())
    return found


def listed_accounts() -> list[Account]:
    """Return the accounts of the organization that the environment's credentials belong to."""
    return new_organizations(Settings().organizations).accounts()


@contextmanager
def opened() -> Iterator[Catalog]:
    """Read all facts; say in one line what stands in the way."""
    try:
        yield connect()
    except InvalidRecord as error:
        raise click.ClickException(error.message) from error
    except (Unavailable, Fenced, Refused, LeaseLost, NotRegistered, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@loop_options
def enrich() -> None:
    """Say of each raw event who called, in which account, on which stack."""
    sys.exit(serve(Settings()))


@click.group()
def catalog() -> None:
    """What is known about OpsWorks stacks and about accounts."""


@catalog.group()
def stacks() -> None:
    """OpsWorks stacks."""


@catalog.group()
def accounts() -> None:
    """AWS accounts."""


_execute = click.option("--execute", is_flag=True, help="Do it; else the plan is shown.")
_valid_from = click.option(
    "--valid-from",
    type=click.DateTime(),
    help="Since when it is so (UTC); else it counts as always so.",
)
_files = click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)


@stacks.command("import")
@_files
@click.option("--account", help="Account of what does not say its own.")
@_valid_from
@_execute
def import_stacks(
    files: tuple[Path, ...], account: str | None, valid_from: datetime | None, *, execute: bool
) -> None:
    """Import saved answers of describe-stacks, -layers, -instances and -apps."""
    with opened() as found:
        known = found.facts.catalogs.stacks
        facts = stack_facts(
            _saved(files),
            account_id=account,
            accounts_of_stacks=known.accounts_of_stacks(),
            valid_from=_ms(valid_from),
        )
        plan = plan_import(facts, known.facts.__contains__, known.contradictions)
        _carry_out(plan, TopicName.STACK_FACTS, found.facts.stack_facts, found, execute=execute)


@accounts.command("import")
@_files
@_valid_from
@_execute
def import_accounts(files: tuple[Path, ...], valid_from: datetime | None, *, execute: bool) -> None:
    """Import names of accounts: CSV, YAML, JSON, or `organizations list-accounts`."""
    with opened() as found:
        known = found.facts.catalogs.accounts
        facts = account_facts(_saved(files), valid_from=_ms(valid_from))
        plan = plan_import(facts, known.facts.__contains__, known.contradictions)
        _carry_out(plan, TopicName.ACCOUNTS, found.facts.accounts, found, execute=execute)


@accounts.command("sync")
@_execute
def sync_accounts(*, execute: bool) -> None:
    """Ask AWS Organizations for all accounts: names, paths of units, states, tags."""
    with opened() as found:
        plan = plan_sync(listed_accounts(), found.facts.catalogs.accounts, now_ms=now_ms())
        for text in plan.changes:
            click.echo(text, err=True)
        if execute and plan.facts:
            found.write(plan.outputs(found.facts.accounts))
    show(
        [
            {
                "listed": plan.listed,
                "new": plan.new,
                "changed": plan.changed,
                "unchanged": plan.listed - plan.new - plan.changed,
                "written": len(plan.facts) if execute else 0,
            }
        ]
    )
    if plan.facts and not execute:
        click.echo("this is the plan; --execute does it", err=True)


@stacks.command("list")
def list_stacks() -> None:
    """List the stacks that are known."""
    with opened() as found:
        show([_stack_row(stack) for stack in found.facts.catalogs.stacks.stacks()])


@stacks.command("show")
@click.argument("name_or_id")
def show_stack(name_or_id: str) -> None:
    """Show what is known of a stack."""
    with opened() as found:
        known = found.facts.catalogs.stacks
        show(
            [
                _stack_row(stack)
                | dict(sorted(known.everything(stack.account_id, stack.stack_id).items()))
                for stack in _called(known, name_or_id)
            ]
        )


@stacks.command("timeline")
@click.argument("name_or_id")
def show_timeline(name_or_id: str) -> None:
    """Show the life of a stack, by its id or any name that it ever had."""
    with opened() as found:
        known = found.facts.catalogs.stacks
        show(
            [
                {"accountId": stack.account_id, "stackId": stack.stack_id} | row._asdict()
                for stack in _called(known, name_or_id)
                for row in timeline(known, stack.account_id, stack.stack_id)
            ]
        )


def _called(catalog: StackCatalog, name_or_id: str) -> list[StackState]:
    found = catalog.called(name_or_id)
    if not found:
        raise click.ClickException(f"no stack of that name or id is known: {name_or_id}")
    return found


@accounts.command("list")
def list_accounts() -> None:
    """List the accounts that are known, and since when nothing about them has changed."""
    with opened() as found:
        show([_account_row(known) for known in found.facts.catalogs.accounts.accounts()])


def _account_row(known: KnownAccount) -> dict[str, object]:
    return {
        "accountId": known.account_id,
        "name": known.info.name,
        "ouPath": known.info.ou_path,
        "state": known.info.state,
        "tags": known.info.tags,
        "since": None if known.since is None else _utc(known.since),
    }


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _stack_row(stack: StackState) -> dict[str, object]:
    return {
        "accountId": stack.account_id,
        "stackId": stack.stack_id,
        "name": stack.attributes.get("name"),
        "region": stack.attributes.get("region"),
        "status": stack.status,
    }


def _carry_out(
    plan: ImportPlan[Fact],
    topic: TopicName,
    codec: Codec[Fact],
    found: Catalog,
    *,
    execute: bool,
) -> None:
    """Show a plan, or do it."""
    for text in plan.contradictions:
        click.echo(text, err=True)
    if plan.contradictions and execute:
        raise click.ClickException(
            "nothing was written: it contradicts what is known; say with --valid-from since when "
            "it is so"
        )
    if execute:
        found.write(plan.outputs(topic, codec))
    show(
        [
            {
                "new": len(plan.new),
                "alreadyThere": plan.already_there,
                "contradictions": len(plan.contradictions),
                "written": len(plan.new) if execute else 0,
            }
        ]
    )
    if not execute and plan.new:
        click.echo("this is the plan; --execute does it", err=True)


def _saved(files: Sequence[Path]) -> list[Saved]:
    # Bytes that are no UTF-8 become marks: what follows refuses them, or they are in a name.
    return [Saved(path.name, path.read_text("utf-8", errors="replace")) for path in files]


def _ms(time: datetime | None) -> int | None:
    return None if time is None else int(time.replace(tzinfo=UTC).timestamp() * 1000)
