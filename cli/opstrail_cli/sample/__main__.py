"""`python -m opstrail_cli.sample FOLDER`: write the sample archive and say what is in it."""

import argparse
import sys
from pathlib import Path

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.expectation import expected
from opstrail_cli.sample.folder import write


def main() -> int:
    """Write the archive."""
    parser = argparse.ArgumentParser(prog="python -m opstrail_cli.sample", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    contents = archive()
    trails, facts = write(contents, parser.parse_args().folder)
    wanted = expected(contents)
    sys.stdout.write(
        f"{trails}: {wanted.files} files, {wanted.records} records, "
        f"{len(wanted.identities)} different events, {len(wanted.dead_letters)} that are broken\n"
        f"{facts}: the accounts' names and the stacks' inventories\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
