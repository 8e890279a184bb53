"""The registry's answers, good and bad, as opstrail understands them."""

import socket
import time
from collections.abc import Iterator

import pytest

from opstrail_runtime.codecs import Codecs, asked
from opstrail_runtime.errors import Unavailable
from opstrail_runtime.settings import RegistrySettings
from opstrail_runtime.wiring import new_registry
from opstrail_schemas.codec import BadMessage, UnknownSchema, frame
from opstrail_schemas.messages import Account, EnrichedEvent, RawEvent
from opstrail_schemas.registry import MESSAGE_TYPES, NotCompatible, NotRegistered, Registry
from opstrail_schemas.topics import TopicName, all_topics, topic
from tests.support.fake_registry import FakeRegistry, serving

AN_ACCOUNT = Account(account_id="111122223333", source="file")


@pytest.fixture(params=[False, True], ids=["confluent", "bare-404"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeRegistry]:
    with serving(FakeRegistry(path="/apis/ccompat/v7", bare_404=request.param)) as registry:
        yield registry


def registry_at(url: str) -> Registry:
    return new_registry(RegistrySettings(url=url))


def test_every_schema_is_registered_with_its_compatibility(fake: FakeRegistry) -> None:
    registry = registry_at(fake.url)

    ids = registry.register()

    assert ids == registry.ids()
    assert set(ids) == {described.subject for described in all_topics()}
    assert fake.compatibility == dict.fromkeys(ids, "FULL_TRANSITIVE")


def test_registering_again_changes_nothing(fake: FakeRegistry) -> None:
    first = registry_at(fake.url).register()

    assert first == registry_at(fake.url).register()


def test_one_schema_on_two_topics_has_one_id(fake: FakeRegistry) -> None:
    registry = registry_at(fake.url)
    registry.register()

    raw = registry.codec(TopicName.EVENTS_RAW, RawEvent)
    reread = registry.codec(TopicName.EVENTS_REREAD, RawEvent)

    assert raw.schema_id == reread.schema_id


@pytest.mark.parametrize("name", TopicName)
def test_every_topic_has_a_codec_once_registered(name: TopicName, fake: FakeRegistry) -> None:
    registry = registry_at(fake.url)
    ids = registry.register()

    assert registry.codec(name, MESSAGE_TYPES[name]).schema_id == ids[topic(name).subject]


def test_a_path_in_the_url_is_kept(fake: FakeRegistry) -> None:
    registry_at(fake.url + "/").register()

    assert {path.split()[1][:16] for path in fake.asked} == {"/apis/ccompat/v7"}


@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_what_is_not_registered_is_said_and_what_to_do(path: str, fake: FakeRegistry) -> None:
    """Also where the URL lacks its path: such a registry answers 404 as well."""
    url = fake.url.removesuffix(fake.path) + path if path else fake.url

    with pytest.raises(NotRegistered, match="opstrail schemas register"):
        Codecs(registry_at(url)).of(TopicName.ACCOUNTS, Account)


def test_a_schema_that_is_not_registered_has_no_id(fake: FakeRegistry) -> None:
    assert set(registry_at(fake.url).ids().values()) == {None}


def test_services_never_register(fake: FakeRegistry) -> None:
    registry_at(fake.url).register()
    fake.asked.clear()

    codec = registry_at(fake.url).codec(TopicName.ACCOUNTS, Account)
    codec.decode(codec.encode(AN_ACCOUNT))

    assert [path.partition("?")[0] for path in fake.asked] == [
        "POST /apis/ccompat/v7/subjects/opstrail.accounts.v1-value"
    ]


def test_a_message_of_another_id_is_read_with_the_schema_of_that_id(fake: FakeRegistry) -> None:
    registry = registry_at(fake.url)
    registry.register()
    codec = Codecs(registry).of(TopicName.ACCOUNTS, Account)
    fake.texts.append(fake.texts[codec.schema_id - 1].replace("Twelve digits.", "12 digits."))
    older = frame(len(fake.texts), codec.encode(AN_ACCOUNT)[5:])
    fake.asked.clear()

    assert codec.decode(older) == AN_ACCOUNT
    assert codec.decode(older) == AN_ACCOUNT
    assert fake.asked == [f"GET /apis/ccompat/v7/schemas/ids/{len(fake.texts)}"]


def test_an_id_that_the_registry_does_not_know_is_a_bad_message(fake: FakeRegistry) -> None:
    registry_at(fake.url).register()
    codec = Codecs(registry_at(fake.url)).of(TopicName.ACCOUNTS, Account)

    with pytest.raises(UnknownSchema):
        codec.decode(frame(4711, b""))


def test_a_message_of_another_topic_is_a_bad_message(fake: FakeRegistry) -> None:
    registry = registry_at(fake.url)
    registry.register()
    accounts = registry.codec(TopicName.ACCOUNTS, Account)
    enriched = Codecs(registry).of(TopicName.EVENTS_ENRICHED, EnrichedEvent)

    with pytest.raises(BadMessage, match=r"written with a io\.opstrail\.v1\.Account"):
        enriched.decode(accounts.encode(AN_ACCOUNT))


def test_a_schema_that_may_not_follow_is_refused_and_not_taken_for_an_outage(
    fake: FakeRegistry,
) -> None:
    fake.broken = (409, b'{"error_code": 409, "message": "field removed"}')

    with pytest.raises(NotCompatible, match=r"files\.noticed.*field removed"):
        asked(registry_at(fake.url).register)


@pytest.mark.parametrize(
    "broken",
    [
        (500, b'{"error_code": 50001, "message": "the store is away"}'),
        (503, b"<html>no backend</html>"),
        (401, b'{"error_code": 401, "message": "Unauthorized"}'),
        (200, b"<html>please log in</html>"),
    ],
    ids=["500", "503-page", "401", "200-page"],
)
def test_a_registry_that_does_not_answer_properly_is_unavailable(
    broken: tuple[int, bytes], fake: FakeRegistry
) -> None:
    registry_at(fake.url).register()
    codecs = Codecs(registry_at(fake.url))
    codec = codecs.of(TopicName.ACCOUNTS, Account)
    fake.broken = broken

    with pytest.raises(Unavailable, match="registry"):
        codec.decode(frame(4711, b""))
    with pytest.raises(Unavailable, match="registry"):
        codecs.of(TopicName.EVENTS_RAW, RawEvent)


def test_a_registry_that_refuses_connections_is_unavailable_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        began = time.monotonic()

        with pytest.raises(Unavailable, match="registry"):
            asked(registry_at(url).register)

    assert time.monotonic() - began < 5


def test_a_registry_that_takes_the_call_and_says_nothing_is_unavailable_within_ten_seconds() -> (
    None
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()

        with pytest.raises(Unavailable, match="registry"):
            Codecs(registry_at(url)).of(TopicName.ACCOUNTS, Account)

    assert time.monotonic() - began < 10
