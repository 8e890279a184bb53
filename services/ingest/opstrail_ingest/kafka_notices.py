"""Notices on Kafka: the real `NoticeWriter`."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from opstrail_runtime.errors import Unavailable
from opstrail_runtime.kafka_errors import error_of, translated
from opstrail_runtime.stage import Output
from opstrail_runtime.topic_names import TopicNames

TIMEOUT_S = 30.0


class KafkaNotices:
    """Writes with an idempotent producer; after anything in doubt with a new one.

    What the old one still delivers is a notice that comes twice.
    """

    def __init__(self, new_producer: Callable[[], Producer], names: TopicNames) -> None:
        self._new_producer = new_producer
        self._names = names
        self._producer: Producer | None = None

    def write(self, outputs: Sequence[Output]) -> None:
        """Write, flush, and count every delivery report. Raises Unavailable, KafkaRefuses."""
        reports = _Reports()
        try:
            producer = self._producer = self._producer or self._new_producer()
            for output in outputs:
                self._produce(producer, output, reports)
            producer.flush(TIMEOUT_S)
        except KafkaException as error:
            self.close()
            raise translated(error_of(error), slot="discover") from error
        if reports.failed is not None:
            self.close()
            raise translated(reports.failed, slot="discover")
        if reports.delivered != len(outputs):
            self.close()
            raise Unavailable(
                "kafka", f"{reports.delivered} of {len(outputs)} messages were acknowledged"
            )

    def close(self) -> None:
        """Drop the producer and what it holds."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _produce(self, producer: Producer, output: Output, reports: "_Reports") -> None:
        full = self._names.full(output.topic)
        while True:
            try:
                producer.produce(full, value=output.value, key=output.key, on_delivery=reports.on)
            except BufferError:
                producer.poll(0.1)
            else:
                return


class _Reports:
    """The delivery reports of one write."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failed: KafkaError | None = None

    def on(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed = error
