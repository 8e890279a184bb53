"""Settings that all services share, `OPSTRAIL_<SECTION>__<FIELD>`; secrets are never shown."""

import re
import socket
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """One section of settings: frozen, and a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """The cluster that the topics live on."""

    bootstrap_servers: str = Field(description="Brokers to begin with: `host:port,host:port`.")
    topic_prefix: str = Field(
        "", pattern=r"^[a-z0-9.-]*$", description="Put before every topic and group name."
    )
    files_partitions: int = Field(24, ge=1, le=1000, description="Partitions of files topics.")
    events_partitions: int = Field(24, ge=1, le=1000, description="Partitions of events topics.")
    replication_factor: int = Field(
        -1, ge=-1, le=10, description="Replicas of topics that opstrail creates; -1: the broker's."
    )
    librdkafka: dict[str, str] = Field(
        default_factory=dict,
        description="Any librdkafka property, as JSON: TLS, SASL, group.protocol ...",
    )


class RegistrySettings(Section):
    """The schema registry; any that speaks Confluent's REST interface."""

    url: str = Field(description="Base URL, with its path: `http://host:8080/apis/ccompat/v7`.")
    username: str | None = Field(None, description="User for basic authentication.")
    password: SecretStr | None = Field(None, description="Its password.")
    ca_file: str | None = Field(None, description="CA certificates to trust, PEM.")


class OpenSearchSettings(Section):
    """The store."""

    url: str = Field(description="Base URL: `https://host:9200`.")
    username: str | None = Field(None, description="User for basic authentication.")
    password: SecretStr | None = Field(None, description="Its password.")
    ca_file: str | None = Field(None, description="CA certificates to trust, PEM.")
    timeout_s: float = Field(60, gt=0, le=600, description="How long one request may take.")


class S3Settings(Section):
    """Where trail files are read."""

    endpoint_url: str | None = Field(None, description="Another endpoint than AWS's own.")


class SqsSettings(Section):
    """Where notifications are read."""

    endpoint_url: str | None = Field(None, description="Another endpoint than AWS's own.")


class SlotSettings(Section):
    """Which of its kind a process is: its transactional.id and group.instance.id, stable over
    restarts, so that a process that comes back takes over at once (1.5 s against 64 s, measured).
    """

    namespace: str = Field(
        "opstrail",
        pattern=r"^[a-zA-Z0-9.-]+$",
        description="Installation. A run against shared servers gets one of its own.",
    )
    number: int | None = Field(
        None, ge=0, description="Number of the slot; else the ordinal at the end of the host name."
    )

    def name_of(self, role: str) -> str:
        """Return the slot's name: `opstrail.split.3`."""
        return f"{self.namespace}.{role}.{self._number()}"

    def _number(self) -> int:
        if self.number is not None:
            return self.number
        ordinal = re.search(r"-(\d+)$", socket.gethostname())
        return int(ordinal[1]) if ordinal else 0


class TelemetrySettings(Section):
    """Logs, metrics and health."""

    host: str = Field("127.0.0.1", description="Address that /metrics, /livez and /readyz bind to.")
    port: int = Field(0, ge=0, le=65535, description="Their port; 0: none are served.")
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Lowest level."
    )
    log_format: str = Field(
        "auto", pattern="^(auto|json|text)$", description="auto: text on a terminal."
    )


class LoopSettings(Section):
    """How a service works through its records."""

    most_records: int = Field(2_000, ge=1, le=100_000, description="Records taken at once.")
    drain_s: float = Field(20, ge=0, le=600, description="Time to finish after a stop signal.")
    from_earliest: bool = Field(
        default=False, description="A new group on an old log may begin at its oldest record."
    )
    clear_crash_marks: bool = Field(
        default=False,
        description="Forget which inputs killed the process, after the service was mended.",
    )
    most_refused: int = Field(
        1_000,
        ge=0,
        description="Inputs in a row of a partition that may become dead letters before the "
        "service stops; 0: any number.",
    )


class ServiceSettings(BaseSettings):
    """What every service is told."""

    model_config = SettingsConfigDict(
        env_prefix="OPSTRAIL_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    kafka: KafkaSettings
    registry: RegistrySettings
    slot: SlotSettings = SlotSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    loop: LoopSettings = LoopSettings()
