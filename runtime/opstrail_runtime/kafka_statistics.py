"""What librdkafka tells of itself, every few seconds, as one JSON text (PURE)."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from opstrail_runtime.topic_names import TopicNames
from opstrail_schemas.topics import TopicName


class _Partition(msgspec.Struct):
    consumer_lag: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = {}


class _Statistics(msgspec.Struct):
    topics: dict[str, _Topic] = {}


_decode = msgspec.json.Decoder(_Statistics).decode


def lags(statistics: str, names: TopicNames) -> Mapping[TopicName, int]:
    """Return how many records a consumer has yet to take, by topic of those that it reads.

    Of a partition that is not assigned to it, or was not asked about yet, it knows nothing: such
    count as none.
    """
    found: Counter[TopicName] = Counter()
    for full, topic in _decode(statistics).topics.items():
        try:
            name = names.short(full)
        except KeyError:
            continue
        found[name] += sum(max(0, each.consumer_lag) for each in topic.partitions.values())
    return found
