"""The facts topics, read into tables."""

from collections.abc import Iterable

from opstrail_runtime.codecs import decoded
from opstrail_runtime.errors import InvalidRecord
from opstrail_runtime.fact_table import Fact, FactTable
from opstrail_runtime.stage import Partition, Record
from opstrail_schemas.codec import Codec
from opstrail_schemas.facts import FACT_VERSION
from opstrail_schemas.topics import TopicName

STACK_FACTS = Partition(TopicName.STACK_FACTS, 0)
ACCOUNTS = Partition(TopicName.ACCOUNTS, 0)


def add_facts(records: Iterable[Record], codec: Codec[Fact], table: FactTable[Fact]) -> int:
    """Add each fact under its message key, which is its digest; return how many can't be used.

    Those are of a version that this code does not know, or no facts at all.
    """
    ignored = 0
    for record in records:
        fact = usable_fact(record, codec)
        if fact is None or record.key is None:
            ignored += 1
        else:
            table.add(record.key, fact)
    return ignored


def usable_fact(record: Record, codec: Codec[Fact]) -> Fact | None:
    """Return the fact; None for what is none, and for a version that this code does not know."""
    fact = _fact(record, codec)
    return fact if fact is not None and fact.fact_version == FACT_VERSION else None


def is_newer_fact(record: Record, codec: Codec[Fact]) -> bool:
    """Whether it is a fact of a version that later code will know."""
    fact = _fact(record, codec)
    return fact is not None and fact.fact_version > FACT_VERSION


def _fact(record: Record, codec: Codec[Fact]) -> Fact | None:
    try:
        return decoded(codec, record)
    except InvalidRecord:
        return None
