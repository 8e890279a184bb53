"""What is known about OpsWorks stacks: a fold over the set of stack facts (PURE).

All is as of a time, that of the event which is looked at. What the facts leave open is unknown, and
what they contradict is a conflict: never a guess. Links may go in circles; walks end all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from opstrail_enrich.as_of import LATEST, Said, as_of, holds
from opstrail_enrich.role_users import Use, Users, UsersByTime
from opstrail_runtime.fact_table import FactTable
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import StackFact

_DEFINES: Final = frozenset({"stackDefined", "stackChanged", "stackCloned"})
_SHOW_LINK: Final = frozenset({"childBelongs", "childSeen"})
_OF_CHILD: Final = frozenset({"childBelongs", "childDefined"})
# Registered with one stack now and with another later; layers, instances and apps never move.
MOVES: Final = frozenset({"volume", "ec2Volume", "elasticIp", "loadBalancer", "rds", "ecsCluster"})
MOST_REMEMBERED: Final = 20_000  # beyond it all are worked out anew
DAY_MS: Final = 86_400_000
# A clone has these of its own.
_NOT_CLONED: Final = frozenset({"name", "createdAt", "arn"})
_NEVER_CHANGE: Final = frozenset({"region", "vpcId"})
# How far the CreatedAt of an inventory may be from the event that made the stack.
_SAME_CREATION_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as of a time."""

    account_id: str
    stack_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    status: str | None = None


class Creation(NamedTuple):
    """A creation without id, its stack where that is certain, and the stacks that it may be."""

    fact: StackFact
    stack_id: str | None
    candidates: Sequence[str]


class StackCatalog:
    """All stack facts known, in any order, each once.

    `most_remembered` bounds the histories that are kept for who asks again.
    """

    def __init__(self, *, most_remembered: int = MOST_REMEMBERED) -> None:
        self.facts = FactTable(StackFact)
        self._most_remembered = most_remembered
        self._changes = 0
        self._histories: dict[str, list[Said]] = {}
        self._users: dict[str, UsersByTime] = {}

    @property
    def remembered(self) -> int:
        """How many histories, of things and of roles, are kept."""
        return len(self._histories) + len(self._users)

    # Stacks

    def stack(self, account_id: str, stack_id: str, at: int | None = LATEST) -> StackState:
        """Return a stack as of a time; of an unknown one there are no attributes, no status."""
        key = key_of(account_id, None, "stack", stack_id)
        kinds = {fact.kind for fact in self.facts.about(key) if holds(fact.valid_from, at)}
        status = "active" if kinds & _DEFINES else None
        if "stackDeleted" in kinds:
            status = "deleted"
        elif status is None and (orphan := self.orphan_of(key)) and holds(orphan.valid_from, at):
            status = "active"
        return StackState(account_id, stack_id, as_of(at, self._history(key)), status)

    def attributes(self, key: str, at: int | None = LATEST) -> dict[str, str]:
        """Return what is known of a layer, an instance or an app as of a time."""
        return as_of(at, self._history(key))

    def orphan_of(self, key: str) -> StackFact | None:
        """Return the creation of a stack whose record shows no id, where it can be no other's.

        It is found by the name: exactly one creation without id had it, and of all stacks that
        ever had it, exactly this one has no creation of its own. It must be the first name that an
        event gives with the id, or an inventory's. Nothing may contradict it: a CreatedAt, a Region
        or VPC, and whatever happened to the stack before.
        """
        own = self.facts.about(key)
        if any(_is_creation(fact) for fact in own):
            return None
        found: dict[str | None, StackFact] = {}
        for name in _names_from_the_start(own):
            facts = self.facts.about(name)
            created = {fact.stack_id for fact in facts if _is_creation(fact)}
            others = {fact.stack_id for fact in facts} - created - {None}
            if others != {own[0].stack_id}:
                continue
            for fact in facts:
                if fact.stack_id is None and _can_have_made(fact, own):
                    found[fact.event_id] = fact
        return next(iter(found.values())) if len(found) == 1 else None

    def created_by(self, name_key: str, event_id: str) -> Creation | None:
        """Return what a creation without id says, and the stack that it turned out to be."""
        facts = self.facts.about(name_key)
        orphan = next((f for f in facts if f.stack_id is None and f.event_id == event_id), None)
        if orphan is None:
            return None
        perhaps = []
        for stack_id in sorted({fact.stack_id for fact in facts if fact.stack_id}):
            key = key_of(orphan.account_id, None, "stack", stack_id)
            joined = self.orphan_of(key)
            if joined is not None and joined.event_id == event_id:
                return Creation(orphan, stack_id, [stack_id])
            own = self.facts.about(key)
            if not any(map(_is_creation, own)) and _can_have_made(orphan, own):
                perhaps.append(stack_id)
        return Creation(orphan, None, perhaps)

    def users_of_role(self, account_id: str, arn: str, at: int | None) -> Users:
        """Return the stacks whose service role this is as of a time; deleted ones have none."""
        self._forget_what_changed()
        key = key_of(account_id, None, "role", arn)
        known = self._users.get(key)
        if known is None:
            known = UsersByTime(self._uses(account_id, key, arn))
            self._make_room()
            self._users[key] = known
        return known.at(at)

    def _uses(self, account_id: str, key: str, arn: str) -> Iterator[Use]:
        facts = self.facts.about(key)
        stacks = {fact.stack_id for fact in facts if fact.stack_id}
        for fact in facts:
            if fact.stack_id is None:
                made = self._creation(fact)
                if made.stack_id is None:
                    yield Use(made.candidates, certain=False, since=fact.valid_from, until=LATEST)
                else:
                    stacks.add(made.stack_id)
        for stack_id in stacks:
            yield from self._uses_by(account_id, stack_id, arn)

    def _uses_by(self, account_id: str, stack_id: str, arn: str) -> Iterator[Use]:
        """Yield when a stack has a role. What ends it holds only after its moment."""
        key = key_of(account_id, None, "stack", stack_id)
        said = [one for one in self._history(key) if "serviceRoleArn" in one.attributes]
        ends = [f.valid_from for f in self.facts.about(key) if f.kind == "stackDeleted"]
        deleted = min((time for time in ends if time is not None), default=LATEST)
        always: list[int | None] = [None] if any(one.since is None for one in said) else []
        times = always + sorted({one.since for one in said if one.since is not None})
        for since, until in zip(times, [*times[1:], LATEST], strict=False):
            last = min(LATEST if until is None else until, deleted)
            if as_of(since, said).get("serviceRoleArn") == arn and (since is None or since <= last):
                yield Use((stack_id,), certain=True, since=since, until=last)

    def _creation(self, orphan: StackFact) -> Creation:
        names = _names_of(orphan)
        found = self.created_by(names[0], orphan.event_id or "") if names else None
        return found or Creation(orphan, None, ())

    def stacks(self) -> Iterator[StackState]:
        """Yield every stack that a fact names, as known last."""
        known = {(fact.account_id, fact.stack_id) for fact in self.facts.facts() if fact.stack_id}
        for account_id, stack_id in sorted(known):
            yield self.stack(account_id, stack_id)

    def accounts_of_stacks(self) -> dict[str, str]:
        """Return the account of each stack id that is known in one account only."""
        accounts: dict[str, set[str]] = {}
        for state in self.stacks():
            accounts.setdefault(state.stack_id, set()).add(state.account_id)
        return {stack_id: one for stack_id, (one, *more) in accounts.items() if not more}

    def everything(self, account_id: str, stack_id: str) -> dict[str, str]:
        """Return all that is known last of a stack, also what shapes no document.

        That is settings, tags and rights. A setting that came along with a new name is no detail:
        whichever was said last counts.
        """
        details = (
            Said(f.valid_from, f.event_id, {f"permission:{f.subject_id}": _level(f)})
            if f.kind == "permission"
            else _as_said(f)
            for f in self.facts.about(key_of(account_id, None, "details", stack_id))
        )
        stack = self._history(key_of(account_id, None, "stack", stack_id))
        return as_of(LATEST, (*stack, *details))

    def called(self, name_or_id: str) -> list[StackState]:
        """Return the stacks that have this id, or had this name at some time."""
        found = {
            (fact.account_id, fact.stack_id)
            for fact in self.facts.facts()
            if fact.stack_id and name_or_id in (fact.stack_id, fact.attributes.get("name"))
        }
        named = [state for state in self.stacks() if state.attributes.get("name") == name_or_id]
        found |= {(state.account_id, state.stack_id) for state in named}
        return [self.stack(account_id, stack_id) for account_id, stack_id in sorted(found)]

    # What belongs to stacks

    def stacks_of(self, kind: str, key: str, at: int | None) -> set[str]:
        """Return the stacks that a thing belongs to as of a time: one, none, or a contradiction."""
        return self._stacks_of(kind, key, at, set())

    def perhaps_stacks_of(self, key: str, at: int | None) -> set[str]:
        """Return the stacks that a weak link speaks for: an address at another stack's instance."""
        weak = [f for f in self.facts.about(key) if _is_weak(f) and holds(f.valid_from, at)]
        last = max(map(moment, weak), default=None)
        return {
            stack_id
            for fact in weak
            if moment(fact) == last
            for kind, other in _other_sides(fact, key)
            for stack_id in self.stacks_of(kind, other, fact.valid_from)
        }

    def _stacks_of(
        self, kind: str, key: str, at: int | None, seen: set[tuple[str, int | None]]
    ) -> set[str]:
        visit = (key, at if kind in MOVES else None)
        if visit in seen:
            return set()
        seen.add(visit)
        facts: Sequence[StackFact] = self.facts.about(key)
        if kind not in MOVES:
            # A link learnt from a later call holds before it too: ids like these never move.
            found = {f.stack_id for f in facts if f.kind == "childBelongs" and f.stack_id}
            return found.union(*(self._same_as(fact, key, seen) for fact in facts))
        facts = _without_explained(facts)
        known = [fact for fact in facts if holds(fact.valid_from, at)]
        # An end is itself a call on what it ends: it holds only after its moment.
        found = self._linked(
            [f for f in known if f.kind != "linkEnds" or f.valid_from != at], key, seen
        )
        doubtful = [f.valid_from for f in known if f.valid_from is not None and _is_doubtful(f, at)]
        if doubtful:  # what was before may still be so
            before = min(doubtful) - 1
            found |= self._linked([f for f in known if holds(f.valid_from, before)], key, seen)
        return {stack_id for stack_id in found if not self._is_deleted(facts[0], stack_id, at)}

    def _linked(
        self, facts: Sequence[StackFact], key: str, seen: set[tuple[str, int | None]]
    ) -> set[str]:
        """Return the stacks that the last of these facts link a thing to that moves."""
        registrations = [f for f in facts if f.kind in _SHOW_LINK or f.kind == "linkEnds"]
        began = max(map(moment, registrations), default=(False, 0, ""))
        found = {
            f.stack_id
            for f in registrations
            if moment(f) == began and f.kind in _SHOW_LINK and f.stack_id
        }
        same = [f for f in facts if f.kind == "sameStack" and moment(f) > began]
        last = max(map(moment, same), default=None)
        return found.union(
            *(self._same_as(fact, key, seen) for fact in same if moment(fact) == last)
        )

    def _same_as(
        self, fact: StackFact, key: str, seen: set[tuple[str, int | None]]
    ) -> Iterable[str]:
        if fact.kind != "sameStack" or _is_weak(fact):
            return ()
        return {
            stack_id
            for kind, other in _other_sides(fact, key)
            for stack_id in self._stacks_of(kind, other, fact.valid_from, seen)
        }

    def _is_deleted(self, of: StackFact, stack_id: str, at: int | None) -> bool:
        key = key_of(of.account_id, None, "stack", stack_id)
        # Calls within the second of the deletion may have come before it.
        return any(
            f.kind == "stackDeleted" and f.valid_from != at and holds(f.valid_from, at)
            for f in self.facts.about(key)
        )

    # Histories: all that is said of one thing, and from when on

    def _history(self, key: str, cloning: frozenset[str] = frozenset()) -> list[Said]:
        self._forget_what_changed()
        known = self._histories.get(key)
        if known is None:
            known = self._said(key, cloning)
            if not cloning:  # in a circle of clones it depends on where one begins
                self._make_room()
                self._histories[key] = known
        return known

    def _said(self, key: str, cloning: frozenset[str]) -> list[Said]:
        about = self.facts.about(key)
        if key.split("/")[1] != "stack":
            return surely([_as_said(fact) for fact in about if fact.kind in _OF_CHILD])
        facts = [fact for fact in about if fact.kind in _DEFINES]
        if facts and (orphan := self.orphan_of(key)) is not None:
            facts.append(orphan)
        return surely([self._stack_said(fact, key, cloning) for fact in facts])

    def _stack_said(self, fact: StackFact, key: str, cloning: frozenset[str]) -> Said:
        if fact.kind != "stackCloned" or fact.object_id is None:
            return _as_said(fact)
        source = key_of(fact.account_id, None, "stack", fact.object_id)
        if source == key or source in cloning:
            return _as_said(fact)
        copied = as_of(fact.valid_from, self._history(source, cloning | {key}))
        kept = {name: value for name, value in copied.items() if name not in _NOT_CLONED}
        return Said(fact.valid_from, fact.event_id, kept | fact.attributes)

    def _forget_what_changed(self) -> None:
        if self._changes != self.facts.changes:
            self._changes = self.facts.changes
            self._histories.clear()
            self._users.clear()

    def _make_room(self) -> None:
        if self.remembered >= self._most_remembered:
            self._histories.clear()
            self._users.clear()

    # Imports

    def contradictions(self, fact: StackFact) -> list[str]:
        """Return what is known otherwise: of the same time, or of what never changes."""
        key = fact.concerns[0]
        others = [f for f in self.facts.about(key) if f.kind in _DEFINES | _OF_CHILD]
        same_time = as_of(
            LATEST,
            (Said(None, None, _said_by(f)) for f in others if f.valid_from == fact.valid_from),
        )
        fixed = {
            name: value
            for other in others
            for name, value in _said_by(other).items()
            if name in _NEVER_CHANGE
            or (name == "stackId" and value and fact.subject_kind not in MOVES | {None, "role"})
        }
        return [
            f"{key}: {name} is {value!r} here, {known[name]!r} is known"
            for known in (same_time | fixed,)
            for name, value in _said_by(fact).items()
            if known.get(name, value) != value
        ]


def surely(said: list[Said]) -> list[Said]:
    """Drop what an inventory says that a change may have made so only later.

    Nobody knows when an inventory was saved. What it says was so before the first change of it, but
    for a value that some change brought: the inventory may be younger than that change.
    """
    changed: dict[str, set[str]] = {}
    for one in said:
        if one.since is not None:
            for name, value in one.attributes.items():
                changed.setdefault(name, set()).add(value)
    return [
        one
        if one.since is not None
        else Said(
            None,
            one.event_id,
            {n: value for n, value in one.attributes.items() if value not in changed.get(n, ())},
        )
        for one in said
    ]


def _as_said(fact: StackFact) -> Said:
    return Said(fact.valid_from, fact.event_id, fact.attributes)


def _is_creation(fact: StackFact) -> bool:
    """Return whether it is a stack's own creation, seen in the trail with its id."""
    return (
        fact.kind in ("stackDefined", "stackCloned")
        and fact.stack_id is not None
        and fact.valid_from is not None
        and fact.event_id is not None
    )


def _names_of(fact: StackFact) -> list[str]:
    """Return the keys of the name that a fact gives to a stack: of what it concerns the rest."""
    things = [("stack", fact.stack_id), ("role", fact.attributes.get("serviceRoleArn"))]
    others = {key_of(fact.account_id, None, kind, one) for kind, one in things if one}
    return [key for key in fact.concerns if key not in others]


def _names_from_the_start(own: Sequence[StackFact]) -> set[str]:
    """Return the keys of the names that a stack may have been made with.

    That is the first that an event gives with its id (opsworks.md §6), and those of inventories. An
    inventory that says when the stack was made is trusted; another may be younger than an update
    that brought the name.
    """
    told = {key for fact in own if fact.event_id is None for key in _names_of(fact)}
    brought = [fact for fact in own if fact.event_id is not None and _names_of(fact)]
    first = _names_of(min(brought, key=moment)) if brought else []
    if _created_at(own) is None:
        told = told.difference(*map(_names_of, brought))
    return told.union(first)


def _can_have_made(orphan: StackFact, own: Sequence[StackFact]) -> bool:
    """Return whether nothing known of a stack contradicts that this creation made it."""
    began = orphan.valid_from or 0
    made = _created_at(own)
    return (
        all(fact.valid_from is None or began <= fact.valid_from for fact in own)
        and (made is None or abs(began - made) <= _SAME_CREATION_MS)
        and not any(
            orphan.attributes.get(name, value) != value
            for fact in own
            for name, value in fact.attributes.items()
            if name in _NEVER_CHANGE
        )
    )


def _created_at(facts: Iterable[StackFact]) -> int | None:
    """Return the time, in milliseconds, that an inventory gives for a stack's creation."""
    for fact in facts:
        try:
            return int(datetime.fromisoformat(fact.attributes["createdAt"]).timestamp() * 1000)
        except (KeyError, ValueError, OverflowError):
            continue
    return None


def _level(fact: StackFact) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(fact.attributes.items()))


def _said_by(fact: StackFact) -> dict[str, str]:
    return {**fact.attributes, "stackId": fact.stack_id or ""}


def moment(fact: StackFact) -> tuple[bool, int, str]:
    """Return what orders facts by time: what always holds first, ids within a moment."""
    return fact.valid_from is not None, fact.valid_from or 0, fact.event_id or ""


def _without_explained(facts: Sequence[StackFact]) -> Sequence[StackFact]:
    """Leave out where a thing was seen on days on which its link began or ended.

    Those facts know the second, and nobody knows on which side of it the thing was seen.
    """
    days = {
        f.valid_from // DAY_MS
        for f in facts
        if f.kind in ("childBelongs", "linkEnds") and f.valid_from is not None
    }
    return [f for f in facts if f.kind != "childSeen" or (f.valid_from or 0) // DAY_MS not in days]


def _is_doubtful(fact: StackFact, at: int | None) -> bool:
    """Return whether at that time a thing's link may have been the one before this fact.

    In the second of an end another link may begin; when on a day a thing came to where it was seen,
    nobody knows.
    """
    if at is None or fact.valid_from is None:
        return False
    if fact.kind == "linkEnds":
        return fact.valid_from == at
    return fact.kind == "childSeen" and at < fact.valid_from + DAY_MS


def _is_weak(fact: StackFact) -> bool:
    return fact.kind == "sameStack" and fact.attributes.get("strength") == "weak"


def _other_sides(fact: StackFact, key: str) -> Iterator[tuple[str, str]]:
    for kind, identifier in (
        (fact.subject_kind, fact.subject_id),
        (fact.object_kind, fact.object_id),
    ):
        if kind and identifier:
            other = key_of(fact.account_id, fact.aws_region, kind, identifier)
            if other != key:
                yield kind, other
