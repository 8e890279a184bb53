"""Fakes for what discover works with."""

import random
from collections.abc import Sequence

from opstrail_ingest.notices import Notices
from opstrail_ingest.patience import Patiently, StopPulse
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Output
from opstrail_schemas.codec import Codec
from opstrail_schemas.messages import DeadLetter, FileNotice
from opstrail_schemas.topics import TopicName

NOTICES = Codec(FileNotice, 1, lambda schema_id: f"no schema {schema_id}")
LETTERS = Codec(DeadLetter, 2, lambda schema_id: f"no schema {schema_id}")
NOW_MS = 1_700_000_000_000


class Writer:
    """Keeps what is written; as often as `away` says, Kafka is away."""

    def __init__(self, *, away: int = 0) -> None:
        self.outputs: list[Output] = []
        self.away = away
        self.tried = 0

    def write(self, outputs: Sequence[Output]) -> None:
        self.tried += 1
        if self.away:
            self.away -= 1
            raise Unavailable("kafka", "away")
        self.outputs += outputs

    def close(self) -> None:
        pass

    @property
    def notices(self) -> list[FileNotice]:
        return [
            NOTICES.decode(output.value or b"")
            for output in self.outputs
            if output.topic == TopicName.FILES_NOTICED
        ]

    @property
    def letters(self) -> list[DeadLetter]:
        return [
            LETTERS.decode(output.value or b"")
            for output in self.outputs
            if output.topic == TopicName.DEAD_LETTERS
        ]


class Stop:
    """Asks to stop after so many waits; remembers them."""

    def __init__(self, *, after_waits: int | None = None) -> None:
        self.waits: list[float] = []
        self._after = after_waits

    def is_set(self) -> bool:
        return self._after is not None and len(self.waits) >= self._after

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()


def a_pulse(stop: Stop | None = None) -> StopPulse:
    return StopPulse("discover", stop or Stop())


def patiently() -> Patiently:
    return Patiently(Backoff(first_s=1, longest_s=8, rng=random.Random(1)))


def some_notices() -> Notices:
    return Notices(NOTICES, LETTERS, mask=lambda text: text.replace(b"hush", b"***"))
