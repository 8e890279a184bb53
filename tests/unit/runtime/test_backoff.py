"""Waits between tries."""

import random

from opstrail_runtime.backoff import Backoff


def test_waits_double_up_to_the_longest_and_are_shortened_by_at_most_half() -> None:
    backoff = Backoff(first_s=1, longest_s=10, rng=random.Random(1))

    waits = [backoff.wait_s(attempt) for attempt in range(1, 60)]

    for wait, full in zip(waits, [1, 2, 4, 8] + [10] * 55, strict=True):
        assert full / 2 <= wait <= full
