"""`opstrail completion`: what a shell needs to complete commands, options and values."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print the completion script of a shell.

    Values of filters (accounts, stacks, event names …) are completed by asking the history.

    \b
    Examples:
      opstrail completion bash >> ~/.bashrc
      opstrail completion zsh > "${fpath[1]}/_opstrail"
      opstrail completion fish > ~/.config/fish/completions/opstrail.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not supported")
    root = context.find_root().command
    click.echo(found(root, {}, "opstrail", "_OPSTRAIL_COMPLETE").source())
