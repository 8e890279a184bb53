"""What the tour shows of the store, and what is not as the sample says it must be (PURE)."""

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opstrail_cli.sample.expectation import Expectation
from opstrail_cli.sample.stacks import RENAMED_AT, SHOP_PROD

Json = Mapping[str, Any]
RUN_WITH_LEFTOVERS = 3
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class StackEvent:
    """An event whose stack is known, with id and name of the stack as the store has them."""

    identity: str
    time: str
    name: str
    stack_id: str
    stack_name: str
    resolution: str
    names_stack: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the store: document ids, dead letters, and counts by some fields.

    `digest` is one of all documents without `opstrail.delivery`.
    """

    identities: AbstractSet[str]
    dead_letters: list[Json]
    by_caller_kind: Mapping[str, int]
    by_credential_kind: Mapping[str, int]
    by_account_name: Mapping[str, int]
    by_stack_id: Mapping[str, int]
    top_callers: list[tuple[str, str, int]]
    stack_calls: list[tuple[str, str, int]]
    stack_events: list[StackEvent]
    digest: str = ""

    @property
    def in_short(self) -> str:
        """All documents in one line: equal lines mean equal documents, whatever came when."""
        return f"{len(self.identities)} documents without opstrail.delivery: sha256 {self.digest}"


def report(result: Json, found: Found) -> RenderableType:
    """Return what the tour shows after the run."""
    parts: list[RenderableType] = [
        _figures(result),
        _counts("Top callers", ("caller", "kind", "calls"), found.top_callers),
        _counts("Calls by stack", ("stack", "call", "calls"), found.stack_calls),
        _as_of(found.stack_events),
        _dead_letters(found.dead_letters),
    ]
    if found.dead_letters:
        whole = json.dumps(found.dead_letters[0], indent=2, ensure_ascii=False)
        parts += [Text("One dead letter in full:", style="bold"), Text(whole), Text("")]
    return Group(*parts)


def differences(exit_code: int, result: Json, found: Found, wanted: Expectation) -> Iterator[str]:
    """Yield what differs, one line each, between a first run and what it must end with."""
    figures = {
        "files": wanted.files,
        "records": wanted.records,
        "stored": len(wanted.identities),
        "alreadyThere": wanted.repeats,
        "deadLetters": len(wanted.dead_letters),
        "deferred": len(wanted.deferred),
        "expired": 0,
        "pendingRetries": 0,
    }
    for name, figure in figures.items():
        if result.get(name) != figure:
            yield f"run says {name} {result.get(name)}, the sample has {figure}"
    if exit_code != RUN_WITH_LEFTOVERS:
        yield f"run ended with {exit_code}, not {RUN_WITH_LEFTOVERS} (dead letters are left)"
    yield from _other_contents(found, wanted)
    for what, counted, right in (
        ("caller kind", found.by_caller_kind, wanted.by_caller_kind),
        ("credential kind", found.by_credential_kind, wanted.by_credential_kind),
        ("account name", found.by_account_name, wanted.by_account_name),
    ):
        for name in sorted(counted.keys() | right.keys()):
            if counted.get(name, 0) != right.get(name, 0):
                yield f"{counted.get(name, 0)} events of {what} {name!r}, not {right.get(name, 0)}"
    yield from _other_stacks(found, wanted)


def _other_contents(found: Found, wanted: Expectation) -> Iterator[str]:
    dead = {(str(each["key"]), str(each["reason"])) for each in found.dead_letters}
    for what, there, want in (
        ("events", found.identities, wanted.identities),
        ("dead letters", dead, wanted.dead_letters),
    ):
        if missing := want - there:
            yield f"{len(missing)} {what} are missing, such as {_some(missing)}"
        if more := there - want:
            yield f"{len(more)} {what} are in the store and not in the sample: {_some(more)}"


def _other_stacks(found: Found, wanted: Expectation) -> Iterator[str]:
    for stack, least in wanted.naming_stack.items():
        if found.by_stack_id.get(stack, 0) < least:
            yield f"{found.by_stack_id.get(stack, 0)} calls of stack {stack}, not {least} or more"
    stacks = {each.identity: (each.stack_id, each.stack_name) for each in found.stack_events}
    for identity, (stack, name) in wanted.stacks.items():
        if stacks.get(identity) != (stack, name):
            yield f"{identity} has stack {stacks.get(identity)}, not {stack} {name!r}"


def _some(things: AbstractSet[Any]) -> str:
    return ", ".join(sorted(str(thing) for thing in things)[:_SHOWN])


def _table(title: str, *columns: str, numbers: bool = True) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns[:-1]:
        table.add_column(column, overflow="fold")
    table.add_column(columns[-1], justify="right" if numbers else "left", overflow="fold")
    return table


def _figures(result: Json) -> Table:
    table = _table("What came of it", "", "number")
    for name, what in (
        ("files", "files"),
        ("deferred", "  no trail files: kept for later"),
        ("records", "records"),
        ("stored", "  stored"),
        ("alreadyThere", "  already there: the other trail brought them too"),
        ("repaired", "  repaired: a later file, or an import, told more about their stack"),
        ("deadLetters", "dead letters"),
        ("seconds", "seconds, processes' start included"),
    ):
        figure = result.get(name, 0)
        table.add_row(what, f"{figure:,}")
    return table


def _counts(title: str, columns: tuple[str, str, str], rows: list[tuple[str, str, int]]) -> Table:
    table = _table(title, *columns)
    for name, kind, number in rows:
        table.add_row(name, kind, f"{number:,}")
    return table


def _as_of(events: list[StackEvent]) -> Table:
    """Return the last call before the rename, the first after it, and one by its instance only."""
    table = _table("Stacks as of the event's time", "time", "event", "stack", "id", "found by")
    table.columns[-1].justify = "left"
    told = sorted(events, key=lambda each: each.time)
    before = [each for each in told if each.time < RENAMED_AT and each.stack_id == SHOP_PROD.id]
    after = [each for each in told if each.time > RENAMED_AT and each.stack_id == SHOP_PROD.id]
    by_instance = [each for each in told if each.name == "StopInstance" and not each.names_stack]
    for each in sorted({*before[-1:], *after[:1], *by_instance[:1]}, key=lambda e: e.time):
        table.add_row(each.time, each.name, each.stack_name, each.stack_id, each.resolution)
    return table


def _dead_letters(letters: list[Json]) -> Table:
    table = _table("Dead letters", "reason", "file", "bytes", "what is wrong", numbers=False)
    for each in letters:
        place = f"{each['startByte']}-{each['endByte']}" if each.get("endByte") else "whole file"
        table.add_row(each["reason"], _name(each), place, each["message"])
    return table


def _name(letter: Json) -> str:
    return str(letter.get("key") or letter.get("topic")).rpartition("/")[2]
