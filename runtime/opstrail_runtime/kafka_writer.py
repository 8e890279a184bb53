"""Kafka transactions on librdkafka: the real `Writer`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from opstrail_runtime.bounded_calls import BoundedCalls, StillRunning
from opstrail_runtime.errors import OutcomeUnknown, Unavailable
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.kafka_errors import error_of, translated, translated_in_transaction
from opstrail_runtime.source import Committed, Lease
from opstrail_runtime.stage import Output, Partition
from opstrail_runtime.topic_names import TopicNames

TIMEOUT_S = 30.0
OFFSETS_TIMEOUT_S = 10.0  # while a group rebalances this is retried; others wait for our poll
# A call that lasts so much longer than it was told will not return. For offsets that is common: it
# happens whenever the connection breaks on which they were sent (librdkafka 2.16.0, measured).
GRACE_S, OFFSETS_GRACE_S = 10.0, 2.0


class KafkaWriter:
    """Transactions of one slot. `new_producer` builds a producer with the slot's transactional.id.

    A producer is used until anything about a transaction is in doubt, then dropped: the next one
    begins by ending what the old one left open (`init_transactions`), and its newer epoch fences
    requests of the old one that are still on their way.
    """

    def __init__(
        self, new_producer: Callable[[], Producer], names: TopicNames, *, slot: str
    ) -> None:
        self._new_producer = new_producer
        self._names = names
        self._slot = slot
        self._producer: Producer | None = None
        self._bounded = BoundedCalls("transactions")
        self._delivered = 0
        self._failed: KafkaError | None = None

    def commit(
        self, outputs: Sequence[Output], offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        """Write outputs and offsets in one transaction."""
        producer = self._ready_producer()
        self._delivered, self._failed = 0, None
        try:
            producer.begin_transaction()
            for number, output in enumerate(outputs):
                if number == len(outputs) // 2:
                    pass_by("mid-produce")
                self._produce(producer, output)
            # A flush sends at once; commit_transaction alone waits for linger.ms (measured).
            producer.flush(TIMEOUT_S)
            self._check_deliveries(len(outputs))
            if outputs:
                pass_by("after-produce")
            if offsets:
                self._send_offsets(producer, offsets, lease)
                pass_by("after-offsets")
            self._bounded(
                lambda: producer.commit_transaction(TIMEOUT_S), within_s=TIMEOUT_S + GRACE_S
            )
        except StillRunning as error:
            self._drop()
            raise OutcomeUnknown(str(error)) from error
        except KafkaException as error:
            self._drop()
            raise translated_in_transaction(error_of(error), slot=self._slot) from error
        except OutcomeUnknown:
            self._drop()
            raise
        except SystemError as error:
            # The binding trips over delivery reports that come with a fatal error; that error is
            # the cause of what it raises then, or lost (confluent-kafka 2.16, measured).
            fatal = _cause(error) or _asked(producer)
            self._drop()
            if fatal is None:
                raise OutcomeUnknown(f"librdkafka's binding failed: {error}") from error
            raise translated_in_transaction(fatal, slot=self._slot) from error

    def _send_offsets(
        self, producer: Producer, offsets: Mapping[Partition, Committed], lease: Lease
    ) -> None:
        positions = [
            TopicPartition(self._names.full(at.topic), at.number, to.offset, metadata=to.metadata)
            for at, to in offsets.items()
        ]
        self._bounded(
            lambda: producer.send_offsets_to_transaction(positions, lease.group, OFFSETS_TIMEOUT_S),
            within_s=OFFSETS_TIMEOUT_S + OFFSETS_GRACE_S,
        )

    def _produce(self, producer: Producer, output: Output) -> None:
        while True:
            try:
                producer.produce(
                    self._names.full(output.topic),
                    value=output.value,
                    key=output.key,
                    on_delivery=self._on_delivery,
                )
            except BufferError:
                producer.poll(0.1)
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._delivered += 1
        else:
            self._failed = error

    def _check_deliveries(self, produced: int) -> None:
        if self._failed is not None:
            raise KafkaException(self._failed)
        if self._delivered != produced:
            raise OutcomeUnknown(f"{self._delivered} of {produced} messages were acknowledged")

    def _ready_producer(self) -> Producer:
        if self._producer is None:
            producer = self._new_producer()
            try:
                self._bounded(
                    lambda: producer.init_transactions(TIMEOUT_S), within_s=TIMEOUT_S + GRACE_S
                )
            except StillRunning as error:
                raise Unavailable("kafka", str(error)) from error
            except KafkaException as error:
                raise translated(error_of(error), slot=self._slot) from error
            self._producer = producer
        return self._producer

    def _drop(self) -> None:
        """Let go of the producer. What it left open ends when the next commit begins."""
        if self._producer is not None:
            with suppress(KafkaException, SystemError):  # what failed is known already
                self._producer.purge(in_queue=True, in_flight=True, blocking=False)
                self._producer.poll(0)
            self._producer = None

    def close(self) -> None:
        """Let go of the slot."""
        self._producer = None
        self._bounded.close()


def _cause(error: BaseException | None) -> KafkaError | None:
    """Return Kafka's error among the causes of an exception."""
    while error is not None and not isinstance(error, KafkaException):
        error = error.__cause__ or error.__context__
    return None if error is None else error_of(error)


def _asked(producer: Producer) -> KafkaError | None:
    """Return what is wrong with a producer, by asking it to abort."""
    try:
        producer.abort_transaction(OFFSETS_TIMEOUT_S)
    except KafkaException as error:
        return error_of(error)
    return None
