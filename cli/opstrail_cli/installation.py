"""One installation seen from outside: set it up, and ask how far it is."""

from collections.abc import Callable, Sequence

from opstrail_runtime.codecs import asked
from opstrail_runtime.kafka_topics import KafkaTopics
from opstrail_runtime.stage import Pulse
from opstrail_runtime.wiring import group_id, new_admin, new_lags, new_registry
from opstrail_schemas.topics import TopicName
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_errors import translated
from opstrail_store.settings import Settings
from opstrail_store.store_setup import execute, plan
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client, new_reread


class Installation:
    """The servers that settings name. Raises Unavailable where one does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        admin = new_admin(settings.kafka)
        self._topics = KafkaTopics(admin, settings.kafka)
        self._lags = new_lags(settings.kafka)
        self._opensearch = new_client(settings.opensearch)
        self._names = IndexNames(settings.store.index_prefix)

    def set_up(self) -> None:
        """Create topics, register schemas, put templates and aliases: all that is missing."""
        self._topics.create_missing()
        self._topics.check_partitions()
        asked(new_registry(self._settings.registry).register)
        store = self._settings.store
        wanted = Layout(store.period, store.shards)
        execute(plan(self._opensearch, store.index_prefix, wanted, replicas=store.replicas))

    def lag(self, role: str, topics: Sequence[TopicName]) -> int:
        """Return how many records a role has yet to read."""
        return self._lags.lag(group_id(self._settings.kafka, role), topics)

    def repair(self, pulse: Pulse, say: Callable[[str], None]) -> int:
        """Send back the events that newer facts concern; return how many."""
        return new_reread(self._settings, pulse, say).run().sent

    def pending_retries(self) -> int:
        """Return how many dead letters will be tried again by themselves."""
        with translated():
            self._opensearch.indices.refresh(index=self._names.dead_letters)
            found = self._opensearch.count(
                index=self._names.dead_letters, body={"query": {"exists": {"field": "retryAt"}}}
            )
        number: int = found["count"]
        return number
