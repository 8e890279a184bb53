"""The messages on opstrail's topics as frozen types (PURE).

One type a schema in `avro/`; a contract test compares names, order and optionality. Python names
are snake_case; on the wire they are CloudTrail's, or lowerCamelCase where CloudTrail has none.
Times are milliseconds since the epoch, UTC.
"""

from typing import Literal

import msgspec

CallerKind = Literal[
    "root", "iamUser", "assumedRole", "role", "federatedUser", "samlUser", "webIdentityUser",
    "identityCenterUser", "awsAccount", "awsService", "directory", "unknown",
]  # fmt: skip
CredentialKind = Literal[
    "longTerm", "session", "temporary", "password", "bearerToken", "servicePrincipal",
    "externalAssertion", "foreignAccount", "unknown",
]  # fmt: skip
Answer = Literal["yes", "no", "unknown"]
FileState = Literal[
    "splitting", "done", "partial", "empty", "deferred", "waiting", "quarantined", "unknown"
]

# CloudTrail's own spellings that plain camel case would miss.
_CLOUDTRAIL_NAMES = {
    "event_id": "eventID",
    "shared_event_id": "sharedEventID",
    "source_ip_address": "sourceIPAddress",
}


def wire_name(name: str) -> str:
    """Return the name on the wire of a Python field name."""
    first, *rest = name.split("_")
    return _CLOUDTRAIL_NAMES.get(name) or first + "".join(part.capitalize() for part in rest)


class Message(msgspec.Struct, frozen=True, rename=wire_name, gc=False):
    """What all message types share: frozen, named fields, CloudTrail's names on the wire."""


class Origin(Message, frozen=True, kw_only=True):
    """Where a record was read."""

    bucket: str
    key: str
    version_id: str | None = None
    e_tag: str | None = None
    sha256: str
    record_index: int
    delivered_at: int | None = None


class RawEvent(Message, frozen=True, kw_only=True):
    """One CloudTrail record: promoted fields and its own JSON text in `raw`."""

    account_id: str
    event_id: str
    event_time: int | None = None
    event_source: str
    event_name: str
    aws_region: str | None = None
    event_category: str | None = None
    event_type: str | None = None
    read_only: bool | None = None
    error_code: str | None = None
    source_ip_address: str | None = None
    user_identity_type: str | None = None
    user_identity_arn: str | None = None
    access_key_id: str | None = None
    shared_event_id: str | None = None
    origin: Origin
    flags: list[str] = []
    masked_paths: list[str] = []
    raw: bytes


class Caller(Message, frozen=True, kw_only=True):
    """Who made the call: AWS's three questions answered separately, and the names behind them."""

    kind: CallerKind = "unknown"
    credential_kind: CredentialKind = "unknown"
    root_or_iam_user: Answer = "unknown"
    temporary_credentials: Answer = "unknown"
    aws_service: Answer = "unknown"
    name: str | None = None
    account_id: str | None = None
    principal_id: str | None = None
    arn: str | None = None
    user_name: str | None = None
    role_name: str | None = None
    session_name: str | None = None
    issuer_type: str | None = None
    issuer_arn: str | None = None
    invoked_by: str | None = None
    identity_provider: str | None = None
    source_identity: str | None = None
    mfa_authenticated: bool | None = None
    console: bool = False
    cross_account: bool | None = None
    assumed_root: bool = False
    issuer_name: str | None = None
    issuer_principal_id: str | None = None
    issuer_account_id: str | None = None
    session_created_at: int | None = None
    sign_in_session_arn: str | None = None
    ec2_role_delivery: str | None = None
    credential_id: str | None = None
    on_behalf_of_user_id: str | None = None
    on_behalf_of_identity_store_arn: str | None = None
    in_scope_of_source_arn: str | None = None
    in_scope_of_source_account: str | None = None
    in_scope_of_issuer_type: str | None = None
    in_scope_of_credentials_issued_to: str | None = None
    invoked_by_delegate_account_id: str | None = None


class AccountInfo(Message, frozen=True, kw_only=True):
    """The event's account, as of the event's time."""

    name: str | None = None
    ou_path: str | None = None
    state: str | None = None
    tags: dict[str, str] = {}


class StackInfo(Message, frozen=True, kw_only=True):
    """The OpsWorks stack that the call was about, as of the event's time."""

    id: str | None = None
    name: str | None = None
    region: str | None = None
    status: str | None = None
    service_role_arn: str | None = None
    vpc_id: str | None = None
    layer_ids: list[str] = []
    layer_names: list[str] = []
    instance_ids: list[str] = []
    instance_names: list[str] = []
    app_ids: list[str] = []
    app_names: list[str] = []
    deployment_id: str | None = None
    resource_kind: str | None = None
    access: str | None = None
    resolution: str
    candidates: list[str] = []
    conflict: bool = False


class Enrichment(Message, frozen=True, kw_only=True):
    """What opstrail adds to an event."""

    rules_version: int
    version: int
    stack_facts_offset: int = 0
    accounts_offset: int = 0
    caller: Caller
    account: AccountInfo | None = None
    stack: StackInfo | None = None
    stack_keys: list[str] = []
    issued_access_key_id: str | None = None
    corrects: str | None = None


class EnrichedEvent(Message, frozen=True, kw_only=True):
    """An event and what opstrail knows about it."""

    event: RawEvent
    enrichment: Enrichment


class FileNotice(Message, frozen=True, kw_only=True):
    """A file that may hold records was seen."""

    bucket: str
    key: str
    version_id: str | None = None
    e_tag: str | None = None
    size: int | None = None
    last_modified: int | None = None
    local_path: str | None = None
    source: str
    noticed_at: int
    forced: bool = False
    retry_of: str | None = None
    retry_of_also: list[str] = []


class TrailFile(Message, frozen=True, kw_only=True):
    """What became of one file: a row of the ledger."""

    bucket: str
    key: str
    version_id: str | None = None
    e_tag: str | None = None
    last_modified: int | None = None
    state: FileState
    records: int = 0
    category: str | None = None
    reason: str | None = None
    account_id: str | None = None
    aws_region: str | None = None
    organization_id: str | None = None
    size: int | None = None
    unpacked_size: int | None = None
    sha256: str | None = None
    dead_letters: int = 0
    deferred_records: int = 0
    next_byte: int = 0
    next_record: int = 0
    oldest_event_time: int | None = None
    newest_event_time: int | None = None
    delivered_at: int | None = None
    noticed_at: int
    updated_at: int
    tries: int = 0
    first_failed_at: int | None = None
    fragments: list[int] = []


class StackFact(Message, frozen=True, kw_only=True):
    """One immutable fact about OpsWorks stacks."""

    kind: str
    fact_version: int = 1
    account_id: str
    aws_region: str | None = None
    stack_id: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    attributes: dict[str, str] = {}
    valid_from: int | None = None
    concerns: list[str] = []
    leads_to: list[str] = []
    source: str
    event_id: str | None = None


class Account(Message, frozen=True, kw_only=True):
    """One immutable fact about an AWS account."""

    account_id: str
    name: str | None = None
    arn: str | None = None
    email: str | None = None
    ou_path: str | None = None
    state: str | None = None
    tags: dict[str, str] = {}
    valid_from: int | None = None
    fact_version: int = 1
    source: str
    event_id: str | None = None
    hidden: list[str] = []
    removed_tags: list[str] = []
    seen_at: int | None = None


class DeadLetter(Message, frozen=True, kw_only=True):
    """One input that did not get through: where it is, why, and its masked text."""

    stage: str
    reason: str
    message: str
    field: str | None = None
    bucket: str | None = None
    key: str | None = None
    version_id: str | None = None
    e_tag: str | None = None
    local_path: str | None = None
    start_byte: int | None = None
    end_byte: int | None = None
    record_index: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    account_id: str | None = None
    event_id: str | None = None
    sha256: str | None = None
    text: str | None = None
    text_truncated: bool = False
    tries: int = 1
    retry_at: int | None = None
    first_failed_at: int
    failed_at: int


def as_record(message: Message) -> dict[str, object]:
    """Return the message as plain dicts and lists with its names on the wire."""
    record: dict[str, object] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return record
