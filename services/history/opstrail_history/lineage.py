"""Who stands behind a session: from an event back to the first principal (PURE).

    event ─ used key ─► the call that issued it ─ its used key ─► the call that issued that ─► …

A call across accounts is recorded in both, joined by `sharedEventID`: one copy names the key that
was issued, the other the full identity of who asked. It is resolved when it is asked, from what is
stored, so the order in which events arrived cannot matter. What is missing, and what leads back to
itself, is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from opstrail_history.row import Row, row_of
from opstrail_history.stored_document import below, text

Json = Mapping[str, Any]
MOST_STEPS = 20
End = Literal["firstPrincipal", "keyNotIssuedHere", "noKey", "cycle", "tooDeep", "ambiguous"]
# Long-term keys of users and of root are issued by people: with them the chain has its beginning.
_LONG_TERM = ("AKIA",)
_FIRST_KINDS = frozenset({"root", "iamUser", "samlUser", "webIdentityUser", "awsService",
                          "identityCenterUser", "directory"})  # fmt: skip
_FIRST_CREDENTIALS = frozenset({"longTerm", "password", "externalAssertion", "servicePrincipal"})

SAID: Mapping[End, str] = {
    "firstPrincipal": "This is the first principal: nobody stands behind it.",
    "keyNotIssuedHere": "No event that you may see issued this access key: the chain has a gap.",
    "noKey": "The event does not say with which key it was signed: the chain has a gap.",
    "cycle": "The chain leads back to itself: the records contradict each other.",
    "tooDeep": f"The chain was followed {MOST_STEPS} steps; it goes on.",
    "ambiguous": "Several different calls claim to have issued an access key: the last one before "
    "its use is followed.",
}


class Events(Protocol):
    """Events by what joins them, narrowed to what the caller may see. Documents with their ids."""

    def issuing(self, access_key: str) -> Sequence[tuple[str, Json]]:
        """Return the calls that issued a key, the earliest first."""

    def sharing(self, shared_event_id: str) -> Sequence[tuple[str, Json]]:
        """Return the records of one call in all accounts."""


@dataclass(frozen=True, slots=True)
class Step:
    """One link: `row` is the call; `copies` are records of the same call in other accounts.

    `key` is the access key that joins it to the step before, None for the event itself.
    """

    row: Row
    key: str | None
    copies: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """The chain, the event itself first, and how it ends. `notes` say what is odd on the way."""

    steps: tuple[Step, ...]
    end: End
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """How it ends, in words."""
        return SAID[self.end]


def lineage_of(document_id: str, document: Json, events: Events) -> Lineage:
    """Return the chain behind an event."""
    notes: list[str] = []
    copies = _copies(document_id, document, events)
    steps = [_step(None, copies)]
    seen_keys: set[str] = set()
    seen_events = {one for one, _ in copies}
    while True:
        key = next((key for _, copy in copies if (key := _used_key(copy))), None)
        if _is_first(copies, key):
            return Lineage(tuple(steps), "firstPrincipal", tuple(notes))
        if key is None:
            return Lineage(tuple(steps), "noKey", tuple(notes))
        if key in seen_keys:
            return Lineage(tuple(steps), "cycle", tuple(notes))
        if len(steps) > MOST_STEPS:
            return Lineage(tuple(steps), "tooDeep", tuple(notes))
        seen_keys.add(key)
        issuing = events.issuing(key)
        if not issuing:
            return Lineage(tuple(steps), "keyNotIssuedHere", tuple(notes))
        copies = _copies(*_last_before(issuing, copies), events)
        ids = {one for one, _ in copies}
        if not seen_events.isdisjoint(ids):
            return Lineage((*steps, _step(key, copies)), "cycle", tuple(notes))
        if any(one not in ids for one, _ in issuing):
            notes.append(SAID["ambiguous"])
        seen_events |= ids
        steps.append(_step(key, copies))


def _last_before(
    issuing: Sequence[tuple[str, Json]], used: Sequence[tuple[str, Json]]
) -> tuple[str, Json]:
    """Return the last call that issued a key before its use; the first of all where none did."""
    at = row_of(*used[0]).time or ""
    before = [call for call in issuing if (row_of(*call).time or "") <= at]
    return before[-1] if before else issuing[0]


def _step(key: str | None, copies: Sequence[tuple[str, Json]]) -> Step:
    rows = [row_of(one, copy) for one, copy in copies]
    return Step(rows[0], key, tuple(rows[1:]))


def _copies(document_id: str, document: Json, events: Events) -> list[tuple[str, Json]]:
    """Return the records of one call, the one that says most about its caller first."""
    shared = text(document.get("sharedEventID"))
    found = {document_id: document}
    if shared is not None:
        for one, copy in events.sharing(shared):
            # A shared id alone proves nothing: the same call has the same name and source.
            if _call(copy) == _call(document):
                found.setdefault(one, copy)
    return sorted(found.items(), key=lambda pair: (-_telling(pair[1]), pair[0]))


def _call(document: Json) -> tuple[object, object]:
    return document.get("eventSource"), document.get("eventName")


def _telling(document: Json) -> int:
    """Return how much a record says about who called."""
    caller = below(document, "opstrail", "caller")
    # The copy in the other account knows the caller as `AWSAccount` only.
    known = caller.get("kind") not in {None, "unknown", "awsAccount"}
    return 4 * (_used_key(document) is not None) + 2 * known + ("arn" in caller)


def _used_key(document: Json) -> str | None:
    return text(below(document, "opstrail").get("accessKeyId"))


def _is_first(copies: Sequence[tuple[str, Json]], key: str | None) -> bool:
    if key is not None and key.startswith(_LONG_TERM):
        return True
    caller = below(copies[0][1], "opstrail", "caller")
    if caller.get("credentialKind") in _FIRST_CREDENTIALS:
        return True
    return key is None and caller.get("kind") in _FIRST_KINDS
