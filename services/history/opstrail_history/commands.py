"""`opstrail history`: the service, and the tokens that it lets in."""

import secrets
import sys

import click

from opstrail_history.access import RIGHTS, TOKEN_PREFIX, is_account, token_hash
from opstrail_history.serve import serve
from opstrail_history.settings import Settings

_TOKEN_BYTES = 32


@click.group(invoke_without_command=True)
@click.pass_context
def history(context: click.Context) -> None:
    """Serve the history: API, page and LookupEvents (the service)."""
    if context.invoked_subcommand is not None:
        return
    sys.exit(serve(Settings()))


def _account_numbers(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    if wrong := [one for one in given if not is_account(one)]:
        raise click.BadParameter(f"`{wrong[0]}` is no 12-digit account number")
    return given


@history.command()
@click.argument("name")
@click.option(
    "--account", "accounts", multiple=True, callback=_account_numbers,
    help="An account it may see; else all.",
)  # fmt: skip
@click.option(
    "--right", "rights", multiple=True, type=click.Choice(RIGHTS), help="Else read and export."
)
def token(name: str, accounts: tuple[str, ...], rights: tuple[str, ...]) -> None:
    r"""Make a token, and print the lines for the access file that let it in.

    The token goes to stderr and is kept nowhere: the file holds its hash.

    \b
    Examples:
      opstrail history token auditor
      opstrail history token team-web --account 111122223333 --right read >> access.yaml
    """
    made = TOKEN_PREFIX + secrets.token_hex(_TOKEN_BYTES)
    scope = "all" if not accounts else "[" + ", ".join(f'"{one}"' for one in accounts) + "]"
    click.echo(
        f"  - name: {_quoted(name)}\n    sha256: {token_hash(made)}\n    accounts: {scope}\n"
        f"    rights: [{', '.join(rights or ('read', 'export'))}]"
    )
    click.echo(f"token: {made}\nPut the lines above under `tokens:` in the access file.", err=True)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
