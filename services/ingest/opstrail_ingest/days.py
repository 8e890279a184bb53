"""A range of days, and what it needs of a bucket in trail layout (PURE).

The folders of a trail are `AWSLogs/[o-ORG/]ACCOUNT/CloudTrail…/REGION/YYYY/MM/DD/`; the day is that
of delivery, UTC. A key without that layout goes by the day on which the object was last modified.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, auto

_LAYOUT = (  # account, kind of file, Region, year, month, day
    re.compile(r"\d{12}"), re.compile(r"CloudTrail[^/]*"), re.compile(r"[a-z]{2}[a-z0-9-]+-\d+"),
    re.compile(r"\d{4}"), re.compile(r"\d{2}"), re.compile(r"\d{2}"),
)  # fmt: skip
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_YEAR_AT = 3
_TRAIL = "AWSLogs/"
_DEEPEST_TRAIL = 3  # folders above it


class Folder(Enum):
    """What to do with a folder."""

    SKIP = auto()  # holds nothing of the range
    DEEPER = auto()  # some of its folders may
    WHOLE = auto()  # list all that is below, and look at each key


@dataclass(frozen=True, slots=True)
class Days:
    """From `since` to `until`, both included; None is open."""

    since: date | None = None
    until: date | None = None

    @property
    def bounded(self) -> bool:
        """Whether it leaves anything out."""
        return self.since is not None or self.until is not None

    def folder(self, prefix: str) -> Folder:
        """Return what to do with a folder; its name ends with `/`."""
        levels = _levels(prefix)
        if levels is None:  # a trail may lie below: look there, but not through a whole tree
            above = f"/{_TRAIL}" not in f"/{prefix}" and prefix.count("/") <= _DEEPEST_TRAIL
            return Folder.DEEPER if above else Folder.WHOLE
        if not self._holds("/".join(levels[_YEAR_AT:])):
            return Folder.SKIP
        return Folder.WHOLE if len(levels) == len(_LAYOUT) else Folder.DEEPER

    def object(self, key: str, last_modified: datetime) -> bool:
        """Return whether an object belongs to the range."""
        levels = _levels(key[: key.rfind("/") + 1])
        if levels is not None and len(levels) == len(_LAYOUT):
            return self._holds("/".join(levels[_YEAR_AT:]))
        return self._holds(_slashed(last_modified.astimezone(UTC).date()))

    def _holds(self, text: str) -> bool:
        """Say whether `2021`, `2021/07` or `2021/07/30` has a day of the range; as text."""
        since = _slashed(self.since or date.min)[: len(text)]
        return since <= text <= _slashed(self.until or date.max)[: len(text)]


def _slashed(day: date) -> str:
    return day.isoformat().replace("-", "/")


def _levels(prefix: str) -> list[str] | None:
    """Return the folders after the last `AWSLogs/`, without the organization; None: no layout."""
    _, found, below = f"/{prefix}".rpartition(f"/{_TRAIL}")
    if not found:
        return None
    levels = below.split("/")[:-1]
    if levels and _ORGANIZATION.fullmatch(levels[0]):
        levels = levels[1:]
    if len(levels) > len(_LAYOUT):
        return None
    fits = all(p.fullmatch(level) for p, level in zip(_LAYOUT, levels, strict=False))
    return levels if fits else None
