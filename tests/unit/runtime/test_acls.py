"""The table of rights follows from the topic files."""

import pytest

from opstrail_runtime.acls import Acl, Kind, Role, acls
from opstrail_schemas.topics import Topic, all_topics

OTHERS = {"subscribers"}  # not ours: their users are made by whoever runs them


def test_every_writer_and_reader_of_a_topic_file_is_a_role() -> None:
    named = {name for topic in all_topics() for name in (*topic.writers, *topic.readers)}

    assert named - OTHERS <= set(Role)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("described", all_topics(), ids=lambda topic: topic.name)
def test_who_writes_may_write_and_who_reads_may_read_and_nobody_else(
    role: Role, described: Topic
) -> None:
    rights = {a.name: a.operations for a in acls(role) if a.kind is Kind.TOPIC}
    operations = rights.get(described.name, ())

    assert (role in described.writers) == ("Write" in operations)
    assert (role in described.readers) == ("Read" in operations)


@pytest.mark.parametrize("role", Role)
def test_nobody_may_change_topics_or_the_cluster(role: Role) -> None:
    allowed = {"Describe", "DescribeConfigs", "Read", "Write"}

    assert {operation for acl in acls(role) for operation in acl.operations} <= allowed


def test_names_carry_the_prefix_of_the_installation_or_the_namespace_of_slots() -> None:
    of_topic = Acl(Kind.TOPIC, "opstrail.accounts.v1", ("Read",))
    of_slot = Acl(Kind.TRANSACTIONAL_ID, "split.", ("Write",), prefixed=True)

    assert "a.opstrail.accounts.v1" == of_topic.full(topic_prefix="a", slot_namespace="n")
    assert "opstrail.accounts.v1" == of_topic.full(topic_prefix="", slot_namespace="n")
    assert "n.split." == of_slot.full(topic_prefix="a", slot_namespace="n")
