"""The `opstrail` command: gathers the services' commands, each imported when it is called."""

import logging
from importlib import import_module

import click

# Imports cost a second and a half of CPU together, and a service needs its own only.
COMMANDS = {
    "run": "opstrail_cli.run:run",
    "search": "opstrail_cli.search_commands:search",
    "show": "opstrail_cli.search_commands:show",
    "tail": "opstrail_cli.search_commands:tail",
    "export": "opstrail_cli.search_commands:export",
    "completion": "opstrail_cli.completion:completion",
    "local": "opstrail_local.commands:local",
    "ingest": "opstrail_ingest.commands:ingest",
    "enrich": "opstrail_enrich.commands:enrich",
    "store": "opstrail_store.commands:store",
    "history": "opstrail_history.commands:history",
    "catalog": "opstrail_enrich.commands:catalog",
    "dead-letters": "opstrail_cli.dead_letters_commands:dead_letters",
    "schemas": "opstrail_cli.schemas_commands:schemas",
    "topics": "opstrail_cli.schemas_commands:topics",
    "doctor": "opstrail_cli.doctor:doctor",
    "health": "opstrail_cli.health_command:health",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command by its name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("opstrail_"):
                raise
            # The extra `local` is not installed: images do without it.
            return _lacking(cmd_name, str(error.name))
        return command


def _lacking(name: str, package: str) -> click.Command:
    """Return a command in the place of one that cannot be imported; it says what is missing."""

    @click.command(
        name,
        help=f"(Needs the package {package}: install opstrail[local].)",
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def lacking(words: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever they are
        raise click.UsageError(f"`{name}` needs the package {package}: install opstrail[local]")

    return lacking


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opstrail")
def opstrail() -> None:
    """CloudTrail files to typed Kafka topics and a searchable store."""


def main() -> None:
    """Run the command line."""
    # Commands speak for themselves; services set their logs up anew.
    logging.basicConfig(level=logging.ERROR)
    opstrail(prog_name="opstrail")


if __name__ == "__main__":
    main()
