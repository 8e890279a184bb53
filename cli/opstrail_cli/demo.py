"""`python -m opstrail_cli.demo [--once] [--shuffle SEED]`, which is `make demo`.

A newcomer's tour on real servers:

1. Write the sample archive: 72 small files of three made-up accounts.
2. Start Kafka, a schema registry, OpenSearch and an S3 + SQS stand-in on this machine.
3. Import what the trail does not say: the accounts' names, the stacks' inventories.
4. `opstrail run FOLDER --until-idle --json`: every service is a process of its own.
5. Show what is in the store now: the life of a renamed stack, each event with the name of its time,
   and where to look at it.

With --once everything lies in a folder of its own and is gone at the end, the servers too, and the
exit code is 1 unless the store holds exactly what the sample holds. Without, servers and data stay.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from opstrail_cli.demo_report import RUN_WITH_LEFTOVERS, differences, report
from opstrail_cli.demo_store import look
from opstrail_cli.history_process import give_up
from opstrail_cli.installation import Installation
from opstrail_cli.own_name import own_name
from opstrail_cli.sample.archive import archive, in_another_order
from opstrail_cli.sample.expectation import Expectation, expected
from opstrail_cli.sample.folder import write
from opstrail_cli.sample.stacks import RENAMED_TO
from opstrail_local.errors import LocalServersError
from opstrail_local.instance import Addresses, down, up
from opstrail_local.places import default_cache, default_state
from opstrail_runtime.command_line import table_of
from opstrail_store.settings import Settings

PLAIN_WIDTH = 110


@dataclass
class Failed(Exception):
    """A command of the tour ended otherwise than it must."""

    command: str
    exit_code: int

    def __str__(self) -> str:
        return f"`{self.command}` ended with {self.exit_code}; its own words stand above"


def tour(
    folder: Path,
    addresses: Addresses,
    say: Callable[..., None],
    *,
    once: bool,
    shuffle: int | None,
) -> list[str]:
    """Take the sample through the services and show the store; return what is not as it must be."""
    contents = archive() if shuffle is None else in_another_order(archive(), shuffle)
    # Of two shuffles in a row one has the imports before the files, the other after them.
    imports_last = shuffle is not None and shuffle % 2 == 0
    wanted = expected(contents)
    trails, facts = write(contents, folder)
    say(f"[bold]The sample:[/bold] {wanted.files} files in {trails}")
    _set_environment(addresses, folder if once else None)
    Installation(Settings()).set_up()
    if not imports_last:
        _import_facts(facts, say)
    code, result = _run(trails, say)
    if imports_last:
        _import_facts(facts, say)
        again, repairs = _run(trails, say)
        code, result["repaired"] = max(code, again), result["repaired"] + repairs["repaired"]
    _command(["catalog", "stacks", "timeline", RENAMED_TO], say, "since", "what", "change")
    _command(["catalog", "accounts", "list"], say, "accountId", "name", "since")
    found = look(addresses.opensearch)
    say(report(result, found))
    say(f"[bold]In short:[/bold] {found.in_short}\n")
    say("[bold]To search next:[/bold]")
    say(f"  {result['page']}        a page to search, view and follow", markup=False)
    say(f"  {result['search']}", markup=False)
    _say_servers(addresses, say, once=once)
    return list(differences(code, result, found, wanted)) if once else _odd(result, wanted)


def _odd(result: Mapping[str, Any], wanted: Expectation) -> list[str]:
    """The store may hold other things already: only the files can be told."""
    seen = result.get("files")
    return [] if seen == wanted.files else [f"run says {seen} files, not {wanted.files}"]


def _import_facts(facts: Path, say: Callable[..., None]) -> None:
    stacks = sorted(str(file) for file in facts.glob("stacks-*.json"))
    _command(["catalog", "accounts", "import", str(facts / "accounts.csv"), "--execute"], say)
    _command(["catalog", "stacks", "import", *stacks, "--execute"], say)


def _run(trails: Path, say: Callable[..., None]) -> tuple[int, dict[str, Any]]:
    say(f"[bold]$ opstrail run {trails} --until-idle --json[/bold]")
    code, out = _opstrail("run", str(trails), "--until-idle", "--json")
    if code not in (0, RUN_WITH_LEFTOVERS):
        raise Failed("opstrail run", code)
    say(f"{out.strip()}\n", markup=False)
    return code, json.loads(out)


def _command(command: list[str], say: Callable[..., None], *columns: str) -> None:
    """Run a command and show its rows, of which only `columns` if there are any."""
    say(f"[bold]$ opstrail {' '.join(command)}[/bold]")
    code, out = _opstrail(*command)
    if code != 0:
        raise Failed(f"opstrail {' '.join(command[:3])}", code)
    rows: list[dict[str, object]] = json.loads(out)
    say(table_of([{name: row[name] for name in columns or row} for row in rows]))
    say("")


def _opstrail(*arguments: str) -> tuple[int, str]:
    """Run a command of `opstrail`; its stderr is ours. Returns exit code and stdout."""
    with subprocess.Popen(
        [sys.executable, "-m", "opstrail_cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, _ = process.communicate()
        except BaseException:
            process.terminate()  # it stops its services in order
            process.wait()
            raise
    return process.returncode, out


def _set_environment(addresses: Addresses, own_state: Path | None) -> None:
    """Name the tour's own servers to us and to all commands; drop what would lead elsewhere."""
    for name in list(os.environ):
        if name.startswith(("OPSTRAIL_", "AWS_")):
            del os.environ[name]
    os.environ.update(addresses.environment())
    if own_state is not None:
        os.environ["XDG_STATE_HOME"] = str(own_state / "state")


def _say_servers(addresses: Addresses, say: Callable[..., None], *, once: bool) -> None:
    if once:
        say("The tour's servers, and this page with them, end now; without ONCE=1 they stay up.")
        return
    say("[bold]The servers stay up:[/bold]")
    for name, url in (
        ("Kafka", addresses.kafka),
        ("registry", addresses.registry),
        ("OpenSearch", addresses.opensearch),
        ("S3 + SQS", addresses.aws),
    ):
        say(f"  {name:12}{url}", markup=False)
    name = own_name()
    say(f"  {name} local down          stops them (--delete-data: and forgets everything)")
    say(f"  {name} local status        shows them")


@contextmanager
def _folder(*, once: bool) -> Iterator[Path]:
    if not once:
        yield default_state().parent / "demo"
        return
    with tempfile.TemporaryDirectory(prefix="opstrail-demo-") as folder:
        yield Path(folder)


@contextmanager
def _servers(folder: Path, console: Console, *, once: bool) -> Iterator[Addresses]:
    state = folder / "servers" if once else default_state()
    try:
        yield up(state, cache=default_cache(), console=console)
    finally:
        if once:
            down(state, delete_data=True, console=console)


def main() -> int:
    """Run the tour."""
    parser = argparse.ArgumentParser(
        prog="python -m opstrail_cli.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="clean up at the end, and check")
    parser.add_argument(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="notice the files in another order; with an even seed the imports come last",
    )
    arguments = parser.parse_args()
    once = arguments.once
    out = Console()
    if not out.is_terminal:
        out = Console(width=PLAIN_WIDTH)
    said = Console(stderr=True)

    def say(*words: Any, **options: Any) -> None:
        out.print(*words, highlight=False, soft_wrap=isinstance(words[0], str), **options)

    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        with _folder(once=once) as folder, _servers(folder, said, once=once) as addresses:
            wrong = tour(folder, addresses, say, once=once, shuffle=arguments.shuffle)
            if once:
                give_up()
    except KeyboardInterrupt:
        return 130
    except (Failed, LocalServersError) as error:
        said.print(str(error), style="red", markup=False)
        return 1
    for line in wrong:
        said.print(f"not as it must be: {line}", style="red", markup=False)
    if once and not wrong:
        say("\n[green]The store holds exactly what the sample holds.[/green]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
