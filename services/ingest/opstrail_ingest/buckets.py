"""Which buckets notifications may name (PURE)."""

from collections.abc import Collection
from dataclasses import dataclass

ANY = "*"


@dataclass(frozen=True, slots=True)
class AllowedBuckets:
    """An allow-list. Whoever may write to a queue could else let opstrail read any bucket it can.

    The names, in full; `*` alone allows every bucket. None at all allows none.
    """

    names: Collection[str]

    def __contains__(self, bucket: object) -> bool:
        return bucket in self.names or ANY in self.names
