"""What the key of an object says about it (PURE).

    [PREFIX/]AWSLogs/[o-ORGANIZATION/]ACCOUNT/CloudTrail…/REGION/YYYY/MM/DD/NAME

The prefix may contain `AWSLogs/` and organization ids of its own, so the last place that fits is
taken. A file's name alone is no layout: it gives no account, only the minute of its delivery. What
a key does not tell, the content decides.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

KeyKind = Literal[
    "trail", "digest", "insight", "aggregated", "config", "vpcflow", "folder", "other"
]

_ACCOUNT = r"(?:.*/)?AWSLogs/(?:(?P<organization>o-[a-z0-9]{10,32})/)?(?P<account>[0-9]{12})/"
_LAYOUT = re.compile(
    _ACCOUNT + r"(?P<service>CloudTrail(?:-[A-Za-z]+)?)/(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+)/"
    r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[^/]+",
    re.DOTALL | re.ASCII,
)
_OTHER_SERVICE = re.compile(
    _ACCOUNT + r"(?P<service>Config|vpcflowlogs|elasticloadbalancing|WAFLogs|GuardDuty)/.*",
    re.DOTALL | re.ASCII,
)
# The underscore before the unique part is missing in one of AWS's own samples.
_DELIVERED = re.compile(r"_([0-9]{8}T[0-9]{4})([0-9]{2})?Z[^/]*\Z", re.ASCII)
_KINDS: dict[str, KeyKind] = {
    "CloudTrail": "trail",
    "CloudTrail-NetworkActivity": "trail",  # its records are events
    "CloudTrail-Digest": "digest",
    "CloudTrail-Insight": "insight",
    "CloudTrail-Aggregated": "aggregated",
    "Config": "config",
    "vpcflowlogs": "vpcflow",
}
NEVER_EVENTS: frozenset[KeyKind] = frozenset({"digest", "config", "vpcflow", "folder"})


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """What a key says; `kind` is `other` where it says nothing of use."""

    kind: KeyKind
    account_id: str | None = None
    aws_region: str | None = None
    organization_id: str | None = None
    delivered_at: int | None = None

    @property
    def deferred(self) -> str | None:
        """The category of an object that need not be read, since no trail file lies there."""
        return self.kind if self.kind in NEVER_EVENTS else None


def object_key(key: str) -> ObjectKey:
    """Read a key. Never fails: a key of any text is an object's name and nothing else."""
    if key.endswith("/"):
        return ObjectKey("folder")
    delivered_at = _delivered_at(key)
    found = _LAYOUT.fullmatch(key)
    if found is not None:
        return ObjectKey(
            _KINDS.get(found["service"], "other"),
            found["account"],
            found["region"],
            found["organization"],
            delivered_at,
        )
    found = _OTHER_SERVICE.fullmatch(key)
    kind = "other" if found is None else _KINDS.get(found["service"], "other")
    return ObjectKey(kind, delivered_at=delivered_at)


def _delivered_at(key: str) -> int | None:
    found = _DELIVERED.search(key)
    if found is None:
        return None
    try:
        time = datetime.fromisoformat(f"{found[1]}{found[2] or '00'}Z")
    except ValueError:
        return None
    return int(time.timestamp()) * 1000
