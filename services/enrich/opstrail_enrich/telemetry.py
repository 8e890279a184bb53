"""What happens in enrich beside what every stage counts."""

from dataclasses import dataclass

from opstrail_runtime.telemetry import Happening, counter, gauge

_FACTS = gauge("enrich_facts", "Facts known.", ("topic",))
_FACTS_IGNORED = counter("enrich_facts_ignored", "Facts that could not be used.", ("topic",))
_WINDOW = gauge("enrich_window_identities", "Identities that the window of repeats holds.")


@dataclass(frozen=True, slots=True)
class FactsRead(Happening):
    """Newer facts were read."""

    topic: str
    known: int

    def count(self) -> None:
        """Set how many are known."""
        _FACTS.labels(self.topic).set(self.known)


@dataclass(frozen=True, slots=True)
class FactsIgnored(Happening):
    """Facts of an unknown version, or messages that are none: enrichment does without them."""

    level = "warning"
    text = "facts ignored: of an unknown version, or not facts; is this enrich older than another?"
    topic: str
    facts: int

    def count(self) -> None:
        """Count them."""
        _FACTS_IGNORED.labels(self.topic).inc(self.facts)


@dataclass(frozen=True, slots=True)
class WindowHeld(Happening):
    """A batch went through the window."""

    identities: int

    def count(self) -> None:
        """Set how many it holds."""
        _WINDOW.set(self.identities)
