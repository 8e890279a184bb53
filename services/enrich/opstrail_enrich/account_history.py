"""What the facts about one account say, and from when on each of it holds (PURE).

Facts come from three sides. The trail says when something changed, though often not to what: AWS
hides names, and gives ids of parents for paths. A file says how it was at some time, nobody knows
when. An answer of AWS says how it was at the moment it was asked: so it has been since the last
change before that moment, whether or not that change's own record shows it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from opstrail_enrich.as_of import Said
from opstrail_schemas.messages import Account

TAG: Final = "tag:"
EVERY_TAG: Final = "*"  # no key of a tag may hold it
# A value is "=" and its text; else it is gone, or there and not shown.
_GONE: Final = ""
_HIDDEN: Final = "?"
# Before all that has a time, yet not what always was: of another time it was something else.
_BEFORE_ALL: Final = -(2**63) + 1


class _Change(NamedTuple):
    since: int
    order: str
    value: str
    fact: int  # which one says it


def text_in(value: str | None) -> str | None:
    """Return the text of one of `history`'s values; None where it is gone, or not shown."""
    return value[1:] if value is not None and value.startswith("=") else None


def is_gone(value: str | None) -> bool:
    """Return whether it is certain that there is no value, or none was ever spoken of."""
    return value is None or value == _GONE


def says(fact: Account) -> dict[str, str]:
    """Return what one fact says, as values of `history`; of all tags being gone it says nothing."""
    members = {"name": fact.name, "ouPath": fact.ou_path, "state": fact.state}
    return (
        {
            name: f"={value}" if value else _GONE
            for name, value in members.items()
            if value is not None
        }
        | {TAG + key: f"={value}" for key, value in fact.tags.items()}
        | {TAG + key: _GONE for key in fact.removed_tags if key != EVERY_TAG}
        | dict.fromkeys(fact.hidden, _HIDDEN)
    )


def history(facts: Sequence[Account]) -> list[Said]:
    """Return all that facts about one account say, in any order; `as_of` folds it."""
    tags = {name for fact in facts for name in says(fact) if name.startswith(TAG)}
    said = [_all_tags_gone(fact, tags) | says(fact) for fact in facts]
    changes = _changes(facts, said)
    return [
        statement
        for number, fact in enumerate(facts)
        for statement in _statements(number, fact, said[number], changes)
    ]


def last_change(said: Sequence[Said]) -> int | None:
    """Return the time of the last change of anything; None where none is known."""
    times = [one.since for one in said if one.since is not None and one.since > _BEFORE_ALL]
    return max(times, default=None)


def _statements(
    number: int, fact: Account, attributes: Mapping[str, str], changes: Mapping[str, list[_Change]]
) -> Iterator[Said]:
    if fact.seen_at is not None:
        for name, value in attributes.items():
            others = [change for change in changes.get(name, ()) if change.fact != number]
            since = _since_when(fact.valid_from, fact.seen_at, value, others)
            yield Said(since, "2", {name: value})
    elif fact.valid_from is not None:
        yield Said(fact.valid_from, _order(fact), attributes)
    else:
        # A file may be older than a change, or newer where the change may have been to its value.
        sure = {
            name: value
            for name, value in attributes.items()
            if all(change.value not in (_HIDDEN, value) for change in changes.get(name, ()))
        }
        yield Said(None, None, sure)


def _since_when(
    valid_from: int | None, seen_at: int, value: str, others: Sequence[_Change]
) -> int | None:
    """Return since when a value holds that was seen to be so at a time."""
    before = [change for change in others if change.since <= seen_at]
    if before:
        last = max(before)
        return last.since if last.value in (_HIDDEN, value) else seen_at
    return _BEFORE_ALL if valid_from is None and others else valid_from


def _changes(
    facts: Sequence[Account], said: Sequence[Mapping[str, str]]
) -> dict[str, list[_Change]]:
    found: dict[str, list[_Change]] = {}
    for number, fact in enumerate(facts):
        if fact.valid_from is not None:
            for name, value in said[number].items():
                change = _Change(fact.valid_from, _order(fact), value, number)
                found.setdefault(name, []).append(change)
    return found


def _order(fact: Account) -> str:
    """Return what orders facts of the same moment.

    Times of events are whole seconds: an account may be closed within the one in which it is
    asked for. What AWS answers is later than the change that led to it.
    """
    if fact.seen_at is not None:
        return "2"
    if fact.event_id is None:
        return ""
    return ("0" if fact.state == "PENDING_CLOSURE" else "1") + fact.event_id


def _all_tags_gone(fact: Account, tags: set[str]) -> dict[str, str]:
    return dict.fromkeys(tags, _GONE) if EVERY_TAG in fact.removed_tags else {}
