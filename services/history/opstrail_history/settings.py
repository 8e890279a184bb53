"""Settings of history: `OPSTRAIL_HISTORY__…`, besides OpenSearch's and the store's prefix."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import ConfigDict, Field, SecretStr

from opstrail_runtime.index_aliases import DEFAULT_PREFIX, PREFIX_PATTERN
from opstrail_runtime.settings import OpenSearchSettings, Section, TelemetrySettings, Told

PORT = 8765
URL = f"http://127.0.0.1:{PORT}"


class HistorySettings(Section):
    """Who is served, where, and how much at once."""

    host: str = Field(
        "127.0.0.1", description="Address to serve on. Other than loopback needs access_file."
    )
    port: int = Field(PORT, ge=0, le=65535, description="Port to serve on; 0: any free one.")
    url: str = Field(
        URL, description="Where people's commands (`search`, `show`, `tail`, `export`) find it."
    )
    token: SecretStr | None = Field(None, description="Token that people's commands send.")
    access_file: Path | None = Field(
        None, description="YAML file of tokens (hashed) and users; see docs/how-to/search.md."
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Networks whose requests name their user in `user_header`."
    )
    user_header: str = Field("X-Forwarded-User", description="Header that names the proxy's user.")
    tls_certificate: Path | None = Field(None, description="Certificate to serve TLS with, PEM.")
    tls_key: Path | None = Field(None, description="Its key, PEM.")
    tls_elsewhere: bool = Field(
        default=False, description="A proxy in front serves TLS: none is needed here."
    )
    hosts: tuple[str, ...] = Field(
        (), description="Names it may be called by besides loopback's; empty with access_file: any."
    )
    cursor_key: SecretStr | None = Field(
        None, description="Seals cursors; give several servers the same. Else new at each start."
    )
    audit_file: Path | None = Field(
        None, description="Who searched and downloaded what, as JSON lines; else among the logs."
    )
    while_file: Path | None = Field(
        None, description="Ends by itself once this file is gone or says something else."
    )
    request_timeout_s: float = Field(10, gt=0, le=300, description="Longest one question takes.")
    page_max: int = Field(1_000, ge=1, le=10_000, description="Most events on one page.")
    requests_per_minute: int = Field(600, ge=1, description="Requests of one caller.")
    streams_at_once: int = Field(
        4, ge=1, le=1_000, description="Downloads and live views of one caller at the same time."
    )
    live_poll_s: float = Field(2, ge=0.1, le=60, description="How often a live view looks.")


class StoreNames(Section):
    """What store calls its indices; its other settings, in the same environment, are not ours."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index_prefix: str = Field(
        DEFAULT_PREFIX,
        pattern=PREFIX_PATTERN,
        description="First part of the name of every index; as store has it.",
    )


class Settings(Told):
    """What the service is told."""

    opensearch: OpenSearchSettings
    store: StoreNames = StoreNames()
    history: HistorySettings = HistorySettings()
    telemetry: TelemetrySettings = TelemetrySettings()


class ClientSettings(Told):
    """What people's commands are told."""

    history: HistorySettings = HistorySettings()
