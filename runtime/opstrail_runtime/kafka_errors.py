"""librdkafka's errors in our words: the one place that knows their codes."""

from collections.abc import Container, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from opstrail_runtime.errors import Fenced, OutcomeUnknown, Unavailable

K = TypeVar("K")
T = TypeVar("T")

# Another process with this transactional.id or group.instance.id is newer.
FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own codes begin with an underscore
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
# What waiting does not mend: rights, a bad configuration, data too large.
PERMANENT = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError._INVALID_ARG,  # noqa: SLF001
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    }
)


class KafkaRefuses(Exception):
    """Kafka refuses for good (rights, configuration): waiting would not help."""


def error_of(exception: KafkaException) -> KafkaError:
    """Return librdkafka's error inside the exception."""
    error: KafkaError = exception.args[0]
    return error


def translated(error: KafkaError, *, slot: str) -> Exception:
    """Return what an error outside a transaction means: Fenced, KafkaRefuses or Unavailable."""
    if error.code() in FENCED:
        return Fenced(f"another process took the slot {slot}: {error.str()}")
    if error.code() in PERMANENT:
        return KafkaRefuses(f"{slot}: {error.name()}: {error.str()}")
    return Unavailable("kafka", f"{error.name()}: {error.str()}")


def translated_in_transaction(error: KafkaError, *, slot: str) -> Exception:
    """Return what an error inside a transaction means: Fenced, KafkaRefuses or OutcomeUnknown.

    librdkafka lacks KIP-890 (librdkafka #5423): after any indefinite result only a new producer
    with the same id, and the committed offsets, tell what happened. One rule for all of them.
    """
    if error.code() in FENCED:
        return Fenced(f"another process took the slot {slot}: {error.str()}")
    if error.code() in PERMANENT:
        return KafkaRefuses(f"{slot}: {error.name()}: {error.str()}")
    return OutcomeUnknown(f"{error.name()}: {error.str()}")


def settled(
    futures: Mapping[K, Future[T]], *, slot: str = "admin", passing: Container[int] = ()
) -> dict[K, T]:
    """Wait for every answer of an admin call, then return them, or raise the first error.

    Answers that are errors with a code in `passing` are left out.

    All are waited for first: a client that is let go while answers are on their way crashed the
    process (a segmentation fault seen on confluent-kafka 2.16).
    """
    wait(futures.values())
    answers = {}
    for key, future in futures.items():
        try:
            answers[key] = future.result()
        except KafkaException as error:
            if error_of(error).code() not in passing:
                raise translated(error_of(error), slot=slot) from error
    return answers
