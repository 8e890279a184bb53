"""Settings of store: `OPSTRAIL_STORE__…`, besides those that all services share."""

from typing import Literal

from pydantic import Field

from opstrail_runtime.index_aliases import DEFAULT_PREFIX, PREFIX_PATTERN
from opstrail_runtime.settings import (
    OpenSearchSettings,
    Section,
    ServiceSettings,
    TelemetrySettings,
    Told,
)


class StoreSettings(Section):
    """How documents are written and laid out."""

    index_prefix: str = Field(
        DEFAULT_PREFIX,
        pattern=PREFIX_PATTERN,
        description="First part of the name of every index, alias and template.",
    )
    bulk_max_bytes: int = Field(
        8_000_000, ge=100_000, le=90_000_000, description="Largest bulk body sent."
    )
    bulk_max_documents: int = Field(1_000, ge=1, le=10_000, description="Most documents in one.")
    bulk_in_flight: int = Field(2, ge=1, le=16, description="Bulk requests at the same time.")
    period: Literal["month", "day"] = Field(
        "month", description="Events of one index; taken up by `store setup` only."
    )
    shards: int = Field(
        1, ge=1, le=100, description="Primary shards of an events index; by `store setup` only."
    )
    replicas: str = Field(
        "0-1",
        pattern=r"^(false|\d+-(\d+|all))$",
        description="Range of replicas, as many as there are nodes for; by `store setup` only.",
    )
    keep_days: int | None = Field(
        None,
        ge=7,
        le=36_500,
        description="How long events are kept; by `store retention` only. Unset: for ever.",
    )
    closed_hours: float = Field(
        12,
        ge=0,
        le=8_760,
        description="How long a period is closed before `store retention` deletes it.",
    )


class Settings(ServiceSettings):
    """What the service is told."""

    opensearch: OpenSearchSettings
    store: StoreSettings = StoreSettings()


class SetupSettings(Told):
    """What `store setup` and `store retention` are told: no Kafka, no registry."""

    opensearch: OpenSearchSettings
    store: StoreSettings = StoreSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
