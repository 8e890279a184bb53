"""Holds a backfill back while services are busy: today's files never queue behind an archive."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opstrail_ingest.patience import Patiently, StopPulse
from opstrail_ingest.politeness import EVENTS_IN_A_FILE, Lag, Politeness
from opstrail_ingest.telemetry import BackfillGoesOn, BackfillPaused
from opstrail_runtime.telemetry import emit
from opstrail_schemas.topics import TopicName

LOOK_AGAIN_S = 0.25
# What each service reads, and for how many events a message there counts.
READS: Mapping[str, tuple[Sequence[TopicName], int]] = {
    "split": ((TopicName.FILES_NOTICED,), EVENTS_IN_A_FILE),
    "enrich": ((TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD), 1),
    "store": ((TopicName.EVENTS_ENRICHED, TopicName.EVENTS_REPAIRED), 1),
}


class LagReader(Protocol):
    """Tells how far a group is behind; opstrail_runtime.kafka_lags is the real one."""

    def lag(self, group: str, topics: Sequence[TopicName]) -> int:
        """Return the records that a group has yet to read. Raises Unavailable."""


@dataclass(slots=True)
class Gate:
    """Opens while every service is near enough. `groups` are the services that are waited for."""

    reader: LagReader
    groups: Mapping[str, str]
    politeness: Politeness
    patiently: Patiently
    monotonic: Callable[[], float]
    _earlier: dict[str, Lag] = field(default_factory=dict)

    def wait(self, pulse: StopPulse) -> None:
        """Return when files may be added."""
        paused = False
        while (behind := self.patiently(self._behind, pulse)) is not None:
            if not paused:
                emit(BackfillPaused(behind.service, behind.events))
            paused = True
            pulse.pause(LOOK_AGAIN_S)
        if paused:
            emit(BackfillGoesOn())

    def _behind(self) -> Lag | None:
        lags = [
            Lag(
                service, self.reader.lag(group, READS[service][0]) * READS[service][1],
                self.monotonic(),
            )
            for service, group in self.groups.items()
        ]  # fmt: skip
        behind = self.politeness.too_far(lags, self._earlier)
        self._earlier = {lag.service: lag for lag in lags}
        return behind
