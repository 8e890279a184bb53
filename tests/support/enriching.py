"""Builders for what enrich reads: raw events, identities, facts, and a broker with our topics."""

import json
from dataclasses import dataclass, field
from typing import Any

from opstrail_enrich.enrich_stage import EnrichStage, EventCodecs
from opstrail_enrich.fact_log import FactLog
from opstrail_enrich.window import Window
from opstrail_runtime.dead_letters import DeadLetters
from opstrail_runtime.stage import Commit
from opstrail_schemas.codec import Codec, UnknownSchema
from opstrail_schemas.facts import digest_of, key_of
from opstrail_schemas.identity import event_key
from opstrail_schemas.messages import (
    Account,
    DeadLetter,
    EnrichedEvent,
    Message,
    Origin,
    RawEvent,
    StackFact,
)
from opstrail_schemas.topics import TopicName
from tests.support.memory_kafka import MemoryKafka, MemoryLog

ACCOUNT = "111122223333"
STACK = "0b1c2d3e-4f50-4617-8a9b-0c1d2e3f4a5b"
OTHER_STACK = "9b1c2d3e-4f50-4617-8a9b-0c1d2e3f4a5b"
INSTANCE = "218289c4-0492-473d-a990-3fbe1efa25f6"
LAYER = "318289c4-0492-473d-a990-3fbe1efa25f6"
T0 = 1_614_852_000_000  # 2021-03-04T10:00:00Z
PARTITIONS = 2


def a_record(**members: Any) -> dict[str, Any]:
    """Return a record; members given as None stay, as null."""
    return {
        "eventVersion": "1.08",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli/2.1",
        "userIdentity": {"type": "IAMUser", "userName": "alice"},
    } | members


def raw_event(
    *, account_id: str = ACCOUNT, event_time: int | None = T0, event_id: str = "e-1", **members: Any
) -> RawEvent:
    """Return the event that split would make of a record."""
    record = a_record(**members)
    return RawEvent(
        account_id=account_id,
        event_id=event_id,
        event_time=event_time,
        event_source=record["eventSource"],
        event_name=record["eventName"],
        aws_region=record["awsRegion"],
        event_type=record.get("eventType"),
        source_ip_address=record["sourceIPAddress"],
        origin=Origin(bucket="b", key="k.json.gz", sha256="0" * 64, record_index=3),
        raw=json.dumps(record).encode(),
    )


def opsworks_event(
    name: str, request: Any = None, response: Any = None, **members: Any
) -> RawEvent:
    """Return a call of OpsWorks Stacks."""
    call = {
        "eventSource": "opsworks.amazonaws.com",
        "eventName": name,
        "requestParameters": request,
        "responseElements": response,
    }
    return raw_event(**(call | members))


def stack_defined(
    stack_id: str = STACK, *, since: int | None = None, **attributes: str
) -> StackFact:
    """Return the fact that a stack exists, with what is known of it."""
    return StackFact(
        kind="stackDefined",
        account_id=ACCOUNT,
        stack_id=stack_id,
        attributes=attributes,
        valid_from=since,
        concerns=[key_of(ACCOUNT, None, "stack", stack_id)],
        leads_to=[key_of(ACCOUNT, None, "stack", stack_id)],
        source="import",
    )


def child_belongs(
    kind: str,
    child_id: str,
    stack_id: str | None = STACK,
    *,
    fact: str = "childBelongs",
    since: int | None = None,
    region: str | None = "us-east-1",
    **attributes: str,
) -> StackFact:
    """Return the fact that something is in a stack."""
    return StackFact(
        kind=fact,
        account_id=ACCOUNT,
        aws_region=region,
        stack_id=stack_id,
        subject_kind=kind,
        subject_id=child_id,
        attributes=attributes,
        valid_from=since,
        concerns=[key_of(ACCOUNT, region, kind, child_id)],
        leads_to=[] if stack_id is None else [key_of(ACCOUNT, None, "stack", stack_id)],
        source="trail",
    )


def a_codec(message_type: type, schema_id: int) -> Codec[Any]:
    """Return a codec of a registry that knows only the packaged schemas."""

    def unknown(wanted: int) -> str:
        raise UnknownSchema(f"the registry knows no schema {wanted}")

    return Codec(message_type, schema_id, unknown)


RAW = a_codec(RawEvent, 1)
ENRICHED = a_codec(EnrichedEvent, 2)
STACK_FACT = a_codec(StackFact, 3)
AN_ACCOUNT = a_codec(Account, 4)
DEAD_LETTER = a_codec(DeadLetter, 5)


@dataclass(slots=True)
class Bench:
    """A stage on a broker in memory, with a clock that stands."""

    kafka: MemoryKafka = field(
        default_factory=lambda: MemoryKafka(
            {
                name: 1 if name in (TopicName.STACK_FACTS, TopicName.ACCOUNTS) else PARTITIONS
                for name in TopicName
            }
        )
    )
    most_identities: int = 1_000
    transaction_bytes: int = 1_000_000

    def stage(self) -> EnrichStage:
        """Return a stage as a new process would have it."""
        log = MemoryLog(self.kafka)
        return EnrichStage(
            log=log,
            facts=FactLog(log, STACK_FACT, AN_ACCOUNT),
            window=Window(most_identities=self.most_identities),
            codecs=EventCodecs(RAW, RAW, ENRICHED, ENRICHED),
            dead_letters=DeadLetters("enrich", DEAD_LETTER),
            restored_bytes=1_000_000,
            transaction_bytes=self.transaction_bytes,
            now_ms=lambda: T0,
            monotonic=lambda: 0.0,
        )

    def put(self, event: RawEvent, topic: TopicName = TopicName.EVENTS_RAW) -> None:
        """Write an event as split or store would."""
        self.kafka.append(topic, event_key(event.account_id, event.event_id), RAW.encode(event))

    def know(self, fact: StackFact | Account) -> None:
        """Write a fact."""
        topic, codec = (
            (TopicName.STACK_FACTS, STACK_FACT)
            if isinstance(fact, StackFact)
            else (TopicName.ACCOUNTS, AN_ACCOUNT)
        )
        self.kafka.append(topic, digest_of(fact), codec.encode(fact))

    def apply(self, commit: Commit) -> None:
        """Do what a transaction does."""
        for output in commit.outputs:
            self.kafka.append(output.topic, output.key, output.value)
        commit.after()

    def values(self, topic: TopicName, codec: Codec[Any]) -> list[Message]:
        """Return all messages of a topic."""
        return [codec.decode(record.value or b"") for record in self.kafka.messages(topic)]
