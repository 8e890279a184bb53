"""Objects of a bucket, listed."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from opstrail_ingest.days import Days
from opstrail_ingest.places import BadSource, Prefix
from opstrail_ingest.s3_source import S3Source
from opstrail_ingest.wiring import new_s3
from opstrail_runtime.settings import S3Settings
from opstrail_schemas.messages import FileNotice
from tests.support.discovering import NOW_MS, patiently
from tests.support.faulty_s3 import error, faulty_s3
from tests.support.memory_kafka import StillPulse

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ORG = "team/AWSLogs/o-abcdefghij/"
DAYS = ("2021/07/29", "2021/07/30", "2021/07/31", "2022/01/01")
TRAIL = [
    f"{ORG}{account}/{kind}/{region}/{day}/a +%2B.json.gz"
    for account in ("111122223333", "444455556666")
    for kind in ("CloudTrail", "CloudTrail-Digest")
    for region in ("eu-west-1", "us-east-1")
    for day in DAYS
]


@pytest.fixture(scope="module")
def s3(aws: str) -> "S3Client":
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "x")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "x")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = new_s3(S3Settings(endpoint_url=aws))
        client.create_bucket(Bucket="listed")
        for key in [*TRAIL, "plain/1.json", "plain/deep/2.json", "root.json"]:
            client.put_object(Bucket="listed", Key=key, Body=b"x")
    return client


def listed(client: "S3Client", prefix: str, days: Days = Days()) -> list[FileNotice]:  # noqa: B008
    source = S3Source(client, Prefix("listed", prefix), days, patiently())
    return list(source.notices(StillPulse(), now_ms=lambda: NOW_MS))


def keys(notices: Sequence[FileNotice]) -> list[str]:
    return [notice.key for notice in notices]


def test_a_notice_tells_what_the_listing_tells(s3: "S3Client") -> None:
    head = s3.head_object(Bucket="listed", Key="root.json")

    expected = FileNotice(
        bucket="listed",
        key="root.json",
        e_tag=head["ETag"].strip('"'),
        size=1,
        last_modified=int(head["LastModified"].timestamp()) * 1000,
        source="listing",
        noticed_at=NOW_MS,
    )
    assert [expected] == listed(s3, "root")


def test_a_prefix_is_listed_whole_in_the_order_of_keys(s3: "S3Client") -> None:
    assert sorted([*TRAIL, "plain/1.json", "plain/deep/2.json", "root.json"]) == keys(
        listed(s3, "")
    )
    assert ["plain/1.json", "plain/deep/2.json"] == keys(listed(s3, "plain/"))


@pytest.mark.parametrize(
    "prefix", ["", "tea", "team/", "team/AWSLogs/", ORG, ORG + "111122223333/", f"{ORG}1"]
)
def test_a_range_of_days_is_found_from_anywhere_above_it(s3: "S3Client", prefix: str) -> None:
    days = Days(date(2021, 7, 30), date(2021, 7, 31))

    expected = [
        key
        for key in TRAIL
        if key.startswith(prefix) and ("2021/07/30" in key or "2021/07/31" in key)
    ]
    assert sorted(expected) == sorted(keys(listed(s3, prefix, days)))


@pytest.mark.parametrize(
    "prefix",
    [
        f"{ORG}111122223333/CloudTrail/eu-west-1/2021/07/",
        f"{ORG}111122223333/CloudTrail/eu-west-1/2021/07/30/",
    ],
)
def test_a_range_of_days_is_found_from_within_it(s3: "S3Client", prefix: str) -> None:
    found = keys(listed(s3, prefix, Days(date(2021, 7, 30), date(2021, 7, 30))))

    assert [f"{ORG}111122223333/CloudTrail/eu-west-1/2021/07/30/a +%2B.json.gz"] == found


def test_only_the_folders_of_the_range_are_listed(s3: "S3Client") -> None:
    asked: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["Prefix"])

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", note)
    listed(s3, f"{ORG}111122223333/CloudTrail/", Days(date(2022, 1, 1), date(2022, 1, 1)))
    s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", note)

    assert [] == [prefix for prefix in asked if "/2021/" in prefix]
    assert 2 == sum(prefix.endswith("/2022/01/01/") for prefix in asked)


def test_a_long_listing_is_read_page_by_page(s3: "S3Client") -> None:
    def by_threes(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", by_threes)
    found = keys(listed(s3, ORG))
    s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", by_threes)

    assert sorted(TRAIL) == found


def test_a_bucket_that_is_not_there_is_a_bad_source(s3: "S3Client") -> None:
    source = S3Source(s3, Prefix("no-such-bucket"), Days(), patiently())

    with pytest.raises(BadSource, match="no-such-bucket"):
        next(source.notices(StillPulse(), now_ms=lambda: NOW_MS))


def test_a_listing_waits_while_s3_is_away() -> None:
    class Gone(Exception):
        pass

    class Pulse(StillPulse):
        def wait(self, seconds: float, *, why: str) -> None:
            super().wait(seconds, why=why)
            if len(self.waits) == 2:
                raise Gone

    pulse = Pulse()
    fault = error(503, "ServiceUnavailable")
    with faulty_s3(fault, bucket=fault) as s3:
        client = new_s3(S3Settings(endpoint_url=s3.url))
        source = S3Source(client, Prefix("bucket"), Days(), patiently())
        with pytest.raises(Gone):
            next(source.notices(pulse, now_ms=lambda: NOW_MS))

    assert pulse.waits[0][1].startswith("s3: ")
