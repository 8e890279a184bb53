"""What SOURCE may be: a queue, a place in a bucket, stdin or a path, by its text (PURE)."""

import re
from dataclasses import dataclass

from opstrail_ingest.notification import LOCAL_BUCKET

_S3 = re.compile(
    r"s3://(?P<bucket>[A-Za-z0-9][\w.-]{1,254})(?:/(?P<prefix>.*))?", re.DOTALL | re.ASCII
)
_REGION = re.compile(r"https://sqs(?:-fips)?\.(?P<region>[a-z]+(?:-[a-z]+)+-\d+)\.[a-z0-9.-]+/")
_QUEUE = re.compile(r"https?://[^/\s]+/\S+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class BadSource(Exception):
    """SOURCE cannot be read and waiting would not help: it is misspelt, or rights are missing."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of notifications."""

    url: str

    @property
    def region(self) -> str | None:
        """The Region that AWS's own URLs name."""
        found = _REGION.match(self.url)
        return found["region"] if found else None

    @property
    def endpoint(self) -> str | None:
        """Where to ask, for a URL that is not AWS's own."""
        return None if self.region else self.url.split("/", 3)[0] + "//" + self.url.split("/", 3)[2]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Objects of a bucket whose keys begin so."""

    bucket: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Stdin:
    """What comes on stdin: one file."""


@dataclass(frozen=True, slots=True)
class Files:
    """A folder, or one file."""

    path: str


Place = Queue | Prefix | Stdin | Files


def place(source: str) -> Place:
    """Return where SOURCE is. Raises BadSource."""
    if source == "-":
        return Stdin()
    if source.startswith("s3://"):
        found = _S3.fullmatch(source)
        if found is None or found["bucket"] == LOCAL_BUCKET:  # the name is that of local files
            raise BadSource(f"{source}: not s3://BUCKET or s3://BUCKET/PREFIX")
        return Prefix(found["bucket"], found["prefix"] or "")
    if _QUEUE.fullmatch(source):
        return Queue(source)
    if _URL.match(source):
        raise BadSource(f"{source}: give a folder, a file, -, s3://BUCKET/PREFIX or a queue's URL")
    return Files(source)
