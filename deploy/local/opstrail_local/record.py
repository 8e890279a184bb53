"""The record of one state folder: which servers it has, how each is run, which process it is."""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from opstrail_local.process import Proof
from opstrail_local.server import Server


@dataclass(frozen=True, slots=True)
class Entry:
    """A server, and the process that it last was. That process may be dead by now."""

    server: Server
    process: Proof


@dataclass(frozen=True, slots=True)
class Record:
    """What must outlive the command that started the servers."""

    cluster_id: str
    """Kafka's; the data of the state folder belongs to it."""
    kafka_nodes: int
    entries: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry | None:
        """The entry of this server, if it was ever started."""
        return next((entry for entry in self.entries if entry.server.name == name), None)

    def with_entry(self, new: Entry) -> "Record":
        """The record after this server was started (again)."""
        others = [e for e in self.entries if e.server.name != new.server.name]
        return replace(self, entries=(*others, new))


def read(state: Path) -> Record | None:
    """The record, or None where no server was ever started."""
    try:
        text = _file(state).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(text, type=Record)


def write(state: Path, record: Record) -> None:
    """Replace the record in one step."""
    fresh = _file(state).with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    fresh.replace(_file(state))


def _file(state: Path) -> Path:
    return state / "instance.json"
