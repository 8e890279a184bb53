"""Messages of a queue, told apart by what they hold."""

import json
from typing import Any

import pytest

from opstrail_ingest.notification import Found, Ignored, SeenObject, read_notification
from opstrail_runtime.errors import InvalidRecord

KEY = "AWSLogs/111122223333/CloudTrail/eu-west-1/2024/05/06/file.json.gz"


def an_s3_record(**changes: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": "trail", "arn": "arn:aws:s3:::trail"},
            "object": {"key": KEY, "size": 1024, "eTag": "d41d8cd9", "versionId": "v1"},
        },
    } | changes


def an_s3_object(key: Any, **rest: Any) -> dict[str, Any]:
    return an_s3_record(s3={"bucket": {"name": "trail"}, "object": {"key": key, **rest}})


def an_s3_event(*records: Any) -> dict[str, Any]:
    return {"Records": list(records or [an_s3_record()])}


def an_eventbridge_event(**changes: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "trail"},
            "object": {"key": "a+b%20c", "size": 5, "etag": "b1946ac9", "version-id": "v2"},
            "reason": "PutObject",
        },
    } | changes


def wrapped(message: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:trail",
        "Message": message if isinstance(message, str) else json.dumps(message),
    }


SEEN = SeenObject("trail", KEY, "s3", "v1", "d41d8cd9", 1024)
SEEN_BY_SNS = SeenObject("trail", KEY, "sns", "v1", "d41d8cd9", 1024)
SEEN_BY_EVENTBRIDGE = SeenObject("trail", "a+b%20c", "eventBridge", "v2", "b1946ac9", 5)
OF_CLOUDTRAIL = {"s3Bucket": "trail", "s3ObjectKey": ["a/1+2.json.gz", "a/2%20.json.gz"]}
SEEN_BY_CLOUDTRAIL = (
    SeenObject("trail", "a/1+2.json.gz", "cloudTrail"),
    SeenObject("trail", "a/2%20.json.gz", "cloudTrail"),
)


@pytest.mark.parametrize(
    ("body", "objects"),
    [
        (an_s3_event(), (SEEN,)),
        (an_s3_event(an_s3_record(), an_s3_record(eventName="ObjectCreated:Copy")), (SEEN, SEEN)),
        (an_s3_event(an_s3_record(eventName="ObjectRemoved:Delete"), an_s3_record()), (SEEN,)),
        (an_s3_event(an_s3_record(eventVersion="2.5")), (SEEN,)),
        (
            an_s3_event(an_s3_record(eventSource="minio:s3", eventName="s3:ObjectCreated:Put")),
            (SEEN,),
        ),
        (wrapped(an_s3_event()), (SEEN_BY_SNS,)),
        (wrapped(OF_CLOUDTRAIL), SEEN_BY_CLOUDTRAIL),
        (OF_CLOUDTRAIL, SEEN_BY_CLOUDTRAIL),
        (
            wrapped({"s3Bucket": "trail", "s3ObjectKey": "a/one.json.gz"}),
            (SeenObject("trail", "a/one.json.gz", "cloudTrail"),),
        ),
        (an_eventbridge_event(), (SEEN_BY_EVENTBRIDGE,)),
        (wrapped(an_eventbridge_event()), (SEEN_BY_EVENTBRIDGE,)),
    ],
)
def test_a_notification_names_its_objects(
    body: dict[str, Any], objects: tuple[SeenObject, ...]
) -> None:
    assert Found(objects) == read_notification(json.dumps(body))


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a%2Fb+c%2B%25.gz", "a/b c+%.gz"),
        ("%C3%BCber.gz", "über.gz"),
        ("a%252Bb", "a%2Bb"),
        ("plain/key.gz", "plain/key.gz"),
    ],
)
def test_keys_of_s3_events_are_decoded_exactly_once(encoded: str, key: str) -> None:
    body = json.dumps(an_s3_event(an_s3_object(encoded)))

    assert Found((SeenObject("trail", key, "s3"),)) == read_notification(body)


def test_what_a_notification_leaves_empty_is_not_known() -> None:
    body = json.dumps(an_s3_event(an_s3_object("a", versionId="", eTag='""', size=None)))

    assert Found((SeenObject("trail", "a", "s3"),)) == read_notification(body)


def test_quotes_around_an_etag_are_no_part_of_it() -> None:
    body = json.dumps(an_s3_event(an_s3_object("a", eTag='"abc-2"')))

    assert Found((SeenObject("trail", "a", "s3", e_tag="abc-2"),)) == read_notification(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("CloudTrail validation message.", "validation"),
        (wrapped("CloudTrail validation message."), "validation"),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "trail"}, "test"),
        (wrapped({"Service": "Amazon S3", "Event": "s3:TestEvent"}), "test"),
        ({"Type": "SubscriptionConfirmation", "Token": "t", "Message": "You have"}, "subscription"),
        ({"Type": "UnsubscribeConfirmation", "Message": "You have"}, "subscription"),
        (an_s3_event(an_s3_record(eventName="ObjectRemoved:Delete")), "otherEvent"),
        (an_s3_event(an_s3_record(eventName="ObjectRestore:Completed", s3=None)), "otherEvent"),
        (an_eventbridge_event(**{"detail-type": "Object Deleted"}), "otherEvent"),
    ],
)
def test_known_messages_that_name_no_new_file_are_ignored(body: Any, kind: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)

    assert Ignored(kind) == read_notification(text)  # type: ignore[arg-type]


A_TRAIL_RECORD = {
    "eventVersion": "1.08",
    "eventSource": "s3.amazonaws.com",
    "eventName": "PutObject",
    "requestParameters": {"bucketName": "trail", "key": KEY},
}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "CloudTrail validation",
        "[1, 2",
        "[" * 100_000,
        "7",
        json.dumps([an_s3_record()]),
        "{}",
        '{"Records": []}',
        '{"Records": {"eventSource": "aws:s3"}}',
        json.dumps({"Records": [A_TRAIL_RECORD]}),
        json.dumps({"Records": [7]}),
        json.dumps(an_s3_event(an_s3_record(eventVersion="3.0"))),
        json.dumps(wrapped(wrapped(an_s3_event()))),
        json.dumps({"Type": "Notification", "Message": {"Records": []}}),
        json.dumps(an_eventbridge_event(**{"detail-type": "AWS API Call via CloudTrail"})),
        json.dumps(an_eventbridge_event(source="aws.s3-outposts")),
        json.dumps({"configurationItem": {}, "messageType": "ConfigurationItemChangeNotification"}),
    ],
)
def test_anything_else_is_not_a_notification(body: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        read_notification(body)

    assert "not-a-notification" == refused.value.reason


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (an_s3_event(an_s3_object("")), "s3.object.key"),
        (an_s3_event(an_s3_object(7)), "s3.object.key"),
        (an_s3_event(an_s3_object("%FF")), "s3.object.key"),
        (an_s3_event(an_s3_object("k" * 1025)), "s3.object.key"),
        (an_s3_event(an_s3_object("a\ud800")), "s3.object.key"),
        (an_s3_event(an_s3_object("a", size=-1)), "s3.object.size"),
        (an_s3_event(an_s3_object("a", size=2**63)), "s3.object.size"),
        (an_s3_event(an_s3_object("a", eTag="a\ud800")), "s3.object.eTag"),
        (an_s3_event(an_s3_object("a", versionId="a\ud800")), "s3.object.versionId"),
        (an_eventbridge_event(detail={"bucket": {"name": "trail"}, "object": {"key": "a", "etag":
         "\ud800"}}), "detail.object.etag"),
        (an_s3_event(an_s3_record(s3={"bucket": {"name": "trail"}})), "s3.object"),
        (an_s3_event(an_s3_record(s3={"bucket": {"name": "../x"}, "object": {"key": "a"}})),
         "s3.bucket.name"),
        (an_s3_event(an_s3_record(s3={"bucket": {"name": "local"}, "object": {"key": "a"}})),
         "s3.bucket.name"),
        (an_eventbridge_event(detail={"bucket": {"name": "trail"}}), "detail.object"),
        ({"s3Bucket": 7, "s3ObjectKey": "a"}, "s3Bucket"),
        ({"s3Bucket": "trail", "s3ObjectKey": [None]}, "s3ObjectKey"),
        ({"s3Bucket": "trail", "s3ObjectKey": []}, None),
    ],
)  # fmt: skip
def test_a_notification_with_a_wrong_field_is_refused(body: Any, field: str | None) -> None:
    with pytest.raises(InvalidRecord) as refused:
        read_notification(json.dumps(body))

    assert ("bad-notification", field) == (refused.value.reason, refused.value.field)


@pytest.mark.parametrize(
    "body",
    [
        an_s3_event(an_s3_object(""), an_s3_object("good")),
        {"s3Bucket": "trail", "s3ObjectKey": ["good", 7]},
    ],
)
def test_one_broken_record_does_not_cost_its_neighbours(body: Any) -> None:
    found = read_notification(json.dumps(body))

    assert isinstance(found, Found)
    assert ["good"] == [seen.key for seen in found.objects]
    assert ["bad-notification"] == [error.reason for error in found.refused]
