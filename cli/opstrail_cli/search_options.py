"""Options of people's commands: one for each filter of the history API."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from opstrail_history.filters import FILTERS

F = TypeVar("F", bound=Callable[..., Any])
_FACETS = ("account", "region", "source", "name", "callerKind", "user", "role", "stack",
           "errorCode", "sourceIP")  # fmt: skip


def option_name(filter_name: str) -> str:
    """Return a filter's option: `sourceIP` is `--source-ip`."""
    spelled = "".join(
        f"-{one.lower()}" if one.isupper() and not before.isupper() else one.lower()
        for before, one in zip(" " + filter_name, filter_name, strict=False)
    )
    return f"--{spelled}"


def filter_options(command: F) -> F:
    """Add the words, `--since`, `--until` and an option for each filter."""
    for one in reversed(FILTERS):
        choice = click.Choice(one.choices) if one.choices else None
        command = click.option(
            option_name(one.name),
            f"filter_{one.name.lower()}",
            multiple=True,
            type=choice,
            help=one.why,
            shell_complete=None if one.choices or one.name not in _FACETS else completer(one.name),
        )(command)
    command = click.option("--until", help="Until then; a day is meant whole.")(command)
    command = click.option(
        "--since", help="From then on: 2h, 7d, yesterday, 2024-01-15, 2024-01-15T10:30Z."
    )(command)
    return click.argument("words", nargs=-1)(command)


def parameters(given: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the API's parameters of what was given, and take them out of it."""
    words = given.pop("words", ())
    found = [("q", " ".join(words))] if words else []
    times = ((name, given.pop(name, None)) for name in ("since", "until"))
    found.extend((name, value) for name, value in times if value is not None)
    for one in FILTERS:
        found.extend((one.name, value) for value in given.pop(f"filter_{one.name.lower()}", ()))
    return found


def completer(
    filter_name: str,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return what completes a filter by the values that the store holds."""

    def complete(
        _context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Completion must be quick, and silent where no server answers.
        from opstrail_cli.history_client import HistoryClient, Refused  # noqa: PLC0415
        from opstrail_history.settings import ClientSettings  # noqa: PLC0415

        try:
            pairs = [(filter_name, f"{incomplete}*")] if incomplete else []
            counts = HistoryClient(ClientSettings()).get("/api/v1/facets", pairs)["counts"]
        except (Refused, ValueError):
            return []
        return [
            CompletionItem(bucket["value"], help=f"{bucket['count']} events")
            for bucket in counts[filter_name]
            if bucket["value"].startswith(incomplete)
        ]

    return complete
