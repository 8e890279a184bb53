"""Which stacks have a service role, by time (PURE).

AWS's standard role is one for all stacks of an account, and most calls of other services are made
with it: what is known is laid out once, so that an event costs one look-up, however many share it.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from opstrail_enrich.as_of import ALWAYS

# Who wants to see the stacks of a role that more share asks the catalog; no document lists them.
MOST_CANDIDATES: Final = 10


class Use(NamedTuple):
    """A stack has the role between two times, both included; None is since always.

    It is one of these stacks; of one whose creation shows no id it need be none of them.
    """

    stack_ids: Sequence[str]
    certain: bool
    since: int | None
    until: int


class Users(NamedTuple):
    """The only stack with a role, the first ones that may be it, and whether there is any."""

    only: str | None
    candidates: Sequence[str]
    any: bool


class UsersByTime:
    """The users of one role, looked up by time."""

    def __init__(self, uses: Iterable[Use]) -> None:
        uses = list(uses)
        # Of an event without a time only that holds which always held.
        self._always = _Present(use for use in uses if use.since is None).users()
        self._times: list[int] = []
        self._users: list[Users] = []
        for time, users in _changes(uses):
            self._times.append(time)
            self._users.append(users)

    def at(self, time: int | None) -> Users:
        """Return the users as of a time."""
        if time is None:
            return self._always
        place = bisect_right(self._times, time) - 1
        return self._users[place] if place >= 0 else _NOBODY


class _Present:
    """The uses at one moment, while time goes on."""

    def __init__(self, uses: Iterable[Use] = ()) -> None:
        self._certain: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._ids: list[str] = []  # those named, sorted
        self._uncertain = 0
        for use in uses:
            self.begin(use)

    def begin(self, use: Use) -> None:
        """Add a use that begins."""
        self._uncertain += not use.certain
        for stack_id in use.stack_ids:
            self._certain[stack_id] += use.certain
            self._named[stack_id] += 1
            if self._named[stack_id] == 1:
                insort(self._ids, stack_id)

    def end(self, use: Use) -> None:
        """Drop a use that ended."""
        self._uncertain -= not use.certain
        for stack_id in use.stack_ids:
            self._certain[stack_id] -= use.certain
            self._named[stack_id] -= 1
            if not self._named[stack_id]:
                self._ids.remove(stack_id)

    def users(self) -> Users:
        """Return what can be said of this moment."""
        alone = len(self._ids) == 1 and not self._uncertain
        return Users(
            self._ids[0] if alone and self._certain[self._ids[0]] else None,
            tuple(self._ids[:MOST_CANDIDATES]),
            bool(self._ids or self._uncertain),
        )


_NOBODY: Final = Users(None, (), any=False)


def _changes(uses: Sequence[Use]) -> Iterator[tuple[int, Users]]:
    begins: dict[int, list[Use]] = {}
    ends: dict[int, list[Use]] = {}
    for use in uses:
        begins.setdefault(ALWAYS if use.since is None else use.since, []).append(use)
        ends.setdefault(use.until + 1, []).append(use)
    present = _Present()
    for time in sorted(begins.keys() | ends.keys()):
        for use in ends.get(time, ()):
            present.end(use)
        for use in begins.get(time, ()):
            present.begin(use)
        yield time, present.users()
