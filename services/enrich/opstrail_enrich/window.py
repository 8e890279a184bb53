"""The window of repeats: the last identities that a process passed on, bounded in number (PURE).

Each partition has a part of its own, so that it can be forgotten when the partition goes. The
oldest identity goes first. An entry is two 60-bit hashes in a dict and one in a ring.
"""

import hashlib
from array import array
from enum import Enum

from opstrail_schemas.messages import RawEvent


class Seen(Enum):
    """What the window knows of an event."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"


def content_of(event: RawEvent) -> bytes:
    """Return what makes two events of one identity the same."""
    return f"{event.event_time}\0{event.event_source}\0{event.event_name}".encode()


class _Part:
    """The window of one partition: identity -> content, and a ring of identities by age."""

    def __init__(self) -> None:
        self.contents: dict[int, int] = {}
        self.ages = array("Q")
        self.oldest = 0

    def add(self, identity: int, content: int, most: int) -> None:
        """Add an entry that is not there; the oldest goes for it."""
        if len(self.contents) == most:
            del self.contents[self.ages[self.oldest]]
            self.ages[self.oldest] = identity
            self.oldest = (self.oldest + 1) % most
        else:
            self._unroll()
            self.ages.append(identity)
        self.contents[identity] = content

    def _unroll(self) -> None:
        """Put the oldest first, so that the ring can grow or shrink at its ends."""
        if self.oldest:
            self.ages = self.ages[self.oldest :] + self.ages[: self.oldest]
            self.oldest = 0

    def shrink(self, most: int) -> None:
        """Drop the oldest beyond a number."""
        if len(self.contents) <= most:
            return
        self._unroll()
        surplus = len(self.ages) - most
        for identity in self.ages[:surplus]:
            del self.contents[identity]
        self.ages = self.ages[surplus:]


class Window:
    """Identities by partition. `most_identities` bounds all parts together.

    A chance collision of two identities (1 in 10^12 for an event that meets a million) shows as a
    conflict, which loses nothing: the event is a dead letter with its text.
    """

    def __init__(self, *, most_identities: int) -> None:
        self._most = most_identities
        self._parts: dict[int, _Part] = {}

    def __len__(self) -> int:
        return sum(len(part.contents) for part in self._parts.values())

    @property
    def parts(self) -> int:
        """How many partitions are held."""
        return len(self._parts)

    @property
    def most_in_a_part(self) -> int:
        """An equal share of the whole for each partition held."""
        return max(1, self._most // max(1, len(self._parts)))

    def open(self, partition: int) -> None:
        """Begin an empty part for a partition that came; the others keep less for it."""
        self._parts[partition] = _Part()
        for part in self._parts.values():
            part.shrink(self.most_in_a_part)

    def forget(self, partition: int) -> None:
        """Drop the part of a partition that went."""
        self._parts.pop(partition, None)

    def seen(self, partition: int, identity: bytes, content: bytes) -> Seen:
        """Return whether the identity is new, came before, or came with other content."""
        held = self._parts[partition].contents.get(_hash(identity))
        if held is None:
            return Seen.NEW
        return Seen.REPEAT if held == _hash(content) else Seen.CONFLICT

    def add(self, partition: int, identity: bytes, content: bytes) -> None:
        """Add what was passed on. An identity that is there stays as it is: the first counts."""
        part = self._parts[partition]
        hashed = _hash(identity)
        if hashed not in part.contents:
            part.add(hashed, _hash(content), self.most_in_a_part)


def _hash(text: bytes) -> int:
    # 60 bits: an int of Python's smallest two digits, 32 bytes.
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 4
