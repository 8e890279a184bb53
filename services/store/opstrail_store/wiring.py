"""Builds what store consists of: the only place of the service that makes clients."""

import os
import random
import time
from collections.abc import Callable

from opensearchpy import OpenSearch
from opensearchpy.serializer import JSONSerializer

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.codecs import Codecs as TopicCodecs
from opstrail_runtime.opensearch_security import security_arguments
from opstrail_runtime.settings import OpenSearchSettings
from opstrail_runtime.stage import Pulse
from opstrail_runtime.wiring import (
    group_id,
    new_checkpoint,
    new_lags,
    new_log,
    new_registry,
    new_writer,
)
from opstrail_schemas.messages import (
    Account,
    DeadLetter,
    EnrichedEvent,
    RawEvent,
    StackFact,
    TrailFile,
)
from opstrail_schemas.registry import Registry
from opstrail_schemas.topics import TopicName
from opstrail_store.horizon import Horizon
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import OpenSearchSink
from opstrail_store.reread import Reread
from opstrail_store.settings import Settings
from opstrail_store.store_setup import installed_layout
from opstrail_store.store_stage import Codecs, StoreStage
from opstrail_store.stored_documents import ExactJson, StoredDocuments

_POOL_SIZE = 16


def new_client(
    settings: OpenSearchSettings, serializer: JSONSerializer | None = None
) -> OpenSearch:
    """Return a client. It never tries again by itself, and checks certificates."""
    return OpenSearch(
        hosts=[settings.url],
        **security_arguments(settings),
        timeout=settings.timeout_s,
        pool_maxsize=_POOL_SIZE,
        # The sink tries again for as long as it takes, and must know of each try.
        max_retries=0,
        retry_on_timeout=False,
        # opensearch-py compresses at gzip level 9: 30 us an event (measured).
        http_compress=False,
        serializer=serializer or JSONSerializer(),
    )


def new_sink(settings: Settings, client: OpenSearch) -> OpenSearchSink:
    """Return the sink."""
    return OpenSearchSink(
        client,
        backoff=Backoff(first_s=0.5, longest_s=30, rng=random.Random(os.getpid())),  # noqa: S311
        max_body_bytes=settings.store.bulk_max_bytes,
        max_documents=settings.store.bulk_max_documents,
        in_flight=settings.store.bulk_in_flight,
    )


def build(settings: Settings, registry: Registry) -> StoreStage:
    """Return the stage. Raises Unavailable; NotSetUp where `store setup` has to come first."""
    client = new_client(settings.opensearch)
    prefix = settings.store.index_prefix
    layout = installed_layout(client, prefix)
    of = TopicCodecs(registry).of
    return StoreStage(
        sink=new_sink(settings, client),
        codecs=Codecs(
            enriched=of(TopicName.EVENTS_ENRICHED, EnrichedEvent),
            repaired=of(TopicName.EVENTS_REPAIRED, EnrichedEvent),
            ledger=of(TopicName.FILES_LEDGER, TrailFile),
            dead_letters=of(TopicName.DEAD_LETTERS, DeadLetter),
        ),
        names=IndexNames(prefix, layout.period),
        horizon=Horizon(client, prefix, layout, clock=time.monotonic),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


def new_reread(settings: Settings, pulse: Pulse, say: Callable[[str], None]) -> Reread:
    """Return a repair. Raises Unavailable, NotRegistered. A later one fences an earlier one."""
    of = TopicCodecs(new_registry(settings.registry)).of
    names = IndexNames(settings.store.index_prefix)
    return Reread(
        log=new_log(settings.kafka, "reread"),
        stack_facts=of(TopicName.STACK_FACTS, StackFact),
        accounts=of(TopicName.ACCOUNTS, Account),
        reread=of(TopicName.EVENTS_REREAD, RawEvent),
        documents=StoredDocuments(new_client(settings.opensearch, ExactJson()), names.events),
        progress=new_checkpoint(settings.kafka, "reread"),
        writer=new_writer(settings.kafka, slot=settings.slot.name_of("reread")),
        lags=new_lags(settings.kafka),
        groups=(group_id(settings.kafka, "enrich"), group_id(settings.kafka, "store")),
        pulse=pulse,
        say=say,
    )
