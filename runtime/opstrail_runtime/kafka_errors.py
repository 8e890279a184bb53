"""librdkafka's errors in our words: the one place that knows their codes."""

from collections.abc import Container, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from opstrail_runtime.errors import Fenced, OutcomeUnknown, Refused, Unavailable

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
# What waiting does not mend, and what no input is to blame for: rights, a bad configuration.
PERMANENT = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
        # The offset to read from is not there any more: records are lost, or offsets are.
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._FATAL,  # noqa: SLF001 - this client does nothing more
    }
)
# What we should not have sent: an input may be the cause, and crash marks find it.
REJECTED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError._INVALID_ARG,  # noqa: SLF001
    }
)


class KafkaRefuses(Refused):
    """Kafka refuses for good (rights, configuration): waiting would not help."""


class KafkaRejects(Exception):
    """Kafka rejects what we sent: our bug, or an input that nobody thought of."""


def error_of(exception: KafkaException) -> KafkaError:
    """Return librdkafka's error inside the exception."""
    error: KafkaError = exception.args[0]
    return error


def translated(error: KafkaError, *, slot: str) -> Exception:
    """Return what an error outside a transaction means: one that ends us, or Unavailable."""
    return _ending(error, slot) or Unavailable("kafka", f"{error.name()}: {error.str()}")


def translated_in_transaction(error: KafkaError, *, slot: str) -> Exception:
    """Return what an error inside a transaction means: one that ends us, or OutcomeUnknown.

    librdkafka lacks KIP-890 (librdkafka #5423): after any indefinite result only a new producer
    with the same id, and the committed offsets, tell what happened. One rule for all of them.
    """
    # A producer's fatal error is over with its producer; only a fenced one must not come back.
    if error.code() == KafkaError._FATAL and not _says_fenced(error):  # noqa: SLF001
        return OutcomeUnknown(f"{error.name()}: {error.str()}")
    return _ending(error, slot) or OutcomeUnknown(f"{error.name()}: {error.str()}")


def _ending(error: KafkaError, slot: str) -> Exception | None:
    if error.code() in FENCED or _says_fenced(error):
        return Fenced(f"another process took the slot {slot}: {error.str()}")
    if error.code() in PERMANENT:
        return KafkaRefuses(f"{slot}: {error.name()}: {error.str()}")
    if error.code() in REJECTED:
        return KafkaRejects(f"{slot}: {error.name()}: {error.str()}")
    return None


def _says_fenced(error: KafkaError) -> bool:
    """Whether a fatal error is that of a fenced client: only its text tells the cause."""
    return error.code() == KafkaError._FATAL and "fenced" in error.str().lower()  # noqa: SLF001


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
