"""What a run under faults came to: one row of the table that `make faults` prints."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.checker.expected import Expected
from tests.support.checker.findings import findings
from tests.support.checker.observed import Observed

COLUMNS = (
    "run",
    "seed",
    "faults",
    "events",
    "lost",
    "doubled",
    "dead letters expected/found",
    "recovery p50/p95 s",
    "seconds",
)


@dataclass(slots=True)
class Result:
    """One run: its faults by kind, what the checker counted, how long recoveries took."""

    name: str
    seed: int
    faults: Counter[str]
    events: int
    lost: int
    doubled: int
    letters: tuple[int, int]
    resumed_s: Sequence[float]
    seconds: float
    found: list[str] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        middle, most = percentile(self.resumed_s, 50), percentile(self.resumed_s, 95)
        return (
            self.name,
            str(self.seed),
            f"{self.faults.total():,}",
            f"{self.events:,}",
            str(self.lost),
            str(self.doubled),
            f"{self.letters[0]}/{self.letters[1]}",
            f"{middle:.1f}/{most:.1f}" if self.resumed_s else "-",
            f"{self.seconds:.0f}",
        )


def result_of(
    name: str,
    seed: int,
    expected: Expected,
    seen: Observed,
    *,
    faults: Counter[str],
    seconds: float,
    others: Iterable[str] = (),
    longest_resume_s: float,
) -> Result:
    """Let the checker look at a run. `others` are findings that only the caller can have."""
    raw = Counter(message.place for message in seen.raw)
    enriched = Counter(message.key for message in seen.enriched)
    stored = Counter(document.id for document in seen.stored)
    return Result(
        name=name,
        seed=seed,
        faults=faults,
        events=len(expected.events),
        lost=len(expected.events.keys() - stored.keys()),
        doubled=sum(n - 1 for each in (raw, enriched, stored) for n in each.values()),
        letters=(len(expected.faults), len(seen.letters)),
        resumed_s=list(seen.resumed_s),
        seconds=seconds,
        found=[*findings(expected, seen, longest_resume_s=longest_resume_s), *others],
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile; 0 for no values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def table(results: Sequence[Result]) -> str:
    """Return results as a table in Markdown, with their sum."""
    resumed = [seconds for result in results for seconds in result.resumed_s]
    everything = Result(
        "**all**",
        0,
        sum((result.faults for result in results), Counter()),
        sum(result.events for result in results),
        sum(result.lost for result in results),
        sum(result.doubled for result in results),
        (sum(r.letters[0] for r in results), sum(r.letters[1] for r in results)),
        resumed,
        sum(result.seconds for result in results),
    )
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(r.row() for r in (*results, everything))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
