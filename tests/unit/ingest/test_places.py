"""What SOURCE may be, which buckets may be named, and the keys of local files."""

import pytest

from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.local_keys import local_key
from opstrail_ingest.places import BadSource, Files, Place, Prefix, Queue, Stdin, place


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("-", Stdin()),
        ("s3://trail", Prefix("trail")),
        ("s3://trail/", Prefix("trail")),
        ("s3://trail/AWSLogs/o-x/", Prefix("trail", "AWSLogs/o-x/")),
        ("https://sqs.eu-west-1.amazonaws.com/111122223333/q", Queue(
            "https://sqs.eu-west-1.amazonaws.com/111122223333/q")),
        ("trails", Files("trails")),
        ("./s3:/odd", Files("./s3:/odd")),
    ],
)  # fmt: skip
def test_a_source_is_told_by_its_text(source: str, found: Place) -> None:
    assert found == place(source)


@pytest.mark.parametrize(
    "source",
    ["s3://", "s3:///x", "s3://-bucket", "s3://local/x", "ftp://host/x", "https://", "http://host",
     "https:///queue"],
)  # fmt: skip
def test_a_source_that_is_misspelt_is_refused(source: str) -> None:
    with pytest.raises(BadSource):
        place(source)


@pytest.mark.parametrize(
    ("url", "region", "endpoint"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/111122223333/q", "eu-west-1", None),
        ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q", "cn-north-1", None),
        ("http://127.0.0.1:5000/111122223333/q", None, "http://127.0.0.1:5000"),
    ],
)
def test_the_url_of_a_queue_says_where_to_ask(
    url: str, region: str | None, endpoint: str | None
) -> None:
    queue = Queue(url)

    assert (region, endpoint) == (queue.region, queue.endpoint)


@pytest.mark.parametrize(
    ("names", "allowed"), [(["trail"], True), (["trail-2"], False), ([], False), (["*"], True)]
)
def test_only_buckets_on_the_list_are_allowed(names: list[str], allowed: bool) -> None:
    assert allowed == ("trail" in AllowedBuckets(names))


@pytest.mark.parametrize(
    ("path", "source", "key"),
    [
        ("/d/AWSLogs/1/x.gz", "/d", "AWSLogs/1/x.gz"),
        ("/d/AWSLogs/o-1/AWSLogs/1/x.gz", "/d/AWSLogs/o-1/AWSLogs/1", "AWSLogs/1/x.gz"),
        ("/d/MyAWSLogs/x.gz", "/d", "MyAWSLogs/x.gz"),
        ("/d/e/x.gz", "/d", "e/x.gz"),
        ("/d/e/x.gz", "/", "d/e/x.gz"),
        ("/elsewhere/x.gz", "/d", "x.gz"),
    ],
)
def test_a_local_key_begins_at_the_last_trail_folder(path: str, source: str, key: str) -> None:
    assert key == local_key(path, source)
