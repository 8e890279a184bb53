"""What `opstrail doctor` finds, and how it is told (PURE)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["good", "warning", "bad"]
# Clients are told no version: a setting of brokers that came with the oldest that is supported.
OLDEST_KAFKA, SINCE_OLDEST_KAFKA = "3.6", "transaction.partition.verification.enable"
OFFSETS_KEPT_MIN = 90 * 24 * 60
LONGEST_TRANSACTION_MS = 30_000
OLDEST_OPENSEARCH = (2, 19)
MOST_CLOCK_DIFFERENCE_S = 5.0
DISK_WARNING, DISK_BAD = 80, 90
MUCH_LAG = 500_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` is the line that mends it; empty where all is well."""

    area: str
    level: Level
    what: str
    mend: str = ""

    def row(self) -> dict[str, object]:
        """Return it for a table or for JSON."""
        return asdict(self)


def good(area: str, what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(area, "good", what)


def bad(area: str, what: str, mend: str) -> Finding:
    """Return that something does not work."""
    return Finding(area, "bad", what, mend)


def warning(area: str, what: str, mend: str) -> Finding:
    """Return that something works, and will not for long or not well."""
    return Finding(area, "warning", what, mend)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 where something is bad, else 0: warnings are for people."""
    return int(any(each.level == "bad" for each in findings))


def of_broker(told: Mapping[str, str | None]) -> Iterator[Finding]:
    """Judge the settings of a broker, by their names."""
    if SINCE_OLDEST_KAFKA in told:
        yield good("kafka", f"version {OLDEST_KAFKA} or later")
    else:
        yield bad(
            "kafka",
            f"older than {OLDEST_KAFKA}: brokers know no {SINCE_OLDEST_KAFKA}",
            f"upgrade Kafka to {OLDEST_KAFKA} or later",
        )
    kept = int(told.get("offsets.retention.minutes") or OFFSETS_KEPT_MIN)
    if kept < OFFSETS_KEPT_MIN:
        yield warning(
            "kafka",
            f"a service that stands still for {kept / 1440:.0f} days loses its place",
            f"offsets.retention.minutes={OFFSETS_KEPT_MIN} on the brokers",
        )
    longest = int(told.get("transaction.max.timeout.ms") or LONGEST_TRANSACTION_MS)
    if longest < LONGEST_TRANSACTION_MS:
        yield bad(
            "kafka",
            f"transactions may take {longest} ms only",
            f"transaction.max.timeout.ms={LONGEST_TRANSACTION_MS} or more on the brokers",
        )


def of_opensearch_version(text: str) -> Finding:
    """Judge a version as OpenSearch tells it."""
    try:
        version = tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        version = (0, 0)
    oldest = ".".join(map(str, OLDEST_OPENSEARCH))
    if version < OLDEST_OPENSEARCH:
        return bad("opensearch", f"version {text}", f"upgrade OpenSearch to {oldest} or later")
    return good("opensearch", f"version {text}")


def of_disk(node: str, used_percent: int) -> Finding:
    """Judge how full a node's disk is: at 95 % OpenSearch blocks writes by default."""
    what = f"the disk of {node} is {used_percent} % full"
    mend = "add disk or nodes, or close and delete the oldest indices of events"
    if used_percent >= DISK_BAD:
        return bad("opensearch", what, mend)
    if used_percent >= DISK_WARNING:
        return warning("opensearch", what, mend)
    return good("opensearch", what)


def of_clock(difference_s: float, other: str) -> Finding:
    """Judge how far our clock is from another's, in seconds."""
    what = f"differs by {abs(difference_s):.1f} s from that of {other}"
    if abs(difference_s) > MOST_CLOCK_DIFFERENCE_S:
        return bad("clock", what, "synchronise both by NTP: signatures and times depend on it")
    return good("clock", what)


def of_lag(role: str, records: int) -> Finding:
    """Judge how far a service is behind."""
    what = f"{role} is {records:,} records behind"
    if records > MUCH_LAG:
        return warning("lag", what, f"raise the replicas of {role}: docs/sizing.md")
    return good("lag", what)


def of_rights(topic: str, has: set[str], needs: set[str], user: str) -> Finding | None:
    """Judge what a user may do with a topic; None where it may all that it needs."""
    lacks = sorted(needs - has)
    if not lacks:
        return None
    options = " ".join(f"--operation {operation}" for operation in lacks)
    return bad(
        "acls",
        f"{user} may not {', '.join(lacks)} {topic}",
        f"kafka-acls --add --allow-principal User:NAME --topic {topic} {options}",
    )


def statement(actions: Sequence[str], resource: str) -> str:
    """Return the IAM statement that is missing, as one line of JSON."""
    named = ", ".join(f'"{action}"' for action in actions)
    return f'{{"Effect": "Allow", "Action": [{named}], "Resource": "{resource}"}}'
