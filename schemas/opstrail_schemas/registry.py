"""Schema ids: look them up, or register the packaged schemas.

Speaks Confluent's REST interface only (Confluent, Apicurio's /apis/ccompat/v7, Karapace). Services
look up and never register: `opstrail schemas register` does that, before they start.
"""

from functools import lru_cache

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from opstrail_schemas import codec, messages
from opstrail_schemas.topics import Topic, TopicName, all_topics, topic

MESSAGE_TYPES: dict[TopicName, type[messages.Message]] = {
    TopicName.FILES_NOTICED: messages.FileNotice,
    TopicName.FILES_LEDGER: messages.TrailFile,
    TopicName.EVENTS_RAW: messages.RawEvent,
    TopicName.EVENTS_ENRICHED: messages.EnrichedEvent,
    TopicName.EVENTS_REREAD: messages.RawEvent,
    TopicName.EVENTS_REPAIRED: messages.EnrichedEvent,
    TopicName.STACK_FACTS: messages.StackFact,
    TopicName.ACCOUNTS: messages.Account,
    TopicName.DEAD_LETTERS: messages.DeadLetter,
}
COMPATIBILITY = "FULL_TRANSITIVE"


class NotRegistered(LookupError):
    """The packaged schema of a topic is not in the registry: register it first."""


class NotCompatible(Exception):
    """The registry refuses a schema: it cannot follow the one that is registered."""


class Registry:
    """The schemas of one registry. Raises SchemaRegistryError where the registry is away."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client
        self.schema_text = lru_cache(maxsize=256)(self._fetch)

    def _fetch(self, schema_id: int) -> str:
        try:
            text = self._client.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code == 404:  # noqa: PLR2004 - HTTP
                raise codec.UnknownSchema(f"the registry knows no schema {schema_id}") from error
            raise
        if text is None:
            raise codec.UnknownSchema(f"the registry has no text for schema {schema_id}")
        return text

    def codec(self, name: TopicName, message_type: type[codec.M]) -> codec.Codec[codec.M]:
        """Return the codec of a topic. Raises NotRegistered."""
        return codec.Codec(message_type, self._id_of(topic(name)), self.schema_text)

    def ids(self) -> dict[str, int | None]:
        """Return the ids of the packaged schemas by subject; None where one is not registered."""
        found: dict[str, int | None] = {}
        for described in all_topics():
            try:
                found[described.subject] = self._id_of(described)
            except NotRegistered:
                found[described.subject] = None
        return found

    def compatibility(self) -> dict[str, str | None]:
        """Return the compatibility of each subject; None where it has none of its own."""
        found: dict[str, str | None] = {}
        for described in all_topics():
            try:
                found[described.subject] = self._client.get_compatibility(described.subject)
            except SchemaRegistryError as error:
                if error.http_status_code != 404:  # noqa: PLR2004 - HTTP
                    raise
                found[described.subject] = None
        return found

    def _id_of(self, described: Topic) -> int:
        try:
            found = self._client.lookup_schema(described.subject, _packaged(described))
        except SchemaRegistryError as error:
            if error.http_status_code == 404:  # noqa: PLR2004 - HTTP
                # A URL without its path (/apis/ccompat/v7) gives a 404 as well.
                raise NotRegistered(
                    f"{described.subject}: its schema is not registered ({error}): run "
                    "`opstrail schemas register`, or complete the registry's URL"
                ) from error
            raise
        if found.schema_id is None:
            raise NotRegistered(f"{described.subject}: the registry gave no schema id")
        return found.schema_id

    def register(self) -> dict[str, int]:
        """Register every packaged schema, compatibility FULL_TRANSITIVE; return ids by subject.

        Raises NotCompatible where the registry holds a schema that this one may not follow.
        """
        ids = {}
        for described in all_topics():
            try:
                ids[described.subject] = self._client.register_schema(
                    described.subject, _packaged(described)
                )
            except SchemaRegistryError as error:
                if error.http_status_code == 409:  # noqa: PLR2004 - HTTP
                    raise NotCompatible(f"{described.subject}: {error}") from error
                raise
            # After the schema: some registries refuse to configure a subject that is not there.
            self._client.set_compatibility(described.subject, COMPATIBILITY)
        return ids


def _packaged(described: Topic) -> Schema:
    return Schema(codec.schema_text(described.schema), "AVRO")
