"""Where outputs and offsets go, all or none: the seam to a Kafka transaction."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Output, Partition


class Writer(Protocol):
    """Writes transactions of one slot. One thread uses it."""

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write outputs and offsets in one transaction; return when it is durable.

        Raises OutcomeUnknown when it was aborted or did not end for certain: the caller rewinds to
        the committed offsets, which alone tell what happened. Raises Fenced when another process
        took the slot, Unavailable when no transaction could begin.
        """

    def close(self) -> None:
        """Let go of the slot."""
