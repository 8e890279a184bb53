"""What a message in the queue says: files, nothing of interest, or not a notification (PURE).

Told apart by content, never by a setting:

| body | what follows |
|---|---|
| S3 event, as it is or wrapped by SNS | its objects; keys are form-encoded, decoded exactly once |
| CloudTrail's own SNS message, wrapped or delivered raw | its keys, one or many, as they are |
| EventBridge `Object Created`, as it is or wrapped by SNS | its object; the key as it is |
| test, validation and subscription messages, other events of S3 | ignored, and counted |
| anything else | InvalidRecord: a dead letter |
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote_plus

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from opstrail_runtime.errors import InvalidRecord

Channel = Literal["s3", "sns", "cloudTrail", "eventBridge"]
Uninteresting = Literal["test", "validation", "subscription", "otherEvent"]
LOCAL_BUCKET = "local"  # what files in a folder have as bucket: no notification may name it
LONGEST_KEY_BYTES = 1024  # S3's own limit
EVENT_MAJOR_VERSION = "2"
_VALIDATION = "CloudTrail validation message."


@dataclass(frozen=True, slots=True)
class SeenObject:
    """An object that a notification names, with what it says about it."""

    bucket: str
    key: str
    source: Channel
    version_id: str | None = None
    e_tag: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The message names objects. `refused` are its records that cannot be read, if any."""

    objects: tuple[SeenObject, ...]
    refused: tuple[InvalidRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message is known and names no new file."""

    kind: Uninteresting


def read_notification(body: str) -> Found | Ignored:
    """Return what a message says. Raises InvalidRecord for what is not a notification of a file."""
    return _read(body, wrapped=False)


# ---------------------------------------------------------------- what others write, field by field


def _bucket(name: str) -> str:
    if name == LOCAL_BUCKET:
        raise ValueError(f"the name {LOCAL_BUCKET!r} is kept for files in a folder")
    return name


def _key(key: str) -> str:
    if len(key.encode()) > LONGEST_KEY_BYTES:
        raise ValueError(f"over {LONGEST_KEY_BYTES} bytes")
    return key


def _form_decoded(key: object) -> object:
    # `+` is a space and `%2B` a plus: a second decoding would change keys that hold a `%`.
    return unquote_plus(key, errors="strict") if isinstance(key, str) else key


def _without_quotes(e_tag: object) -> object:
    return (e_tag.strip('"') or None) if isinstance(e_tag, str) else e_tag


def _or_none(text: object) -> object:
    return text or None


def _encodable(text: str | None) -> str | None:
    (text or "").encode()  # a lone surrogate is a ValueError
    return text


_Bucket = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$"), AfterValidator(_bucket)
]
_Key = Annotated[str, Field(min_length=1), AfterValidator(_key)]
_ETag = Annotated[str | None, BeforeValidator(_without_quotes), AfterValidator(_encodable)]
_Version = Annotated[str | None, BeforeValidator(_or_none), AfterValidator(_encodable)]
_Size = Annotated[int | None, Field(ge=0, lt=2**63)]  # a long of Avro


class _Foreign(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


M = TypeVar("M", bound=_Foreign)


class _Bucketed(_Foreign):
    name: _Bucket


class _S3Object(_Foreign):
    key: Annotated[_Key, BeforeValidator(_form_decoded)]
    version_id: _Version = Field(None, alias="versionId")
    e_tag: _ETag = Field(None, alias="eTag")
    size: _Size = None


class _S3(_Foreign):
    bucket: _Bucketed
    object: _S3Object


class _S3Record(_Foreign):
    s3: _S3


class _CloudTrailFile(_Foreign):
    bucket: _Bucket = Field(alias="s3Bucket")
    key: _Key = Field(alias="s3ObjectKey")


class _EventBridgeObject(_Foreign):
    key: _Key
    version_id: _Version = Field(None, alias="version-id")
    e_tag: _ETag = Field(None, alias="etag")
    size: _Size = None


class _EventBridgeDetail(_Foreign):
    bucket: _Bucketed
    object: _EventBridgeObject


class _EventBridge(_Foreign):
    detail: _EventBridgeDetail


# ------------------------------------------------------------------------------- telling them apart


def _read(text: str, *, wrapped: bool) -> Found | Ignored:
    if text.strip() == _VALIDATION:
        return Ignored("validation")
    body = _parsed(text)
    match body:
        case {"Type": "SubscriptionConfirmation" | "UnsubscribeConfirmation"}:
            return Ignored("subscription")
        case {"Type": "Notification", "Message": str() as message} if not wrapped:
            return _read(message, wrapped=True)
        case {"Event": "s3:TestEvent"}:
            return Ignored("test")
        case {"s3Bucket": _, "s3ObjectKey": _}:
            return _of_cloudtrail(body)
        case {"source": "aws.s3", "detail-type": str() as kind, "detail": dict()}:
            return _of_eventbridge(body, kind)
        case {"Records": [_, *_] as records}:
            return _of_s3(records, "sns" if wrapped else "s3")
        case _:
            raise _not_a_notification(f"an object with {_names(body)}")


def _parsed(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_a_notification("not JSON") from error
    if not isinstance(body, dict):
        raise _not_a_notification(f"JSON, but a {type(body).__name__}")
    return body


def _of_s3(records: list[Any], channel: Channel) -> Found | Ignored:
    objects: list[SeenObject] = []
    refused: list[InvalidRecord] = []
    for record in records:
        try:
            objects += _of_s3_record(record, channel)
        except InvalidRecord as error:
            refused.append(error)
    if not objects and not refused:
        return Ignored("otherEvent")
    return _found(objects, refused)


def _of_s3_record(record: Any, channel: Channel) -> Iterator[SeenObject]:
    match record:
        # MinIO says `minio:s3` and `s3:ObjectCreated:Put`. A record of a trail file, which also
        # lies in `Records`, says `s3.amazonaws.com`.
        case {"eventSource": str() as source, "eventName": str() as name} if source.endswith(":s3"):
            created = name.removeprefix("s3:").startswith("ObjectCreated:")
        case _:
            raise _not_a_notification("an entry of `Records` that is no event of S3")
    version = str(record.get("eventVersion", EVENT_MAJOR_VERSION))
    if version.partition(".")[0] != EVENT_MAJOR_VERSION:
        raise _not_a_notification(f"an S3 event of version {version[:20]!r}; known is 2.x")
    if created:
        s3 = _checked(_S3Record, record).s3
        yield SeenObject(
            s3.bucket.name, s3.object.key, channel, s3.object.version_id, s3.object.e_tag,
            s3.object.size,
        )  # fmt: skip


def _of_cloudtrail(body: dict[str, Any]) -> Found:
    keys = body["s3ObjectKey"]
    objects: list[SeenObject] = []
    refused: list[InvalidRecord] = []
    for key in keys if isinstance(keys, list) else [keys]:
        try:
            file = _checked(_CloudTrailFile, {"s3Bucket": body["s3Bucket"], "s3ObjectKey": key})
        except InvalidRecord as error:
            refused.append(error)
        else:
            objects.append(SeenObject(file.bucket, file.key, "cloudTrail"))
    if not objects and not refused:
        raise InvalidRecord("a message of CloudTrail without keys", reason="bad-notification")
    return _found(objects, refused)


def _of_eventbridge(body: dict[str, Any], kind: str) -> Found | Ignored:
    if kind == "Object Created":
        detail = _checked(_EventBridge, body).detail
        seen = SeenObject(
            detail.bucket.name, detail.object.key, "eventBridge", detail.object.version_id,
            detail.object.e_tag, detail.object.size,
        )  # fmt: skip
        return Found((seen,))
    if kind.startswith("Object "):  # Deleted, Restore Completed, Tags Added ...
        return Ignored("otherEvent")
    raise _not_a_notification(f"an event of S3 on EventBridge, but {kind[:60]!r}")


def _found(objects: list[SeenObject], refused: list[InvalidRecord]) -> Found:
    if not objects:
        raise refused[0]
    return Found(tuple(objects), tuple(refused))


def _checked(model: type[M], body: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRecord(
            f"a notification whose {field} is wrong: {first['msg']}",
            reason="bad-notification",
            field=field,
        ) from error


def _not_a_notification(what: str) -> InvalidRecord:
    return InvalidRecord(
        f"not a notification of a file: {what}. Send the queue only events of the trail's bucket",
        reason="not-a-notification",
    )


def _names(body: dict[str, Any]) -> str:
    return ascii([name[:30] for name in list(body)[:8]])
