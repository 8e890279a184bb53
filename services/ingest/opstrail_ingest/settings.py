"""Settings of ingest: `OPSTRAIL_SPLIT__…` and what discover adds."""

from pydantic import Field

from opstrail_runtime.settings import Section

MIB = 1024 * 1024


class SplitSettings(Section):
    """How files are split."""

    batch_bytes: int = Field(
        32 * MIB, ge=MIB, le=256 * MIB, description="Output of one transaction; small files share."
    )
    batch_s: float = Field(
        1.0, gt=0, le=20, description="Longest time that files are gathered for one transaction."
    )
    whole_file_bytes: int = Field(
        64 * MIB,
        ge=MIB,
        le=256 * MIB,
        description="A file that unpacks to more is split in chunks, one transaction each.",
    )
    most_unpacked_bytes: int = Field(
        4096 * MIB, ge=MIB, description="A file that unpacks to more is refused."
    )
    most_unpacked_ratio: int = Field(
        200, ge=2, description="The same for a file over 64 MiB, as a multiple of its size as stored."
    )
    retry_first_s: float = Field(
        30, gt=0, description="An object that cannot be read is tried again after so long, then 2×."
    )
    retry_longest_s: float = Field(3600, gt=0, description="Longest time between two tries.")
    give_up_s: float = Field(
        86_400, ge=0, description="An object that could not be read for so long is given up."
    )
    secret_keys: list[str] = Field(
        default_factory=list,
        description="Key names whose values are secret, besides the built-in list.",
    )
