"""When two records of one identity are one event."""

import pytest

from opstrail_schemas.record_fields import event_time_of
from opstrail_store.content import content_of, is_same
from tests.support.enriched import A_RECORD, JAN_2, an_enriched

SAME = content_of(an_enriched().event)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"eventTime": "2023-01-02T00:00:00.000Z"}, True),
        ({"eventTime": "2023-01-02T01:00:00+01:00"}, True),
        ({"eventTime": "2023-01-02T00:00:00"}, True),
        ({"eventTime": "some day"}, True),
        ({"eventTime": "2023-01-02T00:00:01Z"}, False),
        ({"eventTime": None}, True),
        ({"eventName": "StartInstance"}, False),
        ({"eventSource": "ec2.amazonaws.com"}, False),
    ],
)
def test_time_source_and_name_decide(changes, expected):
    assert expected == is_same(SAME, {**A_RECORD, **changes})


def test_an_event_without_a_time():
    content = SAME._replace(event_time=None)

    assert is_same(content, {**A_RECORD, "eventTime": None})
    assert is_same(content, {**A_RECORD, "eventTime": "some day"})
    assert not is_same(content, A_RECORD)


@pytest.mark.parametrize(
    "time", ["2023-01-02T00:00:00.123Z", "2023-01-02T00:00:00+00:00", "2023-01-02", 7]
)
def test_an_event_is_itself_whatever_its_time_looks_like(time):
    record = {**A_RECORD, "eventTime": time}
    text = time if isinstance(time, str) else None
    content = SAME._replace(event_time=event_time_of(text, []))

    assert is_same(content, record)
    assert is_same(content, {**record, "eventTime": None})


def test_the_time_of_the_fixture():
    assert JAN_2 == SAME.event_time
