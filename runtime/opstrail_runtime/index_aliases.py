"""What store calls what it keeps in OpenSearch, for whoever reads it (PURE)."""

from dataclasses import dataclass

DEFAULT_PREFIX = "opstrail"
PREFIX_PATTERN = r"^[a-z0-9][a-z0-9-]{0,60}$"


@dataclass(frozen=True, slots=True)
class IndexAliases:
    """The aliases under a prefix. Behind them indices come and go."""

    prefix: str = DEFAULT_PREFIX

    @property
    def events(self) -> str:
        """Alias of all open event indices."""
        return f"{self.prefix}-events"

    @property
    def files(self) -> str:
        """Alias of the files index."""
        return f"{self.prefix}-files"

    @property
    def dead_letters(self) -> str:
        """Alias of the dead-letters index."""
        return f"{self.prefix}-dead-letters"
