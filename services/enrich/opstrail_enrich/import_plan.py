"""What an import would write: facts that are new, those there already, contradictions (PURE)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName

Fact = TypeVar("Fact", StackFact, Account)


@dataclass(frozen=True, slots=True)
class ImportPlan(Generic[Fact]):
    """An import before it is done. `contradictions` say what is known otherwise."""

    new: Mapping[bytes, Fact]
    already_there: int
    contradictions: Sequence[str]

    def outputs(self, topic: TopicName, codec: Codec[Fact]) -> list[Output]:
        """Return the messages to write."""
        return [Output(topic, digest, codec.encode(fact)) for digest, fact in self.new.items()]


def plan_import(
    facts: Sequence[Fact],
    is_known: Callable[[bytes], bool],
    contradictions_of: Callable[[Fact], Sequence[str]],
) -> ImportPlan[Fact]:
    """Plan the import of facts into a set.

    Two facts of the same time that contradict each other leave a name unknown, so an import that
    brings such a fact is shown: it needs the time from which the new name holds.
    """
    by_digest = {digest_of(fact): fact for fact in facts}
    new = {digest: fact for digest, fact in by_digest.items() if not is_known(digest)}
    return ImportPlan(
        new,
        len(facts) - len(new),
        [text for fact in new.values() for text in contradictions_of(fact)],
    )
