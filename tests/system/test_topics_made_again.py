"""F19: topics are deleted and made again, offsets are gone: the store is as it was."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from opstrail_schemas.topics import TopicName
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.records import a_record, trail_file
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

FILES, IN_A_FILE = 20, 10
EVENTS = FILES * IN_A_FILE
WITHIN_S = 90


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Installed]:
    with installed(servers, tmp_path, **FEW_PARTITIONS) as installation:
        yield installation


@pytest.mark.parametrize(
    ("gone", "enriched"),
    [
        ([TopicName.FILES_NOTICED], EVENTS),
        ([TopicName.EVENTS_ENRICHED], 0),
        ([TopicName.FILES_NOTICED, TopicName.FILES_LEDGER, TopicName.EVENTS_RAW], EVENTS),
        (list(TopicName), EVENTS),
    ],
    ids=lambda gone: f"{len(gone)} topics" if isinstance(gone, list) else None,
)
def test_topics_that_are_made_again_change_nothing_in_the_store(
    own: Installed, tmp_path: Path, gone: list[TopicName], enriched: int, figure: Figure
) -> None:
    folder, before = _stored(own, tmp_path)
    admin = AdminClient({"bootstrap.servers": own.addresses.kafka})
    for done in admin.delete_topics([own.topic(name) for name in gone]).values():
        done.result(WITHIN_S)

    ended = own.run(folder)

    figure(f"{', '.join(gone)} made again: documents changed", _changed(own, before), "0")
    assert (0, 0) == (ended.code, ended.result["restarts"])
    assert (0, EVENTS) == (ended.result["stored"], ended.result["alreadyThere"])
    assert EVENTS == len(list(own.messages("events.raw"))), "read again where it was gone"
    assert enriched == len(list(own.messages("events.enriched")))
    assert 0 == _changed(own, before)


def test_offsets_that_are_gone_change_nothing_in_the_store(
    own: Installed, tmp_path: Path, figure: Figure
) -> None:
    folder, before = _stored(own, tmp_path)
    admin = AdminClient({"bootstrap.servers": own.addresses.kafka})
    groups = [f"{own.name}.opstrail.{role}" for role in ("split", "enrich", "store")]
    give_up = time.monotonic() + WITHIN_S
    while groups:  # static members stay until their sessions end
        assert time.monotonic() < give_up, f"not empty: {groups}"
        groups = [group for group in groups if not _is_deleted(admin, group)]

    ended = own.run(folder)

    figure("offsets of all groups gone: documents changed", _changed(own, before), "0")
    repeats = len(list(own.messages("events.enriched"))) - len(before)
    figure("offsets of all groups gone: repeats on events.enriched", repeats, "0")
    assert (0, 0) == (ended.code, ended.result["restarts"])
    assert (0, 0) == (_changed(own, before), repeats)


def _is_deleted(admin: AdminClient, group: str) -> bool:
    try:
        admin.delete_consumer_groups([group])[group].result(WITHIN_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
            raise
        return False
    return True


def _stored(own: Installed, tmp_path: Path) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        records = [a_record(number * IN_A_FILE + n) for n in range(IN_A_FILE)]
        (folder / f"file-{number:02}.json.gz").write_bytes(trail_file(records))
    assert 0 == own.run(folder).code
    before = _documents(own)
    assert EVENTS == len(before)
    return folder, before


def _documents(own: Installed) -> dict[str, Any]:
    return {hit["_id"]: _without_delivery(hit) for hit in own.hits()}


def _without_delivery(hit: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    source = hit["_source"]
    ours = {name: value for name, value in source["opstrail"].items() if name != "delivery"}
    return hit["_version"], {**source, "opstrail": ours}


def _changed(own: Installed, before: Mapping[str, Any]) -> int:
    after = _documents(own)
    return sum(before.get(each) != after.get(each) for each in before.keys() | after.keys())
