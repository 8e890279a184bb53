"""Settings of ingest: `OPSTRAIL_SPLIT__…` and what discover adds."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from opstrail_runtime.settings import S3Settings, Section, ServiceSettings, SqsSettings

MIB = 1024 * 1024


class SplitSettings(Section):
    """How files are split."""

    batch_bytes: int = Field(
        32 * MIB,
        ge=MIB,
        le=256 * MIB,
        description="Output of one transaction: small files share one, large ones take several.",
    )
    batch_s: float = Field(
        1.0, gt=0, le=20, description="Longest time that files are gathered for one transaction."
    )
    most_unpacked_bytes: int = Field(
        4096 * MIB, ge=MIB, description="A file that unpacks to more is refused."
    )
    most_unpacked_ratio: int = Field(
        200,
        ge=2,
        description="The same for a file over 64 MiB, as a multiple of its size as stored.",
    )
    retry_first_s: float = Field(
        30,
        gt=0,
        description="An object that cannot be read is tried again after so long, then twice that.",
    )
    retry_longest_s: float = Field(3600, gt=0, description="Longest time between two tries.")
    give_up_s: float = Field(
        86_400, ge=0, description="An object that could not be read for so long is given up."
    )
    secret_keys: list[str] = Field(
        default_factory=list,
        description="Key names whose values are secret, besides the built-in list.",
    )
    secret_patterns: list[str] = Field(
        default_factory=list,
        description="Regular expressions; what they match inside a value is secret.",
    )

    @field_validator("secret_patterns")
    @classmethod
    def _compiles(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern.encode())
            except re.error as error:
                raise ValueError(f"{pattern}: {error}") from error
        return patterns


class DiscoverSettings(Section):
    """How files are found."""

    queue_url: str | None = Field(
        None, description="Queue of notifications, where SOURCE is not given."
    )
    allowed_buckets: list[str] = Field(
        default_factory=list,
        description="Buckets that notifications may name; objects of others are dead letters. "
        'Needed for a queue. `["*"]` allows every bucket.',
    )
    visibility_s: int = Field(
        300, ge=120, le=43_200, description="A message stays ours for so long; extended at half."
    )
    wait_s: int = Field(
        10, ge=0, le=20, description="How long the queue is asked for before it is asked again."
    )
    most_messages: int = Field(
        100, ge=1, le=1000, description="Messages whose notices are written together."
    )
    most_notices: int = Field(
        200, ge=1, le=10_000, description="Files of a listing whose notices are written together."
    )
    retry_poll_s: float = Field(
        5, gt=0, le=600, description="How often dead letters are read for files to try again."
    )
    polite_events: int = Field(
        20_000,
        ge=0,
        description="A backfill goes on while every service has at most so many events to do.",
    )
    polite_drain_s: float = Field(
        2, ge=0, description="Or while it will have done them, as measured, in so many seconds."
    )
    polite_towards: tuple[Literal["split", "enrich", "store"], ...] = Field(
        ("split", "enrich", "store"),
        description="The services that a backfill waits for: those that this installation runs.",
    )


class ObjectsSettings(Section):
    """How objects are read."""

    spool_folder: Path | None = Field(
        None, description="Where objects wait that are too large for memory; else the system's."
    )
    stdin_folder: Path | None = Field(
        None, description="Where what comes on standard input is kept until it is split."
    )
    spool_memory_bytes: int = Field(
        MIB, ge=0, le=64 * MIB, description="An object up to this size waits in memory."
    )
    most_bytes: int = Field(
        1024 * MIB, ge=MIB, description="A larger object, as it is stored, is not read."
    )
    most_s: float = Field(120, gt=0, le=3600, description="How long one try at an object may take.")
    tries: int = Field(3, ge=1, le=10, description="Tries within seconds, before it waits longer.")
    local_roots: list[Path] = Field(
        default_factory=list,
        description="Folders whose files notices may name; none: no local file is read.",
    )


class Settings(ServiceSettings):
    """All settings of ingest."""

    s3: S3Settings = S3Settings()
    sqs: SqsSettings = SqsSettings()
    discover: DiscoverSettings = DiscoverSettings()
    split: SplitSettings = SplitSettings()
    objects: ObjectsSettings = ObjectsSettings()
