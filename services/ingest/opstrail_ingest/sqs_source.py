"""Takes notifications from a queue of SQS, and gives them up only when they are safe elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opstrail_ingest.aws_errors import asked
from opstrail_ingest.telemetry import MessagesDeleted, VisibilityChanged
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.stage import Pulse
from opstrail_runtime.telemetry import emit

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

MOST_AT_ONCE = 10  # SQS's own limit, for every batch call


@dataclass(frozen=True, slots=True)
class Received:
    """One message; `receipt` is good for this delivery of it only."""

    message_id: str
    receipt: str
    body: str


class SqsSource:
    """One queue. Raises Unavailable, also where the queue is not there or may not be read."""

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        visibility_s: int,
        wait_s: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._url = url
        self._visibility_s = visibility_s
        self._wait_s = wait_s
        self._monotonic = monotonic

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._url.rstrip("/").rpartition("/")[2]

    def receive(self, *, most: int) -> list[Received]:
        """Wait for messages; take more at once as long as each answer is full."""
        received = self._receive(self._wait_s)
        full = len(received) == MOST_AT_ONCE
        while full and len(received) < most:
            more = self._receive(0)
            received += more
            full = len(more) == MOST_AT_ONCE
        return received

    def _receive(self, wait_s: int) -> list[Received]:
        answer = asked(
            "sqs",
            lambda: self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MOST_AT_ONCE,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=self._visibility_s,
            ),
        )
        return [
            Received(found["MessageId"], found["ReceiptHandle"], found["Body"])
            for found in answer.get("Messages", [])
        ]

    def holding(self, received: Sequence[Received], pulse: Pulse) -> Pulse:
        """Return a pulse that keeps these messages ours while it beats or waits."""
        return _Holding(self, received, pulse, self._monotonic, self._visibility_s / 2)

    def extend(self, received: Sequence[Received]) -> None:
        """Keep the messages from others for as long again. One that cannot be kept comes again."""
        self._set_visibility(received, self._visibility_s)

    def give_back(self, received: Sequence[Received]) -> None:
        """Let others have the messages at once."""
        self._set_visibility(received, 0)

    def delete(self, received: Sequence[Received]) -> None:
        """Delete them. One that is not deleted comes again: its files are in the ledger by then."""
        failed = 0
        for some in _batches(received):
            answer = asked(
                "sqs",
                lambda some=some: self._client.delete_message_batch(  # type: ignore[misc]
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": message.receipt}
                        for n, message in enumerate(some)
                    ],
                ),
            )
            failed += len(answer.get("Failed", []))
        emit(MessagesDeleted(len(received) - failed, failed))

    def _set_visibility(self, received: Sequence[Received], seconds: int) -> None:
        failed = 0
        for some in _batches(received):
            answer = asked(
                "sqs",
                lambda some=some: self._client.change_message_visibility_batch(  # type: ignore[misc]
                    QueueUrl=self._url,
                    Entries=[
                        {
                            "Id": str(n),
                            "ReceiptHandle": message.receipt,
                            "VisibilityTimeout": seconds,
                        }
                        for n, message in enumerate(some)
                    ],
                ),
            )
            failed += len(answer.get("Failed", []))
        emit(VisibilityChanged(len(received) - failed, failed))


class _Holding:
    def __init__(
        self,
        queue: SqsSource,
        received: Sequence[Received],
        pulse: Pulse,
        monotonic: Callable[[], float],
        every_s: float,
    ) -> None:
        self._queue = queue
        self._received = received
        self._pulse = pulse
        self._monotonic = monotonic
        self._every_s = every_s
        self._due_s = monotonic() + every_s

    def beat(self) -> None:
        """Beat, and extend the visibility where half of it is over."""
        self._pulse.beat()
        if self._monotonic() < self._due_s:
            return
        self._due_s = self._monotonic() + self._every_s
        try:
            self._queue.extend(self._received)
        except Unavailable:
            # They come again, to us or to another; a second notice of a file costs nothing.
            emit(VisibilityChanged(0, len(self._received)))

    def wait(self, seconds: float, *, why: str) -> None:
        """Wait in steps short enough to extend in time."""
        self.beat()
        while seconds > 0:
            step_s = min(seconds, self._every_s / 2)
            self._pulse.wait(step_s, why=why)
            self.beat()
            seconds -= step_s


def _batches(received: Sequence[Received]) -> list[Sequence[Received]]:
    return [received[n : n + MOST_AT_ONCE] for n in range(0, len(received), MOST_AT_ONCE)]
