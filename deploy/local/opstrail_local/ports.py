"""Free ports of loopback."""

import random
import socket
from collections.abc import Collection

from opstrail_local.errors import LocalServersError

# Below the range from which kernels take the ports of outgoing connections: a server that is
# killed must find its own port free when it is started again.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 1_000


def free(port: int) -> bool:
    """Whether nobody listens on it now."""
    with socket.socket() as probe:
        # As the servers do: connections that linger after a kill are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick(
    count: int, *, wanted: Collection[int], rng: random.Random, taken: Collection[int] = ()
) -> tuple[int, ...]:
    """`wanted` if they all are free (addresses last over a restart), else `count` other ones.

    Those in `taken` are promised to others, who do not listen on them yet.
    """
    if len(wanted) == count and not set(wanted) & set(taken) and all(map(free, wanted)):
        return tuple(wanted)
    found: set[int] = set()
    for _ in range(_TRIES):
        port = rng.randint(_FIRST, _LAST)
        if port not in found and port not in taken and free(port):
            found.add(port)
        if len(found) == count:
            return tuple(found)
    raise LocalServersError(f"no {count} free ports between {_FIRST} and {_LAST} on 127.0.0.1")
