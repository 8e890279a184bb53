"""The window of repeats: new, repeat, conflict; bounded; a part for each partition."""

from hypothesis import given
from hypothesis import strategies as st

from opstrail_enrich.window import Seen, Window, content_of
from tests.support.enriching import raw_event


def a_window(most: int, *partitions: int) -> Window:
    window = Window(most_identities=most)
    for partition in partitions or (0,):
        window.open(partition)
    return window


def held(window: Window, partition: int, numbers: range) -> list[int]:
    return [n for n in numbers if window.seen(partition, b"%d" % n, b"") is Seen.REPEAT]


def test_an_identity_is_new_then_a_repeat_and_with_other_content_a_conflict() -> None:
    window = a_window(10)
    assert Seen.NEW is window.seen(0, b"a", b"1")

    window.add(0, b"a", b"1")

    assert Seen.REPEAT is window.seen(0, b"a", b"1")
    assert Seen.CONFLICT is window.seen(0, b"a", b"2")


def test_the_first_content_counts() -> None:
    window = a_window(10)
    window.add(0, b"a", b"1")
    window.add(0, b"a", b"2")

    assert Seen.REPEAT is window.seen(0, b"a", b"1")


def test_content_is_time_source_and_name() -> None:
    same = [content_of(raw_event()), content_of(raw_event(userAgent="other"))]
    other = [
        content_of(raw_event(event_time=None)),
        content_of(raw_event(eventName="x")),
        content_of(raw_event(eventSource="x")),
    ]

    assert 1 == len(set(same))
    assert 4 == len({same[0], *other})


def test_the_oldest_goes_first() -> None:
    window = a_window(3)
    for number in range(8):
        window.add(0, b"%d" % number, b"")

    assert [5, 6, 7] == held(window, 0, range(8))
    assert 3 == len(window)


def test_partitions_share_the_whole_and_are_forgotten_one_by_one() -> None:
    window = a_window(8, 0, 1)
    for number in range(8):
        window.add(0, b"%d" % number, b"")
        window.add(1, b"%d" % number, b"")

    window.forget(1)
    window.forget(1)

    assert (1, 4, 8) == (window.parts, len(window), window.most_in_a_part)


def test_a_part_shrinks_and_grows_with_its_share() -> None:
    window = a_window(6, 0)
    for number in range(8):
        window.add(0, b"%d" % number, b"")
    window.open(1)
    assert [5, 6, 7] == held(window, 0, range(20))

    window.add(0, b"8", b"")
    assert [6, 7, 8] == held(window, 0, range(20))

    window.add(0, b"9", b"")
    window.forget(1)
    for number in range(10, 14):
        window.add(0, b"%d" % number, b"")

    assert [8, 9, 10, 11, 12, 13] == held(window, 0, range(20))


def test_parts_that_stand_still_give_up_what_newcomers_take() -> None:
    window = a_window(12, 0)
    for number in range(12):
        window.add(0, b"%d" % number, b"")

    for partition in range(1, 4):
        window.open(partition)
        for number in range(12):
            window.add(partition, b"%d" % number, b"")

    assert 12 == len(window), "the bound of all parts together"
    assert [9, 10, 11] == held(window, 0, range(12))


@given(st.lists(st.one_of(st.integers(0, 30), st.sampled_from(["open", "forget"])), max_size=120))
def test_it_holds_the_last_identities_whatever_happens_to_its_share(steps: list[int | str]) -> None:
    window, others = a_window(12), 0
    model: list[int] = []
    for step in steps:
        if step == "open":
            others += 1
            window.open(others)
            model = model[-window.most_in_a_part :]
            assert sorted(model) == held(window, 0, range(31))
        elif step == "forget":
            window.forget(others)
            others = max(0, others - 1)
        elif isinstance(step, int) and step not in model:
            model = [*model, step][-window.most_in_a_part :]
            window.add(0, b"%d" % step, b"")
            assert sorted(model) == held(window, 0, range(31))
        if not window.parts:
            break


def test_a_window_of_no_partition_is_empty() -> None:
    assert 0 == len(Window(most_identities=5))
