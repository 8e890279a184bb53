"""Who may do what in Kafka: a table for each role, made from the topic files (PURE).

Topics follow from each file's `writers` and `readers`. The rest is what a role's own clients need:
its group, the group by which it reads state, its transactional ids, and the groups and topics whose
lag it asks for. `deploy/helm` makes Strimzi's users of this table; a test holds it against a broker
with ACLs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opstrail_schemas.topics import TopicName, topic


class Role(StrEnum):
    """Who speaks to Kafka, as the topic files call them."""

    DISCOVER = "discover"
    SPLIT = "split"
    ENRICH = "enrich"
    STORE = "store"  # and the repair, `store reread`
    IMPORTS = "imports"  # `opstrail catalog`: imports, and the sync of accounts
    OPERATORS = "operators"  # people: `opstrail doctor` looks at all, `dead-letters retry` mends


class Kind(StrEnum):
    """What a right is about."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One right. `name` lacks the installation's prefix, or its slots' namespace: see `full`."""

    kind: Kind
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False

    def full(self, *, topic_prefix: str, slot_namespace: str) -> str:
        """Return the name in Kafka."""
        before = slot_namespace if self.kind is Kind.TRANSACTIONAL_ID else topic_prefix
        return f"{before}.{self.name}" if before else self.name


READ = ("Describe", "Read")
WRITE = ("Describe", "Write")
LOOK = ("Describe",)
# Groups that a role reads as a member or under whose name it keeps a place; `….state` ones only
# name a reader of whole partitions, but a client asks for the coordinator of any group it has.
_GROUPS: Mapping[Role, Sequence[str]] = {
    Role.DISCOVER: ("discover.state",),
    Role.SPLIT: ("split", "split.state"),
    Role.ENRICH: ("enrich", "enrich.state"),
    Role.STORE: ("store", "reread", "reread.state"),
    Role.IMPORTS: ("catalog.state",),
    Role.OPERATORS: ("dead-letters.state",),
}
# Slots end in a dot and a number.
_SLOTS: Mapping[Role, Sequence[str]] = {
    Role.SPLIT: ("split.",),
    Role.ENRICH: ("enrich.",),
    Role.STORE: ("store.", "reread."),
    Role.IMPORTS: ("catalog",),
    Role.OPERATORS: ("dead-letters",),
}
# Whose lag a role asks for: a backfill waits for all, the repair for those that it goes through.
_LAGS: Mapping[Role, Sequence[Role]] = {
    Role.DISCOVER: (Role.SPLIT, Role.ENRICH, Role.STORE),
    Role.STORE: (Role.ENRICH, Role.STORE),
    Role.OPERATORS: (Role.SPLIT, Role.ENRICH, Role.STORE),
}
# What those groups read, of which the ends are asked for.
_READ_BY_GROUP: Mapping[Role, Sequence[TopicName]] = {
    Role.SPLIT: (TopicName.FILES_NOTICED,),
    Role.ENRICH: (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD),
    Role.STORE: (
        TopicName.EVENTS_ENRICHED,
        TopicName.EVENTS_REPAIRED,
        TopicName.FILES_LEDGER,
        TopicName.DEAD_LETTERS,
    ),
}


def acls(role: Role) -> list[Acl]:
    """Return all that a role may do, and nothing more, in a fixed order."""
    return sorted([*_topics(role), *_groups(role), *_transactions(role)])


def _topics(role: Role) -> list[Acl]:
    lagging = {name for other in _LAGS.get(role, ()) for name in _READ_BY_GROUP[other]}
    found = []
    for name in TopicName:
        described = topic(name)
        operations: set[str] = set()
        if role in described.writers:
            operations |= set(WRITE)
        if role in described.readers:
            operations |= set(READ)
        if name in lagging:
            operations |= set(LOOK)
        if role is Role.OPERATORS:
            operations |= {"Describe", "DescribeConfigs"}
        if operations:
            found.append(Acl(Kind.TOPIC, described.name, tuple(sorted(operations))))
    return found


def _groups(role: Role) -> list[Acl]:
    own = [f"opstrail.{name}" for name in _GROUPS[role]]
    others = [f"opstrail.{other}" for other in _LAGS.get(role, ())]
    return [
        *(Acl(Kind.GROUP, name, READ) for name in own),
        *(Acl(Kind.GROUP, name, LOOK) for name in others if name not in own),
    ]


def _transactions(role: Role) -> list[Acl]:
    return [
        Acl(Kind.TRANSACTIONAL_ID, name, WRITE, prefixed=name.endswith("."))
        for name in _SLOTS.get(role, ())
    ]
