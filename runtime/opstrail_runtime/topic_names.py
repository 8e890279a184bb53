"""The topics' names in Kafka: an installation may put a prefix of its own before them (PURE)."""

from functools import cached_property

from opstrail_schemas.topics import TopicName, topic


class TopicNames:
    """Full names under a prefix: `opstrail.events.raw.v1`, or `team-a.opstrail.events.raw.v1`."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    @cached_property
    def _full(self) -> dict[TopicName, str]:
        before = f"{self._prefix}." if self._prefix else ""
        return {name: before + topic(name).name for name in TopicName}

    @cached_property
    def _short(self) -> dict[str, TopicName]:
        return {full: name for name, full in self._full.items()}

    def full(self, name: TopicName) -> str:
        """Return the name in Kafka."""
        return self._full[name]

    def short(self, full: str) -> TopicName:
        """Return our name of a topic. Raises KeyError for a topic that is not ours."""
        return self._short[full]
