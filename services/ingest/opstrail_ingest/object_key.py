"""What the key of an object says about it (PURE).

    [PREFIX/]AWSLogs/[o-ORGANIZATION/]ACCOUNT/CloudTrail…/REGION/YYYY/MM/DD/NAME

The prefix may contain `AWSLogs/` and organization ids of its own, so the last place that fits is
taken. A file's name alone is no layout: it gives no account, only the minute of its delivery. What
a key does not tell, the content decides.
"""

import re
from dataclasses import dataclass
from datetime import datetime

_ACCOUNT = r"(?:.*/)?AWSLogs/(?:(?P<organization>o-[a-z0-9]{10,32})/)?(?P<account>[0-9]{12})/"
_LAYOUT = re.compile(
    _ACCOUNT + r"(?P<service>CloudTrail(?:-[A-Za-z]+)?)/(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+)/"
    r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[^/]+",
    re.DOTALL | re.ASCII,
)
# What AWS's services write beside the trail, and what is no event: a category each.
_NEVER_EVENTS = {"CloudTrail-Digest": "digest", "Config": "config", "vpcflowlogs": "vpcflow"} | (
    dict.fromkeys(
        ("elasticloadbalancing", "GuardDuty", "network-firewall", "route53", "vpcdnsquerylogs",
         "WAFLogs"), "other")
)  # fmt: skip
_OTHER_SERVICE = re.compile(
    _ACCOUNT + r"(?P<service>" + "|".join(_NEVER_EVENTS) + r")/.*", re.DOTALL | re.ASCII
)
# The underscore before the unique part is missing in one of AWS's own samples.
_DELIVERED = re.compile(r"_([0-9]{8}T[0-9]{4})([0-9]{2})?Z[^/]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """What a key says. `deferred`: the category of an object that need not be read."""

    account_id: str | None = None
    aws_region: str | None = None
    organization_id: str | None = None
    delivered_at: int | None = None
    deferred: str | None = None


def object_key(key: str) -> ObjectKey:
    """Read a key. Never fails: a key of any text is an object's name and nothing else."""
    if key.endswith("/"):
        return ObjectKey(deferred="folder")
    delivered_at = _delivered_at(key)
    other = _OTHER_SERVICE.fullmatch(key)
    deferred = None if other is None else _NEVER_EVENTS[other["service"]]
    found = _LAYOUT.fullmatch(key)
    if found is None:
        return ObjectKey(delivered_at=delivered_at, deferred=deferred)
    return ObjectKey(
        found["account"], found["region"], found["organization"], delivered_at, deferred
    )


def _delivered_at(key: str) -> int | None:
    found = _DELIVERED.search(key)
    if found is None:
        return None
    try:
        time = datetime.fromisoformat(f"{found[1]}{found[2] or '00'}Z")
    except ValueError:
        return None
    return int(time.timestamp()) * 1000
