"""How long to wait before the next try (PURE)."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first_s` to `longest_s`, each shortened by up to half at random."""

    first_s: float
    longest_s: float
    rng: random.Random

    def wait_s(self, attempt: int) -> float:
        """Return the wait before that attempt; the first retry is attempt 1."""
        longest: float = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30))
        return longest * (1 - self.rng.random() / 2)
