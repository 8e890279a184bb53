"""The aliases that history reads (PURE)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexNames:
    """Names under a prefix, as store has them."""

    prefix: str = "opstrail"

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
