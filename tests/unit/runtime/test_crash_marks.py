"""Marks beside committed offsets: what is read back, and what follows from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_runtime.crash_marks import (
    CLEAN,
    RUNNING,
    Care,
    Mark,
    care_after,
    care_after_progress,
    care_after_setting_aside,
    mark_of,
    text_of,
)

marks = st.one_of(
    st.just(CLEAN),
    st.builds(Mark, set_aside=st.integers(0, 9), refused=st.integers(0, 2**40)),
    st.builds(Mark, stopped=st.just(value=True), refused=st.integers(0, 2**40)),
    st.builds(
        Mark,
        refused=st.integers(0, 2**40),
        size=st.integers(1, 512),
        end=st.integers(0, 2**40),
        deaths=st.integers(0, 9),
        set_aside=st.integers(0, 9),
    ),
)


@given(marks)
def test_a_mark_is_read_back_as_it_was_written(mark: Mark) -> None:
    assert mark_of(text_of(mark)) == mark


@pytest.mark.parametrize("text", ["", "somebody else's", "trying=many", "running aside=few"])
def test_a_text_that_is_not_ours_counts_as_a_clean_stop(text: str) -> None:
    assert mark_of(text) == CLEAN


def test_after_a_clean_stop_nothing_is_careful() -> None:
    assert care_after(CLEAN) == Care()


def test_after_a_death_one_input_is_taken_at_a_time() -> None:
    assert care_after(RUNNING) == Care(size=1)


def test_a_death_in_a_portion_is_looked_for_in_eighths_of_it() -> None:
    assert care_after(Mark(size=64, end=100)) == Care(size=8, until=100)


def test_portions_do_not_grow_before_the_killer_is_behind() -> None:
    care = Care(size=8, until=100)

    assert care_after_progress(care, 50) == care
    assert care_after_progress(care, 100) == Care(size=64)


def test_the_third_death_alone_sets_an_input_aside() -> None:
    care = care_after(Mark(size=1, end=5, deaths=2))

    assert care.sets_aside
    assert not care_after(Mark(size=1, end=5, deaths=1)).sets_aside


def test_setting_aside_counts_until_there_is_progress() -> None:
    care = Care(size=1, deaths=3, set_aside=4)

    after = care_after_setting_aside(care)

    assert after.is_our_bug
    assert not after.sets_aside
    assert not care_after_progress(after, 9).is_our_bug


def test_care_ends_when_portions_are_large() -> None:
    assert care_after_progress(Care(size=512), 9) == Care()
