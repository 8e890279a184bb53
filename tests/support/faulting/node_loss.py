"""A node that is lost for good, inside a transaction of each of its processes: what that takes."""

import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.faulting.fleet import Fleet, Member
from tests.support.faulting.looks import READS

ROLES = ("split", "enrich", "store")


@dataclass(slots=True)
class _Loss:
    """One process that is gone: what it left, and how long that took to go on, in seconds."""

    role: str
    died_at: float
    committed: Mapping[str, int]  # by partition that it had, where records were left
    stable: Mapping[str, int]  # last stable offsets of partitions with an open transaction
    taken_s: float = 0.0
    freed_s: float = 0.0


@dataclass(slots=True)
class NodeLoss:
    """Loses a node in a run under faults; after it, says how long things took."""

    taken_s: dict[str, float] = field(default_factory=dict)
    """By role: until each partition that was lost with work left in it moved on."""
    freed_s: dict[str, float] = field(default_factory=dict)
    """By role: until each last stable offset that stood still at the death moved on."""

    def __call__(self, fleet: Fleet, keys: list[str], rng: random.Random) -> None:
        """Start two of each role; the second ones kill themselves and do not come back."""
        for role in ("discover", *ROLES):
            fleet.start(role)
        node = [
            fleet.start(role, 1, plan=[f"{role}.after-offsets:{rng.randrange(4, 9)}"])
            for role in ROLES
        ]
        for member in node:
            del fleet.members[member.name]  # so that nobody starts it again
        fleet.feed(keys)
        losses: list[_Loss] = []

        def gone_on() -> bool:
            gone = [(each, time.monotonic()) for each in node if not each.runs]
            for member, died_at in gone:
                node.remove(member)
                fleet.faults[f"lost for good {member.role}"] += 1
                losses.append(_loss(fleet, member, died_at))
            _look(fleet, losses)
            return not node and all(each.taken_s and each.freed_s for each in losses)

        try:
            fleet.until(gone_on, "work of the lost node goes on")
        finally:
            for member in node:
                member.send(signal.SIGKILL)
        self.taken_s |= {each.role: each.taken_s for each in losses}
        self.freed_s |= {each.role: each.freed_s for each in losses}


def _loss(fleet: Fleet, member: Member, died_at: float) -> _Loss:
    stable = fleet.looks.open_partitions()
    had = fleet.looks.assigned(member.role, f"{fleet.installed.name}.{member.name}")
    read = fleet.looks.progress()[member.role]
    own = fleet.installed
    waiting = {
        f"{own.topic(name)} {message.partition}"
        for name in READS[member.role]
        for message in own.messages(name)
        if message.offset >= read[f"{own.topic(name)} {message.partition}"].committed
    }
    left = {each: read[each].committed for each in had if each in waiting}
    assert left, f"{member.name} left nothing in work"
    assert stable, f"{member.name} left no transaction open"
    return _Loss(member.role, died_at, left, stable)


def _look(fleet: Fleet, losses: list[_Loss]) -> None:
    waiting = [each for each in losses if not (each.taken_s and each.freed_s)]
    if not waiting:
        return
    progress, stable = fleet.looks.progress(), fleet.looks.open_partitions()
    now = time.monotonic()
    for each in waiting:
        read = progress[each.role]
        if not each.taken_s and all(read[at].committed > was for at, was in each.committed.items()):
            each.taken_s = now - each.died_at
        if not each.freed_s and all(
            stable.get(at, was + 1) > was for at, was in each.stable.items()
        ):
            each.freed_s = now - each.died_at
