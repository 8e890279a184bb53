"""Lists trail files in a bucket: a whole prefix, or the folders that a range of days needs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from opstrail_ingest.aws_errors import code_of, spoken_by
from opstrail_ingest.days import Days, Folder
from opstrail_ingest.patience import Patiently
from opstrail_ingest.places import BadSource, Prefix
from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ListObjectsV2RequestTypeDef

_FOR_GOOD = frozenset({"NoSuchBucket", "AccessDenied", "AllAccessDisabled", "InvalidBucketName"})


class S3Source:
    """One place in a bucket. Waits while S3 is away; BadSource where it may not be listed."""

    def __init__(self, client: "S3Client", place: Prefix, days: Days, patiently: Patiently) -> None:
        self._client = client
        self._place = place
        self._days = days
        self._patiently = patiently

    def notices(self, pulse: Pulse, *, now_ms: Callable[[], int]) -> Iterator[FileNotice]:
        """Yield a notice of every object, in the order of keys."""
        whole = not self._days.bounded
        yield from self._below(self._place.prefix, pulse, now_ms, whole=whole)

    def _below(
        self, prefix: str, pulse: Pulse, now_ms: Callable[[], int], *, whole: bool
    ) -> Iterator[FileNotice]:
        asked: ListObjectsV2RequestTypeDef = {"Bucket": self._place.bucket, "Prefix": prefix}
        if not whole:
            asked["Delimiter"] = "/"
        folders: list[str] = []
        for page in self._pages(asked, pulse):
            folders += [found["Prefix"] for found in page.get("CommonPrefixes", [])]
            for found in page.get("Contents", []):
                if self._days.object(found["Key"], found["LastModified"]):
                    yield FileNotice(
                        bucket=self._place.bucket,
                        key=found["Key"],
                        e_tag=found["ETag"].strip('"') or None,
                        size=found["Size"],
                        last_modified=int(found["LastModified"].timestamp() * 1000),
                        source="listing",
                        noticed_at=now_ms(),
                    )
        for folder in folders:
            what = self._days.folder(folder)
            if what is not Folder.SKIP:
                yield from self._below(folder, pulse, now_ms, whole=what is Folder.WHOLE)

    def _pages(
        self, asked: "ListObjectsV2RequestTypeDef", pulse: Pulse
    ) -> Iterator["ListObjectsV2OutputTypeDef"]:
        more: str | None = ""
        while more is not None:
            pulse.beat()
            page = self._patiently(partial(self._page, asked, more), pulse)
            yield page
            more = page.get("NextContinuationToken")

    def _page(
        self, asked: "ListObjectsV2RequestTypeDef", more: str
    ) -> "ListObjectsV2OutputTypeDef":
        if more:
            asked = {**asked, "ContinuationToken": more}
        with spoken_by("s3"):
            try:
                return self._client.list_objects_v2(**asked)
            except ClientError as error:
                if code_of(error) not in _FOR_GOOD:
                    raise
                raise BadSource(
                    f"s3://{self._place.bucket}: {error}; is the name right, and s3:ListBucket "
                    "granted?"
                ) from error
