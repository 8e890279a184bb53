"""The codecs of our topics, with the registry's errors in our words."""

from collections.abc import Callable
from json import JSONDecodeError
from typing import TypeVar

from confluent_kafka.schema_registry.error import SchemaRegistryError
from httpx2 import HTTPError

from opstrail_runtime.errors import InvalidRecord, Unavailable
from opstrail_runtime.stage import Record
from opstrail_schemas.codec import BadMessage, Codec, M
from opstrail_schemas.registry import Registry
from opstrail_schemas.topics import TopicName

T = TypeVar("T")


def asked(question: Callable[[], T]) -> T:
    """Ask the registry. Raises Unavailable where it is away; NotRegistered, UnknownSchema pass."""
    try:
        return question()
    # JSONDecodeError: a proxy in between answered 200 with a page of its own.
    except (HTTPError, SchemaRegistryError, OSError, JSONDecodeError) as error:
        raise Unavailable("registry", f"{type(error).__name__}: {error}") from error


class Codecs:
    """Codecs by topic; other versions of a schema are looked up when a message needs them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def of(self, name: TopicName, message_type: type[M]) -> Codec[M]:
        """Return the codec of a topic. Raises Unavailable, NotRegistered."""
        found = asked(lambda: self._registry.codec(name, message_type))
        return Codec(
            message_type,
            found.schema_id,
            lambda schema_id: asked(lambda: self._registry.schema_text(schema_id)),
        )


def decoded(codec: Codec[M], record: Record) -> M:
    """Read a record's value. Raises InvalidRecord for what is not ours, Unavailable."""
    if record.value is None:
        raise InvalidRecord("a tombstone, where a message was expected", reason="tombstone")
    try:
        return codec.decode(record.value)
    except BadMessage as error:
        raise InvalidRecord(str(error), reason="undecodable") from error
