"""A successful call of OpsWorks Stacks: what it shows, and the facts that can be made of it (PURE).

All that it gives out says something: markers of redaction, ids that are no ids and lists where the
API takes one thing are left out here, so that no rule makes a fact of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opstrail_enrich.event_keys import LONGEST_ID, Named, Where, named_by
from opstrail_enrich.record_view import RecordView, members, parsed
from opstrail_enrich.redaction import shown
from opstrail_enrich.stack_catalog import DAY_MS, MOVES
from opstrail_enrich.stack_members import kept_flag, kept_text
from opstrail_schemas.facts import key_of
from opstrail_schemas.messages import RawEvent, StackFact

Thing = tuple[str, str]  # kind and id
_CHILDREN: Final = frozenset({"layer", "instance", "app", "deployment"}) | MOVES


@dataclass(frozen=True, slots=True)
class OpsWorksCall:
    """What one call names and says."""

    event: RawEvent
    request: Mapping[str, Any]
    named: Sequence[Named]

    def things(self, *members_: str) -> list[Thing]:
        """Return what these members name, each thing once."""
        found = ((one.kind, one.id) for one in self.named if one.member in members_)
        return list(dict.fromkeys(found))

    def children(self) -> list[Thing]:
        """Return what the request and the response name that can be in a stack, each once."""
        found = (
            (one.kind, one.id)
            for one in self.named
            if one.where in ("request", "response") and one.kind in _CHILDREN
        )
        return list(dict.fromkeys(found))

    def one(self, member: str, where: Where = "request") -> str | None:
        """Return the id in a member of the request, or of the response."""
        found = (one.id for one in self.named if (one.member, one.where) == (member, where))
        return next(found, None)

    def said(self, paths: Iterable[str], flags: Iterable[str] = ()) -> dict[str, str]:
        """Return the texts and flags of the request that are there, by their paths."""
        found = {path: kept_text(self._at(path)) for path in paths}
        found |= {path: kept_flag(self._at(path)) for path in flags}
        return {path: text for path, text in found.items() if text is not None}

    def key(self, kind: str, identifier: str) -> str:
        """Return the key of a thing in the event's account and Region."""
        return key_of(self.event.account_id, self.event.aws_region, kind, identifier)

    def name_keys(self, attributes: Mapping[str, str]) -> list[str]:
        """Return the key of the name that these attributes of a stack give it, if any."""
        name = attributes.get("name")
        return [self.key("stackName", name)] if name and len(name) <= LONGEST_ID else []

    def role_keys(self, attributes: Mapping[str, str]) -> list[str]:
        """Return the key of the service role that these attributes of a stack give it, if any."""
        role = attributes.get("serviceRoleArn")
        return [self.key("role", role)] if role and len(role) <= LONGEST_ID else []

    def always(self, kind: str, concerns: Sequence[str], **more: Any) -> Iterator[StackFact]:
        """Yield a fact that does not depend on time: equal for all calls that show it."""
        yield StackFact(
            kind=kind,
            account_id=self.event.account_id,
            concerns=list(concerns),
            source="trail",
            **more,
        )

    def dated(self, kind: str, concerns: Sequence[str], **more: Any) -> Iterator[StackFact]:
        """Yield a fact that holds from the event on; none of an event without a time."""
        if self.event.event_time is not None:
            yield StackFact(
                kind=kind,
                account_id=self.event.account_id,
                aws_region=self.event.aws_region,
                valid_from=self.event.event_time,
                event_id=self.event.event_id,
                concerns=list(concerns),
                source="trail",
                **more,
            )

    def about(
        self, kind: str, subject: Thing, concerns: Sequence[str] = (), **more: Any
    ) -> Iterator[StackFact]:
        """Yield a dated fact about a thing; it concerns the thing, if not told otherwise."""
        yield from self.dated(
            kind,
            concerns or [self.key(*subject)],
            subject_kind=subject[0],
            subject_id=subject[1],
            **more,
        )

    def link(
        self, kind: str, subject: Thing, concerns: Sequence[str], **more: Any
    ) -> Iterator[StackFact]:
        """Yield a link of a thing: dated where such things move, else for always."""
        of_kind = self.dated if subject[0] in MOVES else self.always
        yield from of_kind(kind, concerns, subject_kind=subject[0], subject_id=subject[1], **more)

    def belongs(self, child: Thing, stack: str) -> Iterator[StackFact]:
        """Yield the link of a thing to its stack."""
        yield from self.link(
            "childBelongs",
            child,
            [self.key(*child)],
            stack_id=stack,
            leads_to=[self.key("stack", stack)],
        )

    def seen(self, child: Thing, stack: str) -> Iterator[StackFact]:
        """Yield that a thing that moves was in a stack on a day, in UTC.

        A console that asks each minute says the same all day: that is one fact.
        """
        if self.event.event_time is not None:
            yield StackFact(
                kind="childSeen",
                account_id=self.event.account_id,
                aws_region=self.event.aws_region,
                stack_id=stack,
                subject_kind=child[0],
                subject_id=child[1],
                valid_from=self.event.event_time // DAY_MS * DAY_MS,
                concerns=[self.key(*child)],
                leads_to=[self.key("stack", stack)],
                source="trail",
            )

    def _at(self, path: str) -> Any:
        value: Any = self.request
        for name in path.split("."):
            value = members(value).get(name)
        return value


def call_of(event: RawEvent, view: RecordView) -> OpsWorksCall:
    """Return what a call shows."""
    named = named_by(event, view)
    times = Counter((one.where, one.member) for one in named)
    return OpsWorksCall(
        event,
        members(parsed(view.request_parameters)),
        [
            one
            for one in named
            if shown(one.id) is not None
            and (times[one.where, one.member] == 1 or one.member.endswith("s"))
        ],
    )
