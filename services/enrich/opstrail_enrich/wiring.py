"""Builds what enrich works with: the only place here that does."""

import time
from collections.abc import Callable, Sequence

from opstrail_enrich.enrich_stage import INPUTS, STAGE, EnrichStage, EventCodecs
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.organizations import Organizations
from opstrail_enrich.settings import OrganizationsSettings, Settings
from opstrail_enrich.window import Window
from opstrail_runtime.codecs import Codecs
from opstrail_runtime.dead_letters import DeadLetters
from opstrail_runtime.kafka_topics import UnequalPartitions
from opstrail_runtime.log import Log
from opstrail_runtime.source import Lease
from opstrail_runtime.stage import Output
from opstrail_runtime.wiring import new_log, new_registry, new_writer
from opstrail_schemas.messages import Account, DeadLetter, EnrichedEvent, RawEvent, StackFact
from opstrail_schemas.topics import TopicName

_AT_ONCE = 5_000  # facts in one transaction
_CONNECT_S = 5
_READ_S = 20
_ATTEMPTS = 10


def now_ms() -> int:
    """Return the time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def build(settings: Settings) -> EnrichStage:
    """Return the stage. Raises Unavailable, NotRegistered, UnequalPartitions."""
    codecs = Codecs(new_registry(settings.registry))
    log = new_log(settings.kafka, STAGE)
    check_partitions(log)
    return EnrichStage(
        log=log,
        facts=FactLog(
            log,
            codecs.of(TopicName.STACK_FACTS, StackFact),
            codecs.of(TopicName.ACCOUNTS, Account),
        ),
        window=Window(most_identities=settings.enrich.window_identities),
        codecs=EventCodecs(
            raw=codecs.of(TopicName.EVENTS_RAW, RawEvent),
            reread=codecs.of(TopicName.EVENTS_REREAD, RawEvent),
            enriched=codecs.of(TopicName.EVENTS_ENRICHED, EnrichedEvent),
            repaired=codecs.of(TopicName.EVENTS_REPAIRED, EnrichedEvent),
        ),
        dead_letters=DeadLetters(STAGE, codecs.of(TopicName.DEAD_LETTERS, DeadLetter)),
        restored_bytes=settings.enrich.window_restored_bytes,
        transaction_bytes=settings.enrich.transaction_bytes,
        now_ms=now_ms,
        monotonic=time.monotonic,
    )


def check_partitions(log: Log) -> None:
    """Refuse topics of events with unequal numbers of partitions: the window rests on them."""
    counts = {
        str(name): log.partition_count(name)
        for name in (*INPUTS, TopicName.EVENTS_ENRICHED, TopicName.EVENTS_REPAIRED)
    }
    if len(set(counts.values())) > 1:
        raise UnequalPartitions(f"topics of events have unequal numbers of partitions: {counts}")


def fact_log(settings: Settings) -> FactLog:
    """Return the facts, for commands."""
    codecs = Codecs(new_registry(settings.registry))
    return FactLog(
        new_log(settings.kafka, "catalog"),
        codecs.of(TopicName.STACK_FACTS, StackFact),
        codecs.of(TopicName.ACCOUNTS, Account),
    )


def fact_writer(settings: Settings) -> Callable[[Sequence[Output]], None]:
    """Return what writes facts. A later import of the same installation fences an earlier one."""
    writer = new_writer(settings.kafka, slot=f"{settings.slot.namespace}.catalog")

    def write(outputs: Sequence[Output]) -> None:
        for start in range(0, len(outputs), _AT_ONCE):
            writer.commit(outputs[start : start + _AT_ONCE], {}, Lease(0))
        writer.close()

    return write


def new_organizations(settings: OrganizationsSettings) -> Organizations:
    """Return what asks AWS Organizations. Credentials come from where AWS's tools look for them."""
    # Here, for the service has no use for it: see msk_token in the runtime's wiring.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return Organizations(
        boto3.client(
            "organizations",
            endpoint_url=settings.endpoint_url,
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                # Adaptive: it also slows down by itself where AWS throttles.
                retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
            ),
        )
    )
