"""Builds what ingest consists of: the only place of the service that makes clients."""

import os
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import NoRegionError

from opstrail_ingest.buckets import AllowedBuckets
from opstrail_ingest.days import Days
from opstrail_ingest.discover import Discover, Finding, Notifications
from opstrail_ingest.file_split import Events, SplitLimits
from opstrail_ingest.folder_source import FolderSource, LeftOut, spooled_stdin
from opstrail_ingest.gunzip import Budget
from opstrail_ingest.kafka_notices import KafkaNotices
from opstrail_ingest.lags import READS, Gate
from opstrail_ingest.ledger import Ledger
from opstrail_ingest.masking import Masking
from opstrail_ingest.notices import STAGE as DISCOVER
from opstrail_ingest.notices import Notices
from opstrail_ingest.objects import LocalObjects, Objects, S3Objects, Spool, Tries
from opstrail_ingest.patience import Patiently, Stop, StopPulse
from opstrail_ingest.places import BadSource, Files, Prefix, Queue, Stdin
from opstrail_ingest.politeness import Politeness
from opstrail_ingest.retries import Retries
from opstrail_ingest.s3_source import S3Source
from opstrail_ingest.settings import ObjectsSettings, Settings
from opstrail_ingest.split_stage import STAGE as SPLIT
from opstrail_ingest.split_stage import RetryTimes, SplitCodecs, SplitStage
from opstrail_ingest.sqs_source import SqsSource
from opstrail_ingest.troubled_buckets import CalmReader
from opstrail_runtime.backoff import Backoff
from opstrail_runtime.codecs import Codecs
from opstrail_runtime.dead_letters import DeadLetters
from opstrail_runtime.settings import S3Settings
from opstrail_runtime.transport import InsecureTransport, check_url
from opstrail_runtime.wiring import (
    group_id,
    new_lags,
    new_log,
    new_plain_producer,
    new_registry,
    topic_names,
)
from opstrail_schemas.messages import DeadLetter, FileNotice, RawEvent, TrailFile
from opstrail_schemas.topics import TopicName

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_CONNECT_S = 5
_READ_S = 20  # for S3: from one byte to the next
_CONNECTIONS = 16


def now_ms() -> int:
    """Return the time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_s3(settings: S3Settings) -> "S3Client":
    """Return a client of S3. Credentials come from where AWS's tools look for them."""
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        config=Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            max_pool_connections=_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 2},
            # Other endpoints seldom have a host name for each bucket.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        ),
    )


def new_sqs(settings: Settings, queue: Queue) -> "SQSClient":
    """Return a client for that queue. Raises BadSource where nothing tells its Region."""
    endpoint = settings.sqs.endpoint_url or queue.endpoint
    try:
        if endpoint:
            check_url(endpoint, settings.sqs.plaintext_hosts)
        return boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=queue.region,
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=settings.discover.wait_s + _READ_S,
                retries={"mode": "standard", "total_max_attempts": 2},
            ),
        )
    except NoRegionError as error:
        raise BadSource(f"{queue.url}: which Region? Set AWS_REGION") from error
    except InsecureTransport as error:
        raise BadSource(f"{queue.url}: OPSTRAIL_SQS: {error}") from error


def new_objects(settings: Settings) -> Objects:
    """Return what reads the objects that notices name."""
    how = settings.objects
    spool = Spool(
        folder=how.spool_folder, memory_bytes=how.spool_memory_bytes, most_bytes=how.most_bytes
    )
    return Objects(
        s3=CalmReader(
            S3Objects(new_s3(settings.s3), spool, _tries(how), time.monotonic), time.monotonic
        ),
        local=LocalObjects(how.local_roots, spool),
    )


def _tries(how: ObjectsSettings) -> Tries:
    return Tries(
        most=how.tries,
        most_s=how.most_s,
        backoff=Backoff(first_s=0.5, longest_s=3, rng=_rng()),
    )


def build_split(settings: Settings) -> SplitStage:
    """Return split's stage. Raises Unavailable, NotRegistered."""
    codecs = Codecs(new_registry(settings.registry))
    how = settings.split
    return SplitStage(
        reader=new_objects(settings),
        ledger=Ledger(
            new_log(settings.kafka, SPLIT),
            codecs.of(TopicName.FILES_LEDGER, TrailFile),
            monotonic=time.monotonic,
        ),
        codecs=SplitCodecs(
            notices=codecs.of(TopicName.FILES_NOTICED, FileNotice),
            ledger=codecs.of(TopicName.FILES_LEDGER, TrailFile),
            raw=Events(TopicName.EVENTS_RAW, codecs.of(TopicName.EVENTS_RAW, RawEvent)),
            reread=Events(TopicName.EVENTS_REREAD, codecs.of(TopicName.EVENTS_REREAD, RawEvent)),
        ),
        dead_letters=DeadLetters(SPLIT, codecs.of(TopicName.DEAD_LETTERS, DeadLetter)),
        masking=Masking(how.secret_keys, how.secret_patterns),
        limits=SplitLimits(
            batch_bytes=how.batch_bytes,
            batch_s=how.batch_s,
            budget=Budget(how.most_unpacked_bytes, how.most_unpacked_ratio),
        ),
        retries=RetryTimes(how.retry_first_s, how.retry_longest_s, how.give_up_s),
        now_ms=now_ms,
    )


def build_discover(settings: Settings, stop: Stop) -> Discover:
    """Return what writes notices. Raises Unavailable, NotRegistered."""
    codecs = Codecs(new_registry(settings.registry))
    return Discover(
        notices=Notices(
            codec=codecs.of(TopicName.FILES_NOTICED, FileNotice),
            dead_letters=codecs.of(TopicName.DEAD_LETTERS, DeadLetter),
            mask=Masking(settings.split.secret_keys, settings.split.secret_patterns).mask_fragment,
        ),
        writer=KafkaNotices(
            lambda: new_plain_producer(settings.kafka, settings.slot.name_of(DISCOVER)),
            topic_names(settings.kafka),
        ),
        pulse=StopPulse(DISCOVER, stop),
        patiently=_patiently(),
        now_ms=now_ms,
    )


def build_retries(settings: Settings) -> Retries:
    """Return what follows the dead letters. Raises Unavailable, NotRegistered."""
    codecs = Codecs(new_registry(settings.registry))
    return Retries(new_log(settings.kafka, DISCOVER), codecs.of(TopicName.DEAD_LETTERS, DeadLetter))


def notifications(settings: Settings, queue: Queue) -> Notifications:
    """Return a queue to follow. Raises BadSource where no bucket is allowed."""
    how = settings.discover
    if not how.allowed_buckets:
        raise BadSource(
            "which buckets may notifications name? Set OPSTRAIL_DISCOVER__ALLOWED_BUCKETS, as "
            '["my-trail-bucket"]; ["*"] allows every bucket that the credentials can read'
        )
    return Notifications(
        SqsSource(
            new_sqs(settings, queue),
            queue.url,
            visibility_s=how.visibility_s,
            wait_s=how.wait_s,
            monotonic=time.monotonic,
        ),
        AllowedBuckets(frozenset(how.allowed_buckets)),
        how.most_messages,
    )


def findings(
    settings: Settings, place: Prefix | Files | Stdin, days: Days, pulse: StopPulse
) -> Iterator[Finding]:
    """Return what lies at a place. Raises BadSource."""
    match place:
        case Prefix():
            source = S3Source(new_s3(settings.s3), place, days, _patiently())
            return source.notices(pulse, now_ms=now_ms)
        case Files(path):
            found = FolderSource(path).notices(pulse, now_ms=now_ms)
            return (each for each in found if isinstance(each, LeftOut) or _is_within(each, days))
        case Stdin():
            folder = settings.objects.stdin_folder
            if folder is None:
                raise BadSource("-: name a folder for it in OPSTRAIL_OBJECTS__STDIN_FOLDER")
            return iter([spooled_stdin(sys.stdin.buffer, folder, pulse, now_ms=now_ms)])


def _is_within(notice: FileNotice, days: Days) -> bool:
    modified = datetime.fromtimestamp((notice.last_modified or 0) / 1000, UTC)
    return not days.bounded or days.object(notice.key, modified)


def gate(settings: Settings) -> Gate:
    """Return what holds a backfill back."""
    how = settings.discover
    return Gate(
        reader=new_lags(settings.kafka),
        groups={
            service: group_id(settings.kafka, service)
            for service in READS
            if service in how.polite_towards
        },
        politeness=Politeness(how.polite_events, how.polite_drain_s),
        patiently=_patiently(),
        monotonic=time.monotonic,
    )


def _patiently() -> Patiently:
    return Patiently(Backoff(first_s=0.5, longest_s=30, rng=_rng()))


def _rng() -> random.Random:
    return random.Random(os.getpid())  # noqa: S311 - no secret
