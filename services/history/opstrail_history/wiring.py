"""Builds what history consists of: the only place of the service that makes clients."""

import secrets
import time
from datetime import UTC, datetime

from opensearchpy import OpenSearch

from opstrail_history.access_file import AccessFile
from opstrail_history.audit import AuditLog
from opstrail_history.desk import Desk
from opstrail_history.gate import Gate
from opstrail_history.history import History
from opstrail_history.limits import Limits
from opstrail_history.opensearch_reader import ExactJson, OpenSearchReader
from opstrail_history.points import OpenPoints
from opstrail_history.settings import HistorySettings, Settings
from opstrail_runtime.index_aliases import IndexAliases
from opstrail_runtime.opensearch_security import security_arguments
from opstrail_runtime.settings import OpenSearchSettings

_POOL_SIZE = 32
_KEY_BYTES = 32


def new_client(settings: OpenSearchSettings) -> OpenSearch:
    """Return a client that leaves answers as text. It checks certificates."""
    return OpenSearch(
        hosts=[settings.url],
        **security_arguments(settings),
        timeout=settings.timeout_s,
        pool_maxsize=_POOL_SIZE,
        max_retries=1,
        http_compress=False,
        serializer=ExactJson(),
    )


def new_history(settings: Settings) -> History:
    """Return what answers questions."""
    key = settings.history.cursor_key
    return History(
        OpenSearchReader(
            new_client(settings.opensearch),
            OpenPoints(time.monotonic),
            timeout_s=settings.history.request_timeout_s,
        ),
        IndexAliases(settings.store.index_prefix),
        cursor_key=key.get_secret_value().encode() if key else secrets.token_bytes(_KEY_BYTES),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


def new_desk(settings: Settings) -> Desk:
    """Return where requests arrive. Nothing is asked of OpenSearch yet."""
    told = settings.history
    limits = Limits(
        requests_per_minute=told.requests_per_minute,
        streams_at_once=told.streams_at_once,
        now_s=time.monotonic,
    )
    return Desk(
        history=new_history(settings),
        gate=new_gate(told),
        limits=limits,
        audit=AuditLog(told.audit_file, now=lambda: datetime.now(UTC).isoformat()),
        page_max=told.page_max,
        live_poll_s=told.live_poll_s,
    )


def new_gate(told: HistorySettings) -> Gate:
    """Return who lets callers in."""
    return Gate(
        None if told.access_file is None else AccessFile(told.access_file),
        trusted_proxies=told.trusted_proxies,
        user_header=told.user_header,
        hosts=told.hosts,
    )
