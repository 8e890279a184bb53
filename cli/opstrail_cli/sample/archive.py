"""The archive: events laid into files of two trails, and what else lies there (PURE).

Trail one belongs to each account alone: `AWSLogs/ACCOUNT/…`, production and staging only. Trail two
is the organization's, under a prefix: `org/AWSLogs/o-…/ACCOUNT/…`, all three accounts. So most
events are in two files, cut differently. In both, a file's records and the files' times are not in
the order of the events, as in real buckets; other than there, a file spans months, not minutes.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from opstrail_cli.sample.callers import (
    AUDIT,
    PRODUCTION,
    STAGING,
    Caller,
    role,
    service,
    user,
)
from opstrail_cli.sample.manual import MANUAL_ENTRY, MANUAL_EVENT
from opstrail_cli.sample.others import other_events
from opstrail_cli.sample.records import Event, Json, Place, event, text_of
from opstrail_cli.sample.stacks import inventories, stack_lives

ORGANIZATION = "o-sampleorg01"
ACCOUNT_NAMES = {PRODUCTION: "shop-production", STAGING: "shop-staging", AUDIT: "audit"}
HAND_OVER = "handed-over/incident-2021-12-24.json"


@dataclass(frozen=True, slots=True)
class File:
    """One file, and what is to become of it. `account` is the one in its key, if it has layout."""

    path: str
    body: bytes
    account: str | None = None
    events: tuple[Event, ...] = ()
    dead: tuple[str, ...] = ()
    deferred: str | None = None

    @property
    def key(self) -> str:
        """Its object key: the path from the last `AWSLogs/` on, where there is one."""
        before, layout, after = self.path.rpartition("AWSLogs/")
        return layout + after if layout else before + after


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of the archive, and the facts that lie beside it."""

    files: tuple[File, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


def archive() -> Archive:
    """Return the whole archive."""
    events = [*stack_lives(), *other_events()]
    own_trail = [each for each in events if each.place.account != AUDIT]
    files = [
        *_trail_files(own_trail, "", "trail one", late_by=timedelta(minutes=5), period=_quarter),
        *_trail_files(
            events,
            f"org/AWSLogs/{ORGANIZATION}/",
            "trail two",
            late_by=timedelta(days=1, minutes=12),
            period=_half_year,
        ),
        *_oddities(),
    ]
    return Archive(tuple(sorted(files, key=lambda file: file.path)), _facts())


def in_another_order(contents: Archive, seed: int) -> Archive:
    """Return the same files so that they are noticed in another order: folders are read by name."""
    files = list(contents.files)
    random.Random(seed).shuffle(files)  # noqa: S311 - an order, no secret
    moved = (replace(file, path=f"{n:03}/{file.path}") for n, file in enumerate(files))
    return replace(contents, files=tuple(moved))


def _facts() -> dict[str, str]:
    rows = "".join(f"{account},{name}\n" for account, name in ACCOUNT_NAMES.items())
    stacks = {
        f"stacks-{account}.json": json.dumps(answer, indent=2) + "\n"
        for account, answer in inventories().items()
    }
    return {"accounts.csv": f"accountId,name\n{rows}", **stacks}


def _quarter(time: str) -> str:
    return f"{time[:4]}/{(int(time[5:7]) - 1) // 3}"


def _half_year(time: str) -> str:
    return f"{time[:4]}/{(int(time[5:7]) - 1) // 6}"


def _trail_files(
    events: Iterable[Event],
    folder: str,
    trail: str,
    *,
    late_by: timedelta,
    period: Callable[[str], str],
) -> list[File]:
    groups: dict[tuple[Place, str], list[Event]] = {}
    for each in events:
        groups.setdefault((each.place, period(each.time)), []).append(each)
    return [
        _trail_file(place, group, folder, trail, late_by=late_by)
        for (place, _), group in groups.items()
    ]


def _trail_file(
    place: Place, group: list[Event], folder: str, trail: str, *, late_by: timedelta
) -> File:
    shuffled = sorted(group, key=lambda each: _digest(trail, text_of(each.record)))
    delivered = max(_time(each) for each in group) + late_by
    return File(
        _path(place, delivered, folder, trail),
        packed(json_of([each.record for each in shuffled])),
        place.account,
        tuple(shuffled),
    )


def _path(
    place: Place, delivered: datetime, folder: str, salt: str, kind: str = "CloudTrail"
) -> str:
    """Return a key as CloudTrail forms it, below `folder`, which ends before the account."""
    unique = _digest(salt, place.account, place.region, delivered.isoformat())[:16]
    return (
        f"{folder or 'AWSLogs/'}{place.account}/{kind}/{place.region}/{delivered:%Y/%m/%d}/"
        f"{place.account}_{kind}_{place.region}_{delivered:%Y%m%dT%H%MZ}_{unique}.json.gz"
    )


def _oddities() -> list[File]:
    place = Place(PRODUCTION, "eu-west-1")
    day = datetime(2024, 1, 15, 8, 0, tzinfo=UTC)
    pretty = tuple(
        event(
            "ec2:DescribeImages",
            f"2024-01-15T07:{minute}",
            place,
            user(PRODUCTION, "anna"),
        )
        for minute in (10, 20, 30)
    )
    return [
        File(
            _path(place, day, "", "pretty"),
            packed(json.dumps({"Records": [each.record for each in pretty]}, indent=4)),
            PRODUCTION,
            pretty,
        ),
        File(_path(place, day + timedelta(hours=1), "", "nothing at all"), b""),
        File(
            _path(place, day + timedelta(hours=2), "", "no records"),
            packed(json_of([])),
        ),
        File(
            _path(place, day + timedelta(hours=3), "", "an error page"),
            b"<?xml version='1.0'?>\n<Error><Code>SlowDown</Code></Error>\n",
            PRODUCTION,
            dead=("not-json",),
        ),
        File(
            _path(place, day, "", "digest", "CloudTrail-Digest"),
            packed(json.dumps(_digest_file())),
            deferred="digest",
        ),
        File(
            _path(place, day, "", "insight", "CloudTrail-Insight"),
            packed(json_of([_insight("Start"), _insight("End")])),
            deferred="insight",
        ),
        _handed_over(),
        File(
            "handed-over/opsworks-manual.json",
            MANUAL_ENTRY.encode(),
            events=(MANUAL_EVENT,),
            dead=("not-json",),
        ),
    ]


def _handed_over() -> File:
    """A plain file without a key's layout: the account is where the record says it is."""
    place = Place(PRODUCTION, "us-east-1")
    anna = user(PRODUCTION, "anna")
    deploys = role(PRODUCTION, "deploy", "build-214")
    only_issuer = {k: v for k, v in deploys.identity.items() if k != "accountId"}
    events = (
        event("ec2:StopInstances", "2021-12-24T22:12", place, anna),
        event(
            "ec2:StartInstances",
            "2021-12-24T22:32",
            place,
            anna,
            recipientAccountId=...,
        ),
        event(
            "ec2:DescribeInstances",
            "2021-12-24T22:13",
            place,
            Caller(deploys.kind, deploys.credentials, only_issuer),
            recipientAccountId=...,
        ),
        event(
            "health:DescribeEvents",
            "2021-12-24T22:14",
            Place("-", "us-east-1"),
            service("health"),
            recipientAccountId=...,
        ),
    )
    body = json.dumps({"Records": [each.record for each in events]}).encode()
    return File(HAND_OVER, body, events=events)


def _digest_file() -> Json:
    return {
        "awsAccountId": PRODUCTION,
        "digestStartTime": "2024-01-15T07:00:00Z",
        "digestEndTime": "2024-01-15T08:00:00Z",
        "digestS3Bucket": "trail-one",
        "digestS3Object": "see its own path",
        "digestPublicKeyFingerprint": "0" * 32,
        "digestSignatureAlgorithm": "SHA256withRSA",
        "newestEventTime": None,
        "oldestEventTime": None,
        "previousDigestS3Bucket": None,
        "previousDigestS3Object": None,
        "previousDigestHashValue": None,
        "previousDigestHashAlgorithm": None,
        "previousDigestSignature": None,
        "logFiles": [],
    }


def _insight(state: str) -> Json:
    return {
        "eventVersion": "1.08",
        "eventTime": "2024-01-15T07:3{}:00Z".format("0" if state == "Start" else "5"),
        "awsRegion": "eu-west-1",
        "eventID": f"insight-{state}",
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": PRODUCTION,
        "sharedEventID": "insight",
        "insightDetails": {
            "state": state,
            "eventSource": "ec2.amazonaws.com",
            "eventName": "DescribeImages",
            "insightType": "ApiCallRateInsight",
        },
        "eventCategory": "Insight",
    }


def json_of(records: list[Json]) -> str:
    """Return a trail file's text."""
    return f'{{"Records":[{",".join(text_of(record) for record in records)}]}}'


def packed(text: str) -> bytes:
    """Return gzip that is the same each time."""
    return gzip.compress(text.encode(), mtime=0)


def _time(each: Event) -> datetime:
    return datetime.strptime(each.time, "%Y-%m-%dT%H:%M:%S%z")


def _digest(*words: str) -> str:
    return hashlib.sha256("/".join(words).encode()).hexdigest()
