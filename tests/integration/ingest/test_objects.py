"""Objects of S3: read whole, and what happens when one, or all of S3, cannot be read."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from opstrail_ingest.fetched import ObjectUnavailable
from opstrail_ingest.objects import S3Objects, Spool, Tries
from opstrail_ingest.wiring import new_s3
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.settings import S3Settings
from opstrail_schemas.messages import FileNotice
from tests.support.faulty_s3 import Answer, body, error, faulty_s3
from tests.support.memory_kafka import StillPulse

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "AWSLogs/a +%2B/über.json.gz"
SPOOL = Spool(folder=None, memory_bytes=1_000, most_bytes=100_000)


def a_reader(
    client: "S3Client", *, most_s: float = 60, seconds: Iterator[int] | None = None
) -> S3Objects:
    ticks = seconds or iter(range(10**9))
    return S3Objects(
        client,
        SPOOL,
        Tries(most=3, most_s=most_s, backoff=Backoff(1, 4, random.Random(1))),
        monotonic=lambda: float(next(ticks)),
    )


def a_notice(bucket: str, key: str = KEY, **rest: str) -> FileNotice:
    return FileNotice(bucket=bucket, key=key, source="s3", noticed_at=0, **rest)  # type: ignore[arg-type]


@pytest.fixture
def s3(aws: str) -> "S3Client":
    return new_s3(S3Settings(endpoint_url=aws))


@pytest.fixture
def bucket(s3: "S3Client", namespace: str) -> str:
    s3.create_bucket(Bucket=namespace)
    return namespace


@pytest.mark.parametrize("content", [b"", b"short", b"longer than memory " * 1_000])
def test_an_object_is_read_whole(s3: "S3Client", bucket: str, content: bytes) -> None:
    put = s3.put_object(Bucket=bucket, Key=KEY, Body=content, ContentEncoding="gzip")

    fetched = a_reader(s3).fetch(a_notice(bucket), StillPulse())

    with closing(fetched):
        assert (content, len(content)) == (fetched.body.read(), fetched.size)
    assert put["ETag"].strip('"') == fetched.e_tag
    assert fetched.last_modified is not None
    assert fetched.e_tag == a_reader(s3).e_tag(a_notice(bucket), StillPulse())


def test_the_version_that_a_notice_names_is_read(s3: "S3Client", bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key=KEY, Body=b"first")
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"second")
    notice = a_notice(bucket, version_id=first["VersionId"])

    fetched = a_reader(s3).fetch(notice, StillPulse())

    with closing(fetched):
        assert (b"first", first["VersionId"]) == (fetched.body.read(), fetched.version_id)
    assert first["ETag"].strip('"') == a_reader(s3).e_tag(notice, StillPulse())


def test_an_object_that_was_overwritten_is_read_as_it_is_now(s3: "S3Client", bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key=KEY, Body=b"first")["ETag"]
    second = s3.put_object(Bucket=bucket, Key=KEY, Body=b"second")["ETag"]

    fetched = a_reader(s3).fetch(a_notice(bucket, e_tag=first.strip('"')), StillPulse())

    with closing(fetched):
        assert (b"second", second.strip('"')) == (fetched.body.read(), fetched.e_tag)


def test_an_object_that_is_not_there_is_tried_a_few_times(s3: "S3Client", bucket: str) -> None:
    pulse = StillPulse()

    for call in (a_reader(s3).fetch, a_reader(s3).e_tag):
        with pytest.raises(ObjectUnavailable, match=f"not-found: s3://{bucket}/"):
            call(a_notice(bucket), pulse)

    assert 4 == len(pulse.waits)


def test_a_bucket_that_is_not_there_holds_up_no_other(s3: "S3Client") -> None:
    with pytest.raises(ObjectUnavailable, match="not-found"):
        a_reader(s3).fetch(a_notice("no-such-bucket"), StillPulse())


def test_names_that_s3_cannot_have_are_refused(s3: "S3Client", bucket: str) -> None:
    with pytest.raises(ObjectUnavailable, match="refused"):
        a_reader(s3).fetch(a_notice("a/b"), StillPulse())
    with pytest.raises(ObjectUnavailable, match="refused"):
        a_reader(s3).fetch(a_notice(bucket, ""), StillPulse())


def test_an_object_that_is_too_large_is_not_read(s3: "S3Client", bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=bytes(SPOOL.most_bytes + 1))

    with pytest.raises(ObjectUnavailable, match="OPSTRAIL_OBJECTS__MOST_BYTES"):
        a_reader(s3).fetch(a_notice(bucket), StillPulse())


# ------------------------------------------------------------------------------- faults, one by one


def impatient(url: str) -> "S3Client":
    """Return a client that does not try again by itself, and waits a moment for bytes."""
    config = new_s3(S3Settings(endpoint_url=url)).meta.config.merge(
        Config(read_timeout=0.3, retries={"mode": "standard", "total_max_attempts": 1})
    )
    return boto3.client("s3", endpoint_url=url, config=config)


@pytest.mark.parametrize(
    ("answers", "reason", "asked"),
    [
        ([error(403, "AccessDenied")], "access-denied", 1),
        ([error(403, "AccessDenied", "no kms:Decrypt")], "key-denied", 1),
        ([error(403, "InvalidObjectState")], "refused", 1),
        ([error(500, "InternalError")], "refused", 3),
        ([body(b"half", of=8)], "cut-short", 3),
    ],
)
def test_a_failure_of_one_object_is_its_own(answers: list[Answer], reason: str, asked: int) -> None:
    with faulty_s3(*answers) as s3:
        with pytest.raises(ObjectUnavailable) as failed:
            a_reader(impatient(s3.url)).fetch(a_notice("bucket"), StillPulse())

        assert (reason, asked) == (failed.value.reason, len(s3.asked))
        assert "s3://bucket/AWSLogs" in failed.value.message


def test_a_failure_that_passes_costs_nothing() -> None:
    answers = [error(503, "SlowDown"), body(b"cut", of=9), body(b"whole")]
    with faulty_s3(*answers) as s3:
        fetched = a_reader(impatient(s3.url)).fetch(a_notice("bucket"), StillPulse())

    with closing(fetched):
        assert b"whole" == fetched.body.read()


def test_a_body_that_stalls_is_slow() -> None:
    stall = threading.Event()
    with faulty_s3(body(b"xy", stall=stall)) as s3:
        with pytest.raises(ObjectUnavailable) as slow:
            a_reader(impatient(s3.url)).fetch(a_notice("bucket"), StillPulse())
        stall.set()

    assert "slow" == slow.value.reason


def test_a_body_that_takes_too_long_is_slow() -> None:
    with faulty_s3(body(b"xy")) as s3, pytest.raises(ObjectUnavailable, match=r"slow: .* bytes in"):
        a_reader(impatient(s3.url), most_s=0.5).fetch(a_notice("bucket"), StillPulse())


@pytest.mark.parametrize(
    "fault", [error(500, "InternalError"), error(503, "ServiceUnavailable"), error(400, "400")]
)
def test_a_store_that_answers_nobody_is_unavailable(fault: Answer) -> None:
    with faulty_s3(fault, bucket=fault) as s3, pytest.raises(Unavailable, match="s3: "):
        a_reader(impatient(s3.url)).e_tag(a_notice("bucket"), StillPulse())


def test_a_store_that_cannot_be_reached_is_unavailable() -> None:
    with faulty_s3() as s3:
        url = s3.url

    with pytest.raises(Unavailable, match="is the endpoint right"):
        a_reader(impatient(url)).fetch(a_notice("bucket"), StillPulse())


def test_credentials_that_are_missing_or_expired_are_no_fault_of_the_object(
    monkeypatch: pytest.MonkeyPatch, aws: str
) -> None:
    with faulty_s3(error(403, "ExpiredToken")) as s3, pytest.raises(Unavailable, match="valid"):
        a_reader(impatient(s3.url)).fetch(a_notice("bucket"), StillPulse())

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(Unavailable, match="give credentials"):
        a_reader(impatient(aws)).fetch(a_notice("bucket"), StillPulse())
