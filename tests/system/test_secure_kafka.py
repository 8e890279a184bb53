"""A broker with TLS, SCRAM and ACLs: each role gets in as itself, and may do what its table says.

The broker is the test's own; the registry and OpenSearch are the shared servers.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]
from opensearchpy import OpenSearch

from opstrail_runtime.acls import Kind, Role, acls
from opstrail_runtime.kafka_security import security_properties
from opstrail_runtime.kafka_topics import KafkaTopics
from opstrail_runtime.settings import KafkaSettings
from opstrail_runtime.topic_names import TopicNames
from opstrail_runtime.wiring import new_admin
from opstrail_schemas.topics import TopicName
from tests.support.figures import Figure
from tests.support.records import a_record, trail_file
from tests.support.secure_kafka import SecureKafka, secure_kafka
from tests.support.servers import Servers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
NAMESPACE = "secured"
SERVICES: Mapping[Role, tuple[str, ...]] = {
    Role.SPLIT: ("ingest", "split"),
    Role.ENRICH: ("enrich",),
    Role.STORE: ("store",),
}
ACCOUNT = "111122223333"
# Kafka grants what follows from a right as well: who may read or write may describe.
_NAMES = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.DESCRIBE: "Describe",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
    AclOperation.CREATE: "Create",
    AclOperation.DELETE: "Delete",
    AclOperation.ALTER: "Alter",
    AclOperation.ALTER_CONFIGS: "AlterConfigs",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture(scope="module")
def prefix(broker: SecureKafka) -> str:
    """An installation on the broker: topics, and a user with its rights for each role."""
    name = f"acl{os.getpid()}"
    admin = broker.settings(
        "admin", "admin-secret", topic_prefix=name, files_partitions=2, events_partitions=2
    )
    KafkaTopics(new_admin(admin), admin).create_missing()
    for role in Role:
        broker.add_user(role, secret(role))
        broker.allow(role, acls(role), topic_prefix=name, slot_namespace=NAMESPACE)
    return name


def secret(role: Role) -> str:
    return f"the secret of {role}"


def metadata(settings: KafkaSettings) -> str:
    """Return the cluster's id, or what the client says stands in the way."""
    said: list[str] = []
    properties = {
        "bootstrap.servers": settings.bootstrap_servers,
        "error_cb": lambda error: said.append(error.str()),
        "log_level": 0,
        **security_properties(settings, no_token),
    }
    client = AdminClient(properties)
    try:
        return str(client.list_topics(timeout=10).cluster_id)
    except KafkaException:
        client.poll(0)
        return " ".join(said)


def no_token(_region: str) -> tuple[str, float]:
    raise AssertionError("no token is asked for")


def test_scram_over_tls_lets_in_who_knows_the_password(broker: SecureKafka) -> None:
    broker.add_user("somebody", "right")

    assert "" != metadata(broker.settings("somebody", "right"))
    assert "Authentication failed" in metadata(broker.settings("somebody", "wrong"))


def test_a_broker_of_another_authority_is_refused(broker: SecureKafka) -> None:
    settings = broker.settings("admin", "admin-secret", ca_file=None)

    assert "certificate" in metadata(settings)


def test_a_client_certificate_lets_in_and_its_lack_does_not(broker: SecureKafka) -> None:
    certificate, key = broker.authority.issue("client", host=None)
    known = KafkaSettings(
        bootstrap_servers=broker.mtls,
        security_protocol="SSL",
        ca_file=str(broker.authority.ca),
        certificate_file=str(certificate),
        key_file=str(key),
    )
    unknown = known.model_copy(update={"certificate_file": None, "key_file": None})

    cluster = str(broker.admin().list_topics(timeout=10).cluster_id)
    assert cluster == metadata(known)
    assert cluster not in metadata(unknown)


def test_a_token_is_given_by_every_kind_of_client(broker: SecureKafka) -> None:
    """MSK IAM is a token in OAUTHBEARER; this broker takes one that nobody signed."""
    settings = KafkaSettings(
        bootstrap_servers=broker.scram,
        security_protocol="SASL_SSL",
        sasl_mechanism="AWS_MSK_IAM",
        region="eu-west-1",
        ca_file=str(broker.authority.ca),
    )
    asked: list[str] = []

    def token(region: str) -> tuple[str, float]:
        asked.append(region)
        return unsigned_token("token-user"), time.time() + 600

    def client(kind: Callable[[dict[str, Any]], Any], **more: Any) -> Any:
        properties = security_properties(settings, token)
        return kind({"bootstrap.servers": settings.bootstrap_servers, **properties, **more})

    for each in (client(AdminClient), client(Producer), client(Consumer, **{"group.id": "g"})):
        assert each.list_topics(timeout=20).cluster_id
    assert ["eu-west-1"] * 3 == asked


def unsigned_token(subject: str) -> str:
    def part(content: Mapping[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    now = int(time.time())
    claims = {"sub": subject, "iat": now - 1, "exp": now + 600}
    return f"{part({'alg': 'none'})}.{part(claims)}."


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_its_table_says_and_nothing_else(
    broker: SecureKafka, prefix: str, role: Role
) -> None:
    admin = new_admin(broker.settings(role, secret(role)))
    expected = {
        (acl.kind, acl.full(topic_prefix=prefix, slot_namespace=NAMESPACE)): set(acl.operations)
        for acl in acls(role)
    }
    names = TopicNames(prefix)
    topics = {
        full: set(operations(admin.describe_topics, TopicCollection([full])).get(full, ()))
        for full in map(names.full, TopicName)
    }
    groups = [f"{prefix}.opstrail.{each}" for each in ("split", "enrich", "store", "reread")]
    grouped = operations(admin.describe_consumer_groups, groups)

    assert {full: expected.get((Kind.TOPIC, full), set()) for full in topics} == topics
    assert {full: expected.get((Kind.GROUP, full), set()) for full in groups} == {
        full: set(grouped.get(full, ())) for full in groups
    }


def operations(ask: Callable[..., Mapping[str, Any]], of: Any) -> Mapping[str, set[str]]:
    """Return what the client may do, as the broker tells it; what it refuses is left out."""
    while True:
        found = {}
        futures = ask(of, include_authorized_operations=True, request_timeout=20)
        try:
            for name, future in futures.items():
                try:
                    described = future.result()
                except KafkaException as error:
                    if "AUTHORIZATION_FAILED" not in error.args[0].name():
                        raise
                else:
                    found[name] = {_NAMES[each] for each in described.authorized_operations}
        except KafkaException as error:
            if not error.args[0].retriable() and "LOAD_IN_PROGRESS" not in error.args[0].name():
                raise
            time.sleep(0.2)  # the coordinator was just made
        else:
            return found


def test_services_need_no_more_than_their_tables(
    broker: SecureKafka,
    prefix: str,
    servers: Servers,
    tmp_path: Path,
    figure: Figure,
) -> None:
    """Files go all the way into the store, facts are imported, and events repaired."""
    shared = {
        **os.environ,
        **servers.environment(),
        "OPSTRAIL_KAFKA__TOPIC_PREFIX": prefix,
        "OPSTRAIL_STORE__INDEX_PREFIX": prefix,
        "OPSTRAIL_SLOT__NAMESPACE": NAMESPACE,
        "OPSTRAIL_SLOT__NUMBER": "0",
    }
    source = tmp_path / "trails" / f"AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2024/01/02"
    source.mkdir(parents=True)
    events = [a_record(eventID=f"id-{number}", recipientAccountId=ACCOUNT) for number in range(50)]
    for number in range(5):
        content = trail_file(events[number * 10 : number * 10 + 10])
        (source / f"{ACCOUNT}_CloudTrail_eu-west-1_20240102T1000Z_{number}.json.gz").write_bytes(
            content
        )
    (source / "broken.json.gz").write_bytes(b"no gzip")
    names = tmp_path / "accounts.csv"
    names.write_text(f"id,name\n{ACCOUNT},shop\n")
    shared["OPSTRAIL_OBJECTS__LOCAL_ROOTS"] = json.dumps([str(tmp_path)])

    def of(role: Role) -> dict[str, str]:
        return {**shared, **broker.environment(role, secret(role))}

    opensearch = OpenSearch(servers.addresses.opensearch, timeout=60)
    opstrail(("schemas", "register"), shared)
    opstrail(("store", "setup", "--execute"), shared)
    with running({role: (words, of(role)) for role, words in SERVICES.items()}, tmp_path) as alive:
        try:
            trails = str(tmp_path / "trails")
            once = ("ingest", "discover", trails, "--once")
            found = opstrail(once, of(Role.DISCOVER), code={0, 3})
            assert '"files": 6' in found
            alive.until(lambda: count(opensearch, prefix, "events") == len(events))
            alive.until(lambda: count(opensearch, prefix, "dead-letters") == 1)
            imported = opstrail(
                ("catalog", "accounts", "import", str(names), "--execute"), of(Role.IMPORTS)
            )
            assert 1 == json.loads(imported)[0]["written"]
            repaired = json.loads(opstrail(("store", "reread"), of(Role.STORE)))[0]["sent"]
            assert len(events) == repaired
            letters = ("dead-letters", "retry", "--all", "--execute")
            opstrail(letters, of(Role.OPERATORS), code={0, 3})
            # A backfill asks for everybody's lag first.
            again = ("ingest", "backfill", trails, "--execute")
            assert '"files": 6' in opstrail(again, of(Role.DISCOVER), code={0, 3})
        finally:
            opensearch.indices.delete(
                index=f"{prefix}-*", ignore=[404], params={"expand_wildcards": "all"}
            )
            opensearch.indices.delete_index_template(name=f"{prefix}-*", ignore=[404])
            opensearch.close()
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    refused = [line for line in logs.splitlines() if "AUTHORIZATION" in line.upper()]
    figure("rights that services lacked", len(refused), "0")
    assert [] == refused
    assert [] == [role for role in Role if secret(role) in logs]


def count(opensearch: OpenSearch, prefix: str, kind: str) -> int:
    opensearch.indices.refresh(index=f"{prefix}-{kind}", ignore=[404])
    found = opensearch.count(index=f"{prefix}-{kind}", ignore=[404, 503])
    number: int = found.get("count", 0)
    return number


def opstrail(
    words: tuple[str, ...], environment: Mapping[str, str], *, code: set[int] | None = None
) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "opstrail_cli.main", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (code or {0}), f"{words}: {done.stderr}"
    assert "authorization" not in done.stderr.lower(), f"{words}: {done.stderr}"
    return done.stdout


class Alive:
    """Services that run; waiting ends early where one died."""

    def __init__(self, processes: Mapping[Role, "subprocess.Popen[bytes]"], logs: Path) -> None:
        self._processes = processes
        self._logs = logs

    def until(self, true: Callable[[], bool]) -> None:
        while not true():
            for role, process in self._processes.items():
                assert process.poll() is None, (self._logs / f"{role}.log").read_text()[-3000:]
            time.sleep(0.2)


@contextmanager
def running(
    services: Mapping[Role, tuple[tuple[str, ...], Mapping[str, str]]], logs: Path
) -> Iterator[Alive]:
    processes: dict[Role, subprocess.Popen[bytes]] = {}
    try:
        for role, (words, environment) in services.items():
            with (logs / f"{role}.log").open("wb") as log:
                processes[role] = subprocess.Popen(
                    [sys.executable, "-m", "opstrail_cli.main", *words],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        yield Alive(processes, logs)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
