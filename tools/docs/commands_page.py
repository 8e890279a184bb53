"""Write docs/reference/commands.md: `python -m tools.docs.commands_page`.

The page is what `--help` says of every command; a test fails while it is older.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from opstrail_cli.main import opstrail

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
_WIDTH = 88
_HEAD = """\
# Commands

<!-- Made by `python -m tools.docs.commands_page` from the commands' own --help: edit those. -->

Tables on a terminal, JSON when piped. Whatever changes much shows its plan first and acts with
`--execute`. Exit codes: 0 done, 1 failure, 2 usage or settings, 3 finished with dead letters or
pending retries, 130 interrupted.
"""


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give every command with its words, in the order of the help."""
    yield from _below((), opstrail)


def _below(
    words: tuple[str, ...], command: click.Command
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if words:
        yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _below((*words, name), found)


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for words, command in commands():
        name = " ".join(("opstrail", *words))
        parent = click.Context(opstrail, info_name=" ".join(("opstrail", *words[:-1])))
        context = click.Context(
            command, info_name=words[-1], parent=parent, terminal_width=_WIDTH,
            max_content_width=_WIDTH,
        )  # fmt: skip
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"{'#' * min(len(words) + 1, 4)} {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
