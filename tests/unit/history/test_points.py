"""Points in time that are kept open are counted, and forgotten when OpenSearch forgets them."""

from opstrail_history.points import KEPT_S, OpenPoints


def test_there_is_room_again_once_one_is_closed_or_forgotten():
    now = [0.0]
    points = OpenPoints(lambda: now[0], most=2)
    points.used("a")
    now[0] = KEPT_S / 2
    points.used("b")
    assert not points.is_room()

    points.closed("b")
    assert points.is_room()
    points.used("c")
    assert not points.is_room()
    now[0] = KEPT_S + 1
    assert points.is_room()
