"""What is known about OpsWorks stacks: a fold over the set of stack facts (PURE).

Facts are filed under the keys that they concern. A fact about one thing may lead to another: an
instance to its stack, a clone to its source, a service role to its stacks; never a stack to what
is in it, else every event of a stack would hang on all its instances.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from opstrail_enrich.as_of import LATEST, Said, as_of, holds
from opstrail_runtime.fact_table import FactTable
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import StackFact

_DEFINES: Final = frozenset(
    {"stackDefined", "stackChanged", "stackCloned", "childBelongs", "childDefined"}
)
# Registered with one stack now and with another later; layers, instances and apps never move.
_MOVES: Final = frozenset({"volume", "elasticIp", "loadBalancer", "rds", "ecsCluster"})


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as of a time."""

    account_id: str
    stack_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    status: str | None = None


class StackCatalog:
    """All stack facts known, in any order, each once."""

    def __init__(self) -> None:
        self.facts = FactTable(StackFact)

    def attributes(self, key: str, at: int | None = LATEST) -> dict[str, str]:
        """Return what is known of a thing as of a time: its name and more."""
        return as_of(
            at,
            (
                Said(fact.valid_from, fact.event_id, fact.attributes)
                for fact in self.facts.about(key)
                if fact.kind in _DEFINES
            ),
        )

    def stack(self, account_id: str, stack_id: str, at: int | None = LATEST) -> StackState:
        """Return a stack as of a time; of an unknown one there are no attributes, no status."""
        key = key_of(account_id, None, "stack", stack_id)
        kinds = {fact.kind for fact in self.facts.about(key) if holds(fact.valid_from, at)}
        status = "active" if kinds & _DEFINES else None
        if "stackDeleted" in kinds:
            status = "deleted"
        return StackState(account_id, stack_id, self.attributes(key, at), status)

    def stacks_of(self, kind: str, key: str, at: int | None) -> set[str]:
        """Return the stacks that a thing belongs to as of a time: one, none, or a contradiction."""
        links = [f for f in self.facts.about(key) if f.kind in ("childBelongs", "linkEnds")]
        if kind not in _MOVES:
            # A link learnt from a later call holds before it too: ids like these never move.
            return {f.stack_id for f in links if f.stack_id and f.kind == "childBelongs"}
        links = [f for f in links if holds(f.valid_from, at)]
        last = max((_moment(f) for f in links), default=None)
        return {
            f.stack_id
            for f in links
            if f.stack_id and f.kind == "childBelongs" and _moment(f) == last
        }

    def contradictions(self, fact: StackFact) -> list[str]:
        """Return what is known otherwise of the same time: together they leave it unknown."""
        key = fact.concerns[0]
        known = as_of(
            LATEST,
            (
                Said(None, None, _said_by(other))
                for other in self.facts.about(key)
                if other.kind in _DEFINES and other.valid_from == fact.valid_from
            ),
        )
        return [
            f"{key}: {name} is {value!r} here, {known[name]!r} is known"
            for name, value in _said_by(fact).items()
            if known.get(name, value) != value
        ]

    def stacks(self) -> Iterator[StackState]:
        """Yield every stack that a fact defines, as known last."""
        known = {
            (fact.account_id, fact.stack_id)
            for fact in self.facts.facts()
            if fact.stack_id is not None
        }
        for account_id, stack_id in sorted(known):
            yield self.stack(account_id, stack_id)


def _said_by(fact: StackFact) -> dict[str, str]:
    return {**fact.attributes, "stackId": fact.stack_id or ""}


def _moment(fact: StackFact) -> tuple[bool, int, str]:
    return fact.valid_from is not None, fact.valid_from or 0, fact.event_id or ""
