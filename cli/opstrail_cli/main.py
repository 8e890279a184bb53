"""The `opstrail` command: gathers the services' commands."""

import click

from opstrail_cli.run import run
from opstrail_cli.schemas_commands import schemas, topics
from opstrail_enrich.commands import catalog, enrich
from opstrail_ingest.commands import ingest
from opstrail_store.commands import store


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opstrail")
def opstrail() -> None:
    """CloudTrail files to typed Kafka topics and a searchable store."""


for command in (run, ingest, enrich, store, catalog, schemas, topics):
    opstrail.add_command(command)

try:
    from opstrail_local.commands import local
except ModuleNotFoundError:  # the extra `local` is not installed: images do without it
    pass
else:
    opstrail.add_command(local)


def main() -> None:
    """Run the command line."""
    opstrail(prog_name="opstrail")


if __name__ == "__main__":
    main()
