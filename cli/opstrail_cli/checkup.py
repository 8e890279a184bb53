"""The checks of `opstrail doctor`: each looks at one server and tells what it found."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    ResourceType,
)
from httpx2 import HTTPError

from opstrail_cli.findings import (
    Finding,
    bad,
    good,
    of_broker,
    of_clock,
    of_disk,
    of_lag,
    of_opensearch_version,
    of_rights,
    statement,
    warning,
)
from opstrail_ingest.places import Queue
from opstrail_ingest.settings import Settings as IngestSettings
from opstrail_ingest.wiring import new_s3, new_sqs
from opstrail_runtime.acls import Kind, Role, acls
from opstrail_runtime.codecs import asked
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_runtime.kafka_topics import KafkaTopics, UnequalPartitions
from opstrail_runtime.settings import KafkaSettings, RegistrySettings
from opstrail_runtime.wiring import group_id, new_admin, new_lags, new_registry
from opstrail_schemas.registry import COMPATIBILITY
from opstrail_schemas.topics import TopicName, topic
from opstrail_store.opensearch_errors import translated
from opstrail_store.settings import SetupSettings
from opstrail_store.store_setup import SetupRefused, plan
from opstrail_store.templates import Layout
from opstrail_store.wiring import new_client

PATIENCE_S = 8.0
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403", "AllAccessDisabled"})
_READS: Mapping[Role, tuple[TopicName, ...]] = {
    Role.SPLIT: (TopicName.FILES_NOTICED,),
    Role.ENRICH: (TopicName.EVENTS_RAW, TopicName.EVENTS_REREAD),
    Role.STORE: (
        TopicName.EVENTS_ENRICHED,
        TopicName.EVENTS_REPAIRED,
        TopicName.FILES_LEDGER,
        TopicName.DEAD_LETTERS,
    ),
}


def kafka(settings: KafkaSettings, role: Role) -> Iterator[Finding]:
    """Look at the brokers, the topics, the rights of a role and the lag of the services."""
    admin = new_admin(settings)
    try:
        cluster = admin.list_topics(timeout=PATIENCE_S)
    except KafkaException as error:
        yield bad(
            "kafka",
            f"{settings.bootstrap_servers}: {error.args[0].str()}",
            "check OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS, __SECURITY_PROTOCOL, __CA_FILE and login",
        )
        return
    brokers = len(cluster.brokers)
    yield good("kafka", f"cluster {cluster.cluster_id}, {brokers} broker(s)")
    if brokers < 3:  # noqa: PLR2004 - what replication needs
        yield warning("kafka", f"{brokers} broker(s)", "three keep every record through a loss")
    yield from _broker(admin, next(iter(cluster.brokers)))
    topics = KafkaTopics(admin, settings)
    yield from _topics(topics, settings)
    if not topics.missing():
        yield from _rights(admin, settings, role)
        yield from _lags(settings, role)


def _broker(admin: AdminClient, number: int) -> Iterator[Finding]:
    asked_for = ConfigResource(ResourceType.BROKER, str(number))
    try:
        told = admin.describe_configs([asked_for], request_timeout=PATIENCE_S)[asked_for].result()
    except KafkaException as error:
        yield warning(
            "kafka",
            f"version and settings of the brokers may not be seen: {error.args[0].str()}",
            "kafka-acls --add --allow-principal User:NAME --cluster --operation DescribeConfigs",
        )
        return
    yield from of_broker({name: entry.value for name, entry in told.items()})


def _topics(topics: KafkaTopics, settings: KafkaSettings) -> Iterator[Finding]:
    missing = topics.missing()
    for name in missing:
        yield bad("topics", f"{name} is missing", "opstrail topics create")
    try:
        topics.check_partitions()
    except UnequalPartitions as error:
        yield bad("topics", str(error), "docs/how-to/partitions.md")
    wanted = {"files": settings.files_partitions, "events": settings.events_partitions}
    for name, count in topics.partition_counts().items():
        group = _group(name)
        if group and count != wanted[group]:
            yield warning(
                "topics",
                f"{name} has {count} partitions, not {wanted[group]} as the settings say",
                f"OPSTRAIL_KAFKA__{group.upper()}_PARTITIONS={count}",
            )
    try:
        differences = topics.differences()
    except Refused:
        yield warning("topics", "their settings may not be seen", "allow DescribeConfigs on them")
        return
    for each in differences:
        yield bad("topics", f"{each.topic}: {each.what}", each.mend)
    if not missing and not differences:
        yield good("topics", "all are there, set as their files say")


def _group(name: TopicName) -> str | None:
    found = topic(name).partitions
    return found if isinstance(found, str) else None


def _rights(admin: AdminClient, settings: KafkaSettings, role: Role) -> Iterator[Finding]:
    lacking = 0
    for acl in acls(role):
        if acl.kind is not Kind.TOPIC:
            continue
        full = acl.full(topic_prefix=settings.topic_prefix, slot_namespace="")
        found = _of_rights(admin, full, set(acl.operations), role)
        if found is not None:
            lacking += 1
            yield found
    if not lacking:
        yield good("acls", f"this user may do with topics what {role} needs")


def _of_rights(admin: AdminClient, full: str, needs: set[str], role: Role) -> Finding | None:
    futures = admin.describe_topics(
        TopicCollection([full]), include_authorized_operations=True, request_timeout=PATIENCE_S
    )
    try:
        described = futures[full].result()
    except KafkaException as error:
        if "AUTHORIZATION" not in error.args[0].name():
            return None  # it is missing, which is said elsewhere
        return of_rights(full, set(), needs, f"the user of {role}")
    has = {_camel(operation.name) for operation in described.authorized_operations or ()}
    # A broker without ACLs tells of every right, or of none at all.
    return of_rights(full, has, needs, f"the user of {role}") if has else None


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _lags(settings: KafkaSettings, role: Role) -> Iterator[Finding]:
    """Tell the lag of those services whose lag this role may see."""
    lags = new_lags(settings)
    groups = {acl.name for acl in acls(role) if acl.kind is Kind.GROUP}
    for other, topics in _READS.items():
        if f"opstrail.{other}" not in groups:
            continue
        try:
            yield of_lag(other, lags.lag(group_id(settings, other), topics))
        except (Unavailable, Refused) as error:
            yield warning("lag", f"{other}: {error}", "see what is said of topics and acls")


def registry(settings: RegistrySettings) -> Iterator[Finding]:
    """Look at the registry: reached, schemas registered, kept compatible."""
    found = new_registry(settings)
    try:
        ids = asked(found.ids)
        levels = asked(found.compatibility)
    except (Unavailable, HTTPError) as error:
        yield bad("registry", str(error), "check OPSTRAIL_REGISTRY__URL (with its path) and login")
        return
    yield good("registry", f"answers at {settings.url}")
    for subject in sorted(name for name, number in ids.items() if number is None):
        yield bad("schemas", f"{subject} is not registered", "opstrail schemas register")
    for subject, level in levels.items():
        if ids[subject] is not None and level != COMPATIBILITY:
            yield bad(
                "schemas",
                f"{subject} is kept {level or 'by a default'}, not {COMPATIBILITY}",
                "opstrail schemas register",
            )
    if None not in ids.values() and set(levels.values()) == {COMPATIBILITY}:
        yield good("schemas", f"all {len(ids)} are registered, {COMPATIBILITY}")


def opensearch(settings: SetupSettings) -> Iterator[Finding]:
    """Look at OpenSearch: reached, version, templates, disks, blocks, clock."""
    client = new_client(settings.opensearch)
    try:
        with translated():
            version = client.info()["version"]["number"]
    except (Unavailable, Refused) as error:
        yield bad("opensearch", str(error), "check OPSTRAIL_OPENSEARCH__URL, __CA_FILE and login")
        return
    yield of_opensearch_version(str(version))
    for what, look in (("disks", _disks), ("blocks", _blocks), ("clocks", _clocks)):
        try:
            with translated():
                yield from look(client)
        except Refused as error:
            # Services do not need it.
            yield warning(
                "opensearch", f"{what} may not be seen: {error}", "docs/security.md: doctor"
            )
    yield from _templates(settings, client)


def _disks(client: Any) -> list[Finding]:
    found = client.cat.allocation(params={"format": "json"})
    return [
        of_disk(each["node"], int(each["disk.percent"]))
        for each in found
        if each.get("disk.percent") is not None
    ]


def _blocks(client: Any) -> list[Finding]:
    state = client.cluster.get_settings(params={"flat_settings": "true"})
    return [
        bad("opensearch", f"{name} is set", f"PUT _cluster/settings: {name} = null")
        for scope in ("persistent", "transient")
        for name in ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")
        if str(state[scope].get(name)).lower() == "true"
    ]


def _clocks(client: Any) -> list[Finding]:
    before = time.time()
    nodes = client.nodes.stats(metric="os")["nodes"].values()
    after = time.time()
    found = []
    for node in nodes:
        theirs = node["timestamp"] / 1000
        inside = before <= theirs <= after
        off = 0.0 if inside else min(abs(theirs - before), abs(theirs - after))
        found.append(of_clock(off, f"OpenSearch's node {node['name']}"))
    return found


def _templates(settings: SetupSettings, client: Any) -> Iterator[Finding]:
    store = settings.store
    try:
        wanted = Layout(store.period, store.shards)
        steps = plan(client, store.index_prefix, wanted, replicas=store.replicas)
    except (SetupRefused, Unavailable, Refused) as error:
        yield bad("templates", str(error), "set OPSTRAIL_STORE__PERIOD and __SHARDS as they were")
        return
    drift = [step for step in steps if step.action != "same"]
    for step in drift:
        yield bad("templates", f"{step.what}: {step.action}", "opstrail store setup --execute")
    if not drift:
        yield good("templates", "as this version wants them")


def aws(settings: IngestSettings) -> Iterator[Finding]:
    """Look at the queue and the buckets; name the IAM statement that is missing."""
    how = settings.discover
    if how.queue_url:
        yield from _queue(settings, how.queue_url)
    s3 = new_s3(settings.s3)
    for bucket in how.allowed_buckets:
        if bucket == "*":
            yield good("s3", "every bucket is allowed: none is looked at")
            continue
        yield from _bucket(s3, bucket)


def _queue(settings: IngestSettings, url: str) -> Iterator[Finding]:
    sqs = new_sqs(settings, Queue(url))
    arn = _queue_arn(url)

    def attributes() -> str:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        waiting = found.get("ApproximateNumberOfMessages", "?")
        return f"{waiting} message(s) wait; visible again after {found['VisibilityTimeout']} s"

    def receive() -> str:
        # Given back at once.
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=0)
        return "messages can be received"

    yield _tried("sqs", attributes, ["sqs:GetQueueAttributes"], arn)
    needed = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    yield _tried("sqs", receive, needed, arn)


def _queue_arn(url: str) -> str:
    parts = urlsplit(url)
    host, (*_, account, name) = parts.hostname or "", ["", *parts.path.split("/")]
    region = host.split(".")[1] if host.startswith("sqs.") else "*"
    return f"arn:aws:sqs:{region}:{account}:{name}"


def _bucket(s3: Any, bucket: str) -> Iterator[Finding]:
    keys: list[str] = []

    def listed() -> str:
        found = s3.list_objects_v2(Bucket=bucket, MaxKeys=50, Prefix="")
        keys.extend(each["Key"] for each in found.get("Contents", ()) if each["Size"])
        return f"{bucket} can be listed"

    def read() -> str:
        s3.get_object(Bucket=bucket, Key=keys[0], Range="bytes=0-0")["Body"].read()
        return f"objects of {bucket} can be read"

    yield _tried("s3", listed, ["s3:ListBucket"], f"arn:aws:s3:::{bucket}")
    if keys:
        yield _tried("s3", read, ["s3:GetObject"], f"arn:aws:s3:::{bucket}/*")


def _tried(area: str, act: Callable[[], str], actions: list[str], resource: str) -> Finding:
    try:
        return good(area, act())
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = str(error.response.get("Error", {}).get("Message", ""))
        what = f"{resource}: {code} {message}".strip()
        if "kms" in message.lower():
            return bad(area, what, statement(["kms:Decrypt"], "ARN OF THE KEY"))
        if code in _DENIED:
            return bad(area, what, statement(actions, resource))
        return bad(area, what, "does it exist, in this account and Region?")
    except BotoCoreError as error:
        return bad(area, f"{resource}: {error}", "give credentials and AWS_REGION")
