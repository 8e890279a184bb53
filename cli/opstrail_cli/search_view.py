"""How events look on a terminal (PURE)."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.style import Style
from rich.table import Table
from rich.text import Text

from opstrail_history.row import plain, shortened

Json = Mapping[str, Any]
_OUTCOMES = {"allowed": "green", "denied": "bold red", "failed": "yellow"}
# One of these for each account, the same at every look.
_ACCOUNTS = ("cyan", "magenta", "blue", "yellow", "green", "bright_cyan", "bright_magenta")
NARROW = 120


def table(events: list[Json], *, wide: bool) -> Table:
    """Return events as a table; `wide` has room for addresses and targets."""
    columns = ["when", "who", "did", "account", "region", "stack", "outcome"]
    if wide:
        columns[2:2] = ["from"]
        columns[4:4] = ["to what"]
    found = Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for event in events:
        found.add_row(*cells(event, wide=wide))
    return found


def cells(event: Json, *, wide: bool) -> list[Text]:
    """Return an event's cells; nothing in them can steer the terminal."""
    stack = event["stack"] or {}
    outcome = event["outcome"]
    why = f" {event['errorCode']}" if event["errorCode"] else ""
    found = [
        _text(_clock(event["time"]), "dim"),
        _text(event["who"]["name"], "bold"),
        _text(event["action"]),
        _text(event["accountName"] or event["account"], account_style(event["account"])),
        _text(event["region"] or ""),
        _text(stack.get("name") or stack.get("id") or ""),
        _text(f"{outcome}{why}", _OUTCOMES[outcome]),
    ]
    if wide:
        found[2:2] = [_text(event["address"] or "", "dim")]
        found[4:4] = [_text(", ".join(event["targets"][:2]))]
    return found


def line(event: Json) -> Text:
    """Return an event on one line, as `tail` shows it."""
    return Text("  ").join(cell for cell in cells(event, wide=True) if cell.plain)


def details(found: Json, related: Json, lineage: Json) -> Iterator[Text]:
    """Yield what `show` shows of one event, line by line."""
    event = found["event"]
    yield Text.assemble((plain(event["action"]), "bold"), " ", _outcome(event))
    for name, value in _facts(event, found):
        if value:
            yield Text.assemble((f"{name:<12}", "dim"), plain(value))
    yield Text("")
    yield Text("Who stands behind", "bold")
    for step in lineage["steps"][1:]:
        one = step["event"]
        yield Text(
            plain(f"  {one['who']['name']} by {one['action']}, {_clock(one['time'])}, {one['id']}")
        )
    for said in (lineage["said"], *lineage["notes"]):
        yield Text(f"  {said}", "dim")
    for group, rows in related["groups"].items():
        if rows:
            yield Text("")
            yield Text(f"Related: {group}", "bold")
            for row in rows:
                yield Text("  ") + line(row)


def account_style(account: str) -> Style:
    """Return the colour of an account."""
    return Style.parse(_ACCOUNTS[sum(map(ord, account)) % len(_ACCOUNTS)])


def _facts(event: Json, found: Json) -> Iterator[tuple[str, str]]:
    who, stack, file = event["who"], event["stack"], found["file"]
    delivery = found["opstrail"].get("delivery", {})
    yield "when", _clock(event["time"])
    yield "who", f"{who['name']} ({who['kind']}) {who['arn'] or ''}"
    yield "access key", event["accessKey"] or ""
    yield "from", event["address"] or ""
    yield "service", event["source"]
    yield "to what", ", ".join(event["targets"])
    yield "account", f"{event['accountName'] or ''} {event['account']}".strip()
    yield "region", event["region"] or ""
    if stack:
        yield "stack", f"{stack['name'] or ''} {stack['id'] or ''}".strip()
    yield "flags", ", ".join(event["flags"])
    yield "id", event["id"]
    yield "file", f"{delivery.get('bucket')}/{delivery.get('key')}"
    yield "ledger", "" if file is None else f"{file.get('state')}, {file.get('records')} records"


def _outcome(event: Json) -> Text:
    why = f": {event['errorCode']}" if event["errorCode"] else ""
    return Text(plain(f"{event['outcome']}{why}"), _OUTCOMES[event["outcome"]])


def _clock(time: str | None) -> str:
    return (time or "no time").replace("T", " ")


def _text(value: str, style: str | Style = "") -> Text:
    return Text(shortened(plain(value), 80), style)
