"""Reads the objects that notices name: from S3, or from files. The real `ObjectReader`s.

A failure of one object is ObjectUnavailable, of the whole store Unavailable; where an error may be
either, the store is asked for something else, so that no single object ever holds up the others.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError as Urllib3Error

from opstrail_ingest.aws_errors import Failure, failure_of
from opstrail_ingest.fetched import (
    PIECE_BYTES,
    Fetched,
    ObjectReader,
    ObjectUnavailable,
    pieces_of,
)
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectRequestTypeDef, HeadObjectRequestTypeDef

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spool:
    """Where bytes wait: in memory up to `memory_bytes`, in a file of `folder` beyond."""

    folder: Path | None
    memory_bytes: int
    most_bytes: int

    def filled(self, pieces: Iterable[bytes], place: str) -> tuple[BinaryIO, int]:
        """Return all that comes, at its start, and its size; its file has no name.

        The caller closes it. Raises ObjectUnavailable for more bytes than are allowed, Unavailable
        where the disk takes no more, and what reading raises.
        """
        spooled = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - the caller closes it
            self.memory_bytes, dir=None if self.folder is None else str(self.folder)
        )
        size = 0
        try:
            for piece in pieces:
                size += len(piece)
                self.refuse_over(size, place)
                with _spooling():
                    spooled.write(piece)
            with _spooling():
                spooled.seek(0)
        except BaseException:
            with suppress(OSError):  # what it still holds may find no room either
                spooled.close()
            raise
        return cast("BinaryIO", spooled), size

    def refuse_over(self, size: int, place: str) -> None:
        """Raise ObjectUnavailable for more bytes than are allowed."""
        if size > self.most_bytes:
            raise ObjectUnavailable(
                "refused",
                f"{place}: over {self.most_bytes} bytes as stored; raise "
                "OPSTRAIL_OBJECTS__MOST_BYTES if it is a trail file",
            )


@contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable("spool", f"{error}; see OPSTRAIL_OBJECTS__SPOOL_FOLDER") from error


@dataclass(frozen=True, slots=True)
class Tries:
    """How often one object is tried, with waits between, and how long one try may take."""

    most: int
    most_s: float
    backoff: Backoff


class S3Objects:
    """Reads objects of S3, or of anything that speaks like it.

    A notice's version is read where it names one. Else what is there now is read, under the ETag
    that it has now: when an object was overwritten since its notice, nothing of the old bytes is
    left to wait for, and the ledger says which ETag was split.
    """

    def __init__(
        self, client: "S3Client", spool: Spool, tries: Tries, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._spool = spool
        self._tries = tries
        self._monotonic = monotonic

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Read the whole object."""
        return self._tried(notice, pulse, lambda: self._get(notice, pulse))

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Ask for the object's ETag."""
        asked: HeadObjectRequestTypeDef = {"Bucket": notice.bucket, "Key": notice.key}
        if notice.version_id is not None:
            asked["VersionId"] = notice.version_id
        head = self._tried(notice, pulse, lambda: self._client.head_object(**asked))
        return head["ETag"].strip('"')

    def _get(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        asked: GetObjectRequestTypeDef = {"Bucket": notice.bucket, "Key": notice.key}
        if notice.version_id is not None:
            asked["VersionId"] = notice.version_id
        until = self._monotonic() + self._tries.most_s
        answer = self._client.get_object(**asked)
        size, place = answer["ContentLength"], _place(notice)

        def in_time() -> Iterator[bytes]:
            for piece in answer["Body"].iter_chunks(PIECE_BYTES):
                yield piece
                pulse.beat()
                if self._monotonic() > until:
                    raise ObjectUnavailable(
                        "slow", f"{place}: not all of {size} bytes in {self._tries.most_s:g} s"
                    )

        with closing(answer["Body"]):
            self._spool.refuse_over(size, place)
            spooled, came = self._spool.filled(in_time(), place)
        if came != size:
            spooled.close()
            raise ObjectUnavailable("cut-short", f"{place}: {came} of {size} bytes came")
        return Fetched(
            body=spooled,
            size=size,
            e_tag=answer["ETag"].strip('"'),
            version_id=answer.get("VersionId"),
            last_modified=int(answer["LastModified"].timestamp() * 1000),
        )

    def _tried(self, notice: FileNotice, pulse: Pulse, call: Callable[[], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= self._tries.most
            try:
                return call()
            except ObjectUnavailable as unavailable:
                if last or unavailable.reason != "cut-short":
                    raise
                why = str(unavailable)
            except (ClientError, BotoCoreError, Urllib3Error, OSError) as error:
                failure = failure_of(error)
                if last or not failure.again:
                    raise self._said(notice, failure, error) from error
                why = f"{_place(notice)}: {failure.reason}"
            pulse.wait(self._tries.backoff.wait_s(attempt), why=why)

    def _said(
        self, notice: FileNotice, failure: Failure, error: Exception
    ) -> ObjectUnavailable | Unavailable:
        message = f"{_place(notice)}: {failure.advice} ({error})"
        if failure.whose == "object" or (failure.whose == "either" and self._answers(notice)):
            return ObjectUnavailable(failure.reason, message)
        return Unavailable("s3", message)

    def _answers(self, notice: FileNotice) -> bool:
        """Say whether the store answers at all when it is asked for the bucket."""
        try:
            self._client.head_bucket(Bucket=notice.bucket)
        except (ClientError, BotoCoreError, Urllib3Error, OSError) as error:
            # An answer about this bucket alone (403, 404) is one; a fault of the store is none.
            return failure_of(error).whose == "object"
        return True


class LocalObjects:
    """Reads files that discover found in a folder, inside the folders that it may read.

    The path comes with the notice, the key never becomes one. A file that changed since it was
    noticed is not read: whoever writes it may not be done.
    """

    def __init__(self, roots: Sequence[Path], spool: Spool) -> None:
        self._roots = [root.resolve() for root in roots]
        self._spool = spool

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Copy the file, hashing it."""
        digest, place = hashlib.sha256(), _place(notice)
        with self._opened(notice) as file:
            modified_s = os.fstat(file.fileno()).st_mtime
            pieces = _readable(pieces_of(file, digest, pulse.beat), place)
            spooled, size = self._spool.filled(pieces, place)
        if notice.e_tag is not None and notice.e_tag != digest.hexdigest():
            spooled.close()
            raise ObjectUnavailable("refused", f"{place}: it changed since it was noticed")
        return Fetched(spooled, size, digest.hexdigest(), last_modified=int(modified_s * 1000))

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Hash the file."""
        digest = hashlib.sha256()
        with self._opened(notice) as file:
            for _ in _readable(pieces_of(file, digest, pulse.beat), _place(notice)):
                pass
        return digest.hexdigest()

    def _opened(self, notice: FileNotice) -> BinaryIO:
        try:
            path = Path(notice.local_path or "").resolve(strict=True)
            if not any(path.is_relative_to(root) for root in self._roots):
                raise ObjectUnavailable(
                    "refused",
                    f"{_place(notice)}: outside of the folders that may be read here; name its "
                    "folder in OPSTRAIL_OBJECTS__LOCAL_ROOTS",
                )
            # A pipe or a device would block, or never end.
            if not S_ISREG(path.stat().st_mode):
                raise ObjectUnavailable("refused", f"{_place(notice)}: not a regular file")
            return path.open("rb")
        except FileNotFoundError as error:
            raise ObjectUnavailable("not-found", f"{_place(notice)}: it is gone") from error
        except PermissionError as error:
            raise ObjectUnavailable("access-denied", f"{_place(notice)}: {error}") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise ObjectUnavailable("refused", f"{_place(notice)}: {error}") from error


@dataclass(frozen=True, slots=True)
class Objects:
    """Reads a notice's object from where the notice says it is."""

    s3: ObjectReader
    local: ObjectReader

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Read the whole object."""
        return self._reader(notice).fetch(notice, pulse)

    def e_tag(self, notice: FileNotice, pulse: Pulse) -> str:
        """Ask for the object's ETag."""
        return self._reader(notice).e_tag(notice, pulse)

    def _reader(self, notice: FileNotice) -> ObjectReader:
        return self.s3 if notice.local_path is None else self.local


def _place(notice: FileNotice) -> str:
    return notice.local_path or f"s3://{notice.bucket}/{notice.key}"


def _readable(pieces: Iterator[bytes], place: str) -> Iterator[bytes]:
    """Give the pieces of a file. Raises ObjectUnavailable where its disk fails."""
    try:
        yield from pieces
    except OSError as error:
        raise ObjectUnavailable("refused", f"{place}: {error}") from error
