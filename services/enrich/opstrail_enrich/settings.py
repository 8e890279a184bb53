"""What enrich is told: `OPSTRAIL_ENRICH__…` beside what every service is told."""

from pydantic import Field

from opstrail_runtime.settings import Endpoint, Section, ServiceSettings

MIB = 1024 * 1024


class EnrichSettings(Section):
    """The window of repeats, and the size of transactions."""

    window_identities: int = Field(
        1_000_000,
        ge=1_000,
        le=50_000_000,
        description="Identities that a process remembers, to drop repeats; about 115 bytes each.",
    )
    window_restored_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="How much of the end of events.enriched a process reads back at its start.",
    )
    transaction_bytes: int = Field(
        16 * MIB, ge=1, description="Outputs after which a transaction is committed."
    )


class OrganizationsSettings(Endpoint):
    """Where AWS Organizations is asked."""


class Settings(ServiceSettings):
    """All settings of enrich."""

    enrich: EnrichSettings = EnrichSettings()
    organizations: OrganizationsSettings = OrganizationsSettings()
