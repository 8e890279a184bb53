"""Calls that must not last for ever, made in a thread of their own.

librdkafka's send_offsets_to_transaction may never return when the connection to the coordinator is
lost at the wrong moment, whatever time-out it is given (2.16.0, found with tests/support/proxies:
split, enrich and store all stood still). Nothing can end such a call, so it is left alone.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
_Task = tuple[Callable[[], object], "Future[object]"]


class StillRunning(Exception):
    """A call has not returned in time. It goes on in its thread, and nobody waits for it."""


class BoundedCalls:
    """One thread that makes calls one after the other; left alone when one does not return."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] | None = None

    def __call__(self, call: Callable[[], T], *, within_s: float) -> T:
        """Return what the call returns, or raise what it raises. Raises StillRunning."""
        if self._tasks is None:
            self._tasks = queue.SimpleQueue()
            # A daemon: a call that never returns does not keep the process from ending.
            thread = threading.Thread(
                target=_work, args=(self._tasks,), name=self._name, daemon=True
            )
            thread.start()
        future: Future[T] = Future()
        self._tasks.put((call, future))  # type: ignore[arg-type]
        try:
            return future.result(within_s)
        except TimeoutError:
            if future.done():
                raise  # the call's own
            self.close()
            raise StillRunning(f"{self._name}: no answer within {within_s:.0f} s") from None

    def close(self) -> None:
        """Let the thread end, as soon as it can."""
        if self._tasks is not None:
            self._tasks.put(None)
            self._tasks = None


def _work(tasks: "queue.SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        call, future = task
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
            future.set_exception(error)
