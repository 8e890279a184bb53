"""Store on a real OpenSearch: bad records, versions, blocks, and the set-up."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from click.testing import CliRunner
from opensearchpy import OpenSearch

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.settings import OpenSearchSettings
from opstrail_store import commands
from opstrail_store.bulk_response import AlreadyThere, Reject, Stored
from opstrail_store.content import content_of
from opstrail_store.document import (
    DEEPEST_NESTING,
    delivery_of,
    event_body,
    event_document_id,
    raw_of,
    reduced_body,
)
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_sink import Conflict, OpenSearchSink, Write
from opstrail_store.store_setup import (
    NotSetUp,
    SetupRefused,
    execute,
    horizon_now,
    installed_layout,
    plan,
)
from opstrail_store.stored_documents import ExactJson, StoredDocuments
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client
from tests.support.enriched import VERSION, a_raw, an_enriched
from tests.support.memory_kafka import StillPulse

JAN = "2023.01"


@dataclass(frozen=True, slots=True)
class Store:
    """A store of the test's own: a prefix on a shared server."""

    client: OpenSearch
    names: IndexNames
    sink: OpenSearchSink

    def write(self, *events, pulse=None, guarded=True):
        return self.sink.write(
            [self.a_write(event, guarded=guarded) for event in events], pulse or StillPulse()
        )

    def a_write(self, enriched, *, guarded=True):
        event = enriched.event
        return Write(
            index=self.names.of_event(event.event_time),
            id=event_document_id(event),
            version=enriched.enrichment.version,
            body=event_body(enriched, stored_at=1),
            reduced=lambda: reduced_body(enriched, stored_at=1, why="refused"),
            content=content_of(event) if guarded else None,
            delivery=delivery_of(enriched, 1),
        )

    def source(self, event_id="e-1", month=JAN):
        index = f"{self.names.prefix}-events-v1-{month}"
        return self.client.get_source(index=index, id=f"111122223333/{event_id}")

    def raw(self, event_id="e-1", month=JAN):
        # By the connection: the client would parse, and so change, what we want to see.
        connection = self.client.transport.get_connection()
        index = f"{self.names.prefix}-events-v1-{month}"
        path = f"/{index}/_source/111122223333%2F{event_id}"
        _, _, text = connection.perform_request("GET", path)
        return str(text).encode()

    def found(self, query: str) -> int:
        self.client.indices.refresh(index=self.names.events)
        body = {"query": {"query_string": {"query": query}}}
        return self.client.count(index=self.names.events, body=body)["count"]

    def mapped_fields(self) -> set[int]:
        mapped = self.client.indices.get_mapping(index=self.names.events)
        return {_leaves(answer["mappings"]["properties"]) for answer in mapped.values()}


def _leaves(properties: dict) -> int:
    return sum(1 + _leaves(field.get("properties", {})) for field in properties.values())


@pytest.fixture
def client(opensearch_url):
    return new_client(OpenSearchSettings(url=opensearch_url))


@pytest.fixture
def store(client, namespace):
    execute(plan(client, namespace, Layout()))
    sink = OpenSearchSink(client, backoff=Backoff(first_s=0.1, longest_s=1, rng=random.Random(1)))
    yield Store(client, IndexNames(namespace), sink)
    sink.close()
    client.indices.delete(index=f"{namespace}-*", params={"expand_wildcards": "all"})
    for kind in ("events", "files", "dead-letters"):
        client.indices.delete_index_template(name=f"{namespace}-{kind}")


def test_an_event_is_found_by_its_own_names_and_by_ours(store):
    assert [Stored()] == store.write(an_enriched())

    for query in (
        "eventName:StopInstance",
        "userIdentity.type:IAMUser",
        "requestParameters.instanceId:i\\-1",
        'opstrail.sourceIP:"203.0.113.0/24"',
        "opstrail.stack.name:shop\\-prod",
        "opstrail.caller.kind:iamUser",
        "opstrail.account.tags:team\\=web",
        "eventTime:[2023-01-01 TO 2023-01-03]",
        "opstrail.delivery.storedAt:1",
    ):
        assert 1 == store.found(query), query


WHOLE = {
    "pretty": json.dumps(json.loads(a_raw()), indent=2).encode(),
    "a long word outside flat objects": a_raw(eventName="x" * 40_000, errorMessage="y" * 40_000),
    "numbers and escapes as they were written": a_raw()[:-1]
    + rb',"zz":{"a":1.10,"b":0.12345678901234567890123,"c":1E2,"e":"\u003cx\/\u00e9"}}',
    "numbers beyond 64 bits": a_raw(requestParameters={"n": 2**64, "f": 1e300}),
    "deep enough": a_raw(
        requestParameters=json.loads(
            '{"a":' * (DEEPEST_NESTING - 2) + "1" + "}" * (DEEPEST_NESTING - 2)
        )
    ),
    "odd keys in a flat object": a_raw(requestParameters={"": 1, ".": 2, "a..b": 3, "c.": [[4]]}),
}
REDUCED = {
    "own opstrail key": a_raw(opstrail={"caller": {"kind": "root"}}),
    "forged path": a_raw(**{"opstrail.caller.kind": "root"}),
    "empty key": a_raw(**{"": 1}),
    "dot key": a_raw(**{".": 1}),
    "dots key": a_raw(**{"a..b": 1}),
    "40 KB term": a_raw(requestParameters={"a": "x" * 40_000}),
    "40 KB term with quotes": a_raw(requestParameters={"a": 'x"' * 20_000}),
    "40 KB name": a_raw(requestParameters={"k" * 40_000: 1}),
    "duplicate key at the root": b'{"eventName":"A",' + a_raw()[1:],
    "duplicate key below": a_raw()[:-1] + b',"zz":{"a":1,"a":2}}',
    "metadata key": a_raw(_id="x"),
    "text where an object is": a_raw(userIdentity="root"),
    "object where text is": a_raw(eventName={"a": 1}),
    "odd key below": a_raw(userIdentity={"": 1}),
    "text where a boolean is": a_raw(readOnly="yes"),
    "time in another format": a_raw(eventTime="2023-01-02 00:00:00"),
    "a time that is none": a_raw(eventTime=""),
    "number of 5,000 digits": a_raw()[:-1] + b',"zz":' + b"9" * 5_000 + b"}",
    "lone surrogate": a_raw(requestParameters={"a": "\ud800"}),
    "not UTF-8": a_raw()[:-1] + b',"zz":"\xff"}',
    "not JSON": b"\xff{not json\n",
    "500 deep": a_raw(requestParameters=json.loads('{"a":' * 500 + "1" + "}" * 500)),
    "100,000 deep": b'{"a":' + b"[" * 100_000,
}


def test_every_bad_record_is_stored_and_loses_no_byte(store, opensearch_url):
    fields = store.mapped_fields()
    raws = {**WHOLE, **REDUCED}
    events = [an_enriched(raw, event_id=f"e{n}") for n, raw in enumerate(raws.values())]

    assert [Stored()] * len(events) == store.write(*events)

    for n, (name, raw) in enumerate(raws.items()):
        ours = store.source(f"e{n}")["opstrail"]
        assert (name in REDUCED) == ("reduced" in ours), (name, ours.get("reduced"))
        text = raw_of(store.raw(f"e{n}"))
        # A pretty record comes back with spaces for its newlines, all others byte for byte.
        assert text == (raw.replace(b"\n", b" ") if name == "pretty" else raw), name
    assert _texts(opensearch_url, store, len(raws)) == [
        raw_of(store.raw(f"e{n}")) for n in range(len(raws))
    ]
    assert len(raws) == store.found("opstrail.accountId:111122223333")
    assert 0 == store.found("opstrail.caller.kind:root")
    assert fields == store.mapped_fields()
    assert 1 == len(fields)


def _texts(url: str, store: Store, number: int) -> list[bytes | None]:
    """Return the records as a repair reads them."""
    client = new_client(OpenSearchSettings(url=url), ExactJson())
    documents = StoredDocuments(client, store.names.events)
    documents.refresh()
    known = {each.id: each for each in documents.all()}
    wanted = [known[f"111122223333/e{n}"] for n in range(number)]
    return [source and raw_of(source) for source in documents.sources(wanted)]


def test_an_object_here_and_a_string_there_are_both_searchable(store):
    store.write(
        an_enriched(a_raw(requestParameters={"tags": {"a": "b"}}), event_id="1"),
        an_enriched(a_raw(requestParameters={"tags": "b"}), event_id="2"),
        an_enriched(a_raw(requestParameters="b"), event_id="3"),
    )

    assert 1 == store.found("requestParameters.tags.a:b")
    assert 1 == store.found("requestParameters.tags:b")
    assert 1 == store.found("requestParameters.value:b")


def test_the_higher_version_wins_in_any_order_and_a_replay_changes_nothing(store):
    low, high = (an_enriched(version=VERSION + n) for n in (0, 3))

    assert [Stored()] == store.write(low)
    assert [AlreadyThere()] == store.write(low)
    assert [Stored()] == store.write(high, guarded=False)
    assert [AlreadyThere(), AlreadyThere()] == store.write(low, high)
    assert VERSION + 3 == store.source()["opstrail"]["version"]


def test_the_first_event_of_an_identity_stays(store):
    store.write(an_enriched())
    raw = a_raw(eventName="StartInstance")

    for version in (VERSION, VERSION + 1):
        (verdict,) = store.write(an_enriched(raw, version=version, event_name="StartInstance"))
        assert isinstance(verdict, Conflict)
    assert "StopInstance" == store.source()["eventName"]


def test_a_reduced_event_is_recognised_as_the_same(store):
    event = an_enriched(b"not json", version=VERSION + 1)

    assert [Stored(), AlreadyThere()] == store.write(event, event)
    assert [AlreadyThere()] == store.write(event)


def test_new_months_join_the_alias_with_our_mapping_and_nothing_else(store):
    store.write(
        an_enriched(event_id="1", event_time=1_600_000_000_000),
        an_enriched(a_raw(zz={"new": 1}), event_id="2", event_time=None),
    )

    indices = set(store.client.indices.get_alias(name=store.names.events))
    assert {store.names.of_event(1_600_000_000_000), store.names.of_event(None)} == indices
    assert 1 == len(store.mapped_fields())


class Reopening(StillPulse):
    """Opens what is closed when somebody waits for it."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act

    def wait(self, seconds: float, *, why: str) -> None:
        super().wait(seconds, why=why)
        self.act()


def test_an_index_that_somebody_closed_is_waited_for(store):
    store.write(an_enriched())
    index = store.names.of_event(an_enriched().event.event_time)
    store.client.indices.close(index=index)
    pulse = Reopening(lambda: store.client.indices.open(index=index))

    verdicts = store.write(an_enriched(event_id="2", version=VERSION + 1), pulse=pulse)

    assert [Stored()] == verdicts
    assert "index_closed_exception" in pulse.waits[0][1]


def test_a_full_disk_is_waited_for(store):
    index = store.names.of_event(None)

    def block(*, on: bool) -> None:
        settings = {"index.blocks.read_only_allow_delete": "true" if on else None}
        store.client.indices.put_settings(index=index, body=settings)

    block(on=True)
    pulse = Reopening(lambda: block(on=False))

    assert [Stored()] == store.write(an_enriched(event_time=None), pulse=pulse)
    assert "/12/" in pulse.waits[0][1]


def test_a_newline_spoils_its_own_document_only(store):
    good = [store.a_write(an_enriched(event_id=str(n))) for n in range(9)]
    bad = replace(good[4], id="bad", body=b'{"a":\n1}', reduced=None, content=None)
    at = 4

    verdicts = store.sink.write([*good[:at], bad, *good[at:]], StillPulse())

    assert isinstance(verdicts.pop(at), Reject)
    assert all(verdict in {Stored(), AlreadyThere()} for verdict in verdicts)
    assert 9 == store.found("eventName:StopInstance")


def test_a_server_that_is_away_is_unavailable():
    client = new_client(OpenSearchSettings(url="http://127.0.0.1:9"))

    with pytest.raises(Unavailable):
        installed_layout(client, "x")


# The set-up


def test_the_second_plan_has_nothing_to_do(store):
    assert {"same"} == {step.action for step in plan(store.client, store.names.prefix, Layout())}


def test_a_plan_changes_nothing(client, namespace):
    steps = plan(client, namespace, Layout())

    assert {"create"} == {step.action for step in steps}
    with pytest.raises(NotSetUp):
        installed_layout(client, namespace)


def test_the_layout_cannot_change_under_stored_events(store):
    prefix = store.names.prefix
    execute(plan(store.client, prefix, Layout("day")))
    assert Layout("day") == installed_layout(store.client, prefix)
    with pytest.raises(NotSetUp):
        horizon_now(store.client, prefix, Layout("month"))

    store.write(an_enriched())
    store.client.indices.refresh(index=store.names.events)

    with pytest.raises(SetupRefused):
        plan(store.client, prefix, Layout("month"))


def test_a_template_that_somebody_changed_is_shown_and_set_right(store):
    name = store.names.files
    template = store.client.indices.get_index_template(name=name)["index_templates"][0]
    changed = template["index_template"]
    changed["template"]["settings"]["index"]["codec"] = "default"
    store.client.indices.put_index_template(name=name, body=changed)

    steps = plan(store.client, store.names.prefix, Layout())

    (update,) = [step for step in steps if step.action == "update"]
    assert name in update.what
    assert "codec" in update.detail
    execute(steps)
    assert {"same"} == {s.action for s in plan(store.client, store.names.prefix, Layout())}


def test_templates_of_an_older_version_stop_the_service(store):
    name = store.names.events
    template = store.client.indices.get_index_template(name=name)["index_templates"][0]
    older = template["index_template"]
    older["_meta"]["opstrail"]["mappingVersion"] = 0
    store.client.indices.put_index_template(name=name, body=older)

    with pytest.raises(NotSetUp):
        installed_layout(store.client, store.names.prefix)


def test_the_command_shows_its_plan_and_acts_when_told(opensearch_url, store, monkeypatch):
    monkeypatch.setenv("OPSTRAIL_OPENSEARCH__URL", opensearch_url)
    monkeypatch.setenv("OPSTRAIL_STORE__INDEX_PREFIX", store.names.prefix)
    store.client.indices.delete_index_template(name=store.names.files)

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(commands.store, ["setup", *arguments])
        assert 0 == result.exit_code, result.output
        return result.output

    assert f"create index template {store.names.files}" in said()
    assert "1 to do: run again with --execute" in said()
    assert "1 done" in said("--execute")
    assert "nothing to do" in said()
