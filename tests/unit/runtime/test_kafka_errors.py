"""What librdkafka's errors mean: waiting, ending, or a crash that blames the input."""

import pytest
from confluent_kafka import KafkaError

from opstrail_runtime.errors import Fenced, OutcomeUnknown, Refused, Unavailable
from opstrail_runtime.kafka_errors import KafkaRejects, translated, translated_in_transaction

_FATAL = KafkaError._FATAL
FENCED_CONSUMER = KafkaError(
    _FATAL,
    "Fatal consumer error: Broker: Static consumer fenced by other consumer with same "
    "group.instance.id",
)


@pytest.mark.parametrize(
    ("error", "meaning", "in_a_transaction"),
    [
        (KafkaError(KafkaError._TRANSPORT), Unavailable, OutcomeUnknown),
        (KafkaError(KafkaError.ILLEGAL_GENERATION), Unavailable, OutcomeUnknown),
        (KafkaError(KafkaError.PRODUCER_FENCED), Fenced, Fenced),
        (FENCED_CONSUMER, Fenced, Fenced),
        (KafkaError(_FATAL, "Fatal error: sequence desynchronization"), Refused, OutcomeUnknown),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), Refused, Refused),
        (KafkaError(KafkaError._AUTO_OFFSET_RESET), Refused, Refused),
        # An input may be the cause, so crash marks must count the death.
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), KafkaRejects, KafkaRejects),
    ],
)
def test_what_an_error_means(
    error: KafkaError, meaning: type[Exception], in_a_transaction: type[Exception]
) -> None:
    assert type(translated(error, slot="s")).mro()[0:2].count(meaning) == 1
    assert isinstance(translated_in_transaction(error, slot="s"), in_a_transaction)


def test_what_crash_marks_must_count_is_no_refusal() -> None:
    assert not issubclass(KafkaRejects, Refused)
