"""What OpenSearch is told about our documents: one line a field (PURE).

The documentation page of the fields is made from these lines. The number of mapped fields is
constant: `dynamic: false` everywhere, and what services define freely is one `flat_object` each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# Raised with every change of a field; `store setup` brings it to the templates and open indices.
MAPPING_VERSION = 2

# Lucene refuses terms over 32,766 bytes. 8,191 characters of four bytes stay below; a longer value
# is still in the document, it only cannot be searched by.
_LONGEST_KEYWORD = 8_191

_PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "keyword": {"type": "keyword", "ignore_above": _LONGEST_KEYWORD},
    "text": {"type": "match_only_text"},
    "iso_date": {"type": "date", "format": "strict_date_optional_time"},
    "epoch_date": {"type": "date", "format": "epoch_millis"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "long": {"type": "long"},
    "ip": {"type": "ip"},
    "flat_object": {"type": "flat_object"},
    "kept": {"type": "keyword", "index": False, "doc_values": False},
}
Kind = Literal[
    "keyword", "text", "iso_date", "epoch_date", "boolean", "integer", "long", "ip", "flat_object",
    "kept",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a document: its path, how it is indexed, and what it says."""

    path: str
    kind: Kind
    why: str


FLAT_OBJECTS = (
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "serviceEventDetails",
)

CLOUDTRAIL_FIELDS = (
    Field("eventVersion", "keyword", "Version of the record format."),
    Field("eventTime", "iso_date", "When the call completed."),
    Field("eventSource", "keyword", "Host name of the service that was called."),
    Field("eventName", "keyword", "The action that was asked for."),
    Field("awsRegion", "keyword", "Region that the request was made to."),
    Field("sourceIPAddress", "keyword", "An address, a service's host name or `AWS Internal`."),
    Field("userAgent", "keyword", "What the caller's software called itself."),
    Field("errorCode", "keyword", "Set when the call failed."),
    Field("errorMessage", "text", "Words about the failure."),
    Field("requestParameters", "flat_object", "What was asked; any path below can be searched."),
    Field("responseElements", "flat_object", "What was answered; null for calls that only read."),
    Field("additionalEventData", "flat_object", "More, such as sign-in data."),
    Field("serviceEventDetails", "flat_object", "What a service event was about."),
    Field("requestID", "keyword", "The request; several events may share it."),
    Field("eventID", "keyword", "CloudTrail's id; absent in eventVersion 1.0."),
    Field("eventType", "keyword", "AwsApiCall, AwsServiceEvent, AwsConsoleSignIn ..."),
    Field("eventCategory", "keyword", "Management, Data or NetworkActivity."),
    Field("apiVersion", "keyword", "Version of the API that was called."),
    Field("managementEvent", "boolean", "Whether it is a management event."),
    Field("readOnly", "boolean", "Whether the call only read; absent in many old records."),
    Field("resources.ARN", "keyword", "Resources that the call was about."),
    Field("resources.ARNPrefix", "keyword", "Prefix of resources that the call was about."),
    Field("resources.accountId", "keyword", "Their account."),
    Field("resources.type", "keyword", "Their type, such as `AWS::S3::Object`."),
    Field("recipientAccountId", "keyword", "Account that received the event."),
    Field("sharedEventID", "keyword", "Joins the records of one call in several accounts."),
    Field("vpcEndpointId", "keyword", "VPC endpoint that the call came through."),
    Field("vpcEndpointAccountId", "keyword", "Its owner."),
    Field("sessionCredentialFromConsole", "keyword", "`true` for a session of the console."),
    Field("addendum.reason", "keyword", "Why the event came late or again."),
    Field("addendum.updatedFields", "keyword", "What an updated event changed."),
    Field("addendum.originalRequestID", "keyword", "Request of the event that it corrects."),
    Field("addendum.originalEventID", "keyword", "The event that it corrects."),
    Field("tlsDetails.tlsVersion", "keyword", "TLS version of the call."),
    Field("tlsDetails.cipherSuite", "keyword", "Its cipher suite."),
    Field("tlsDetails.clientProvidedHostHeader", "keyword", "Host name that the client used."),
    Field("tlsDetails.keyExchange", "keyword", "Its key exchange."),
    Field("userIdentity.type", "keyword", "Kind of identity as CloudTrail says it."),
    Field("userIdentity.principalId", "keyword", "Unique id of the identity."),
    Field("userIdentity.arn", "keyword", "ARN of the identity."),
    Field("userIdentity.accountId", "keyword", "Account of the identity."),
    Field("userIdentity.accessKeyId", "keyword", "Key that signed the request."),
    Field("userIdentity.userName", "keyword", "Name of the identity."),
    Field("userIdentity.invokedBy", "keyword", "Service that made the call for it."),
    Field("userIdentity.identityProvider", "keyword", "Provider of a federated identity."),
    Field("userIdentity.credentialId", "keyword", "Bearer token."),
    Field("userIdentity.onBehalfOf.userId", "keyword", "Identity Center user."),
    Field("userIdentity.onBehalfOf.identityStoreArn", "keyword", "Its identity store."),
    Field("userIdentity.inScopeOf.sourceArn", "keyword", "What the credentials were issued for."),
    Field("userIdentity.inScopeOf.sourceAccount", "keyword", "Its account."),
    Field("userIdentity.inScopeOf.issuerType", "keyword", "What kind of thing it is."),
    Field("userIdentity.inScopeOf.credentialsIssuedTo", "keyword", "Who got the credentials."),
    Field("userIdentity.invokedByDelegate.accountId", "keyword", "Product provider's account."),
    Field("userIdentity.sessionContext.sessionIssuer.type", "keyword", "Issuer of the session."),
    Field("userIdentity.sessionContext.sessionIssuer.userName", "keyword", "Role or user name."),
    Field("userIdentity.sessionContext.sessionIssuer.principalId", "keyword", "Its unique id."),
    Field("userIdentity.sessionContext.sessionIssuer.arn", "keyword", "Its ARN."),
    Field("userIdentity.sessionContext.sessionIssuer.accountId", "keyword", "Its account."),
    # a keyword: CloudTrail writes it in two formats
    Field("userIdentity.sessionContext.attributes.creationDate", "keyword", "Session's begin."),
    Field("userIdentity.sessionContext.attributes.mfaAuthenticated", "keyword", "`true`, `false`."),
    Field(
        "userIdentity.sessionContext.webIdFederationData.federatedProvider",
        "keyword",
        "Web identity provider.",
    ),
    Field("userIdentity.sessionContext.sourceIdentity", "keyword", "STS source identity."),
    Field("userIdentity.sessionContext.ec2RoleDelivery", "keyword", "`1.0` or `2.0`: IMDS."),
    Field("userIdentity.sessionContext.assumedRoot", "keyword", "`true`: from AssumeRoot."),
    Field("userIdentity.sessionContext.signInSessionArn", "keyword", "Sign-in session."),
)

_CALLER_FIELDS = (
    Field("kind", "keyword", "Caller kind."),
    Field("credentialKind", "keyword", "Kind of credentials."),
    Field("rootOrIamUser", "keyword", "With root or IAM user credentials? yes, no, unknown."),
    Field("temporaryCredentials", "keyword", "Of a role or federated user? yes, no, unknown."),
    Field("awsService", "keyword", "By another AWS service? yes, no, unknown."),
    Field("name", "keyword", "What to call the caller in a list."),
    Field("accountId", "keyword", "The caller's account."),
    Field("principalId", "keyword", "The caller's unique id."),
    Field("arn", "keyword", "The caller's ARN."),
    Field("userName", "keyword", "User name."),
    Field("roleName", "keyword", "Role name."),
    Field("sessionName", "keyword", "Session name."),
    Field("issuerType", "keyword", "Kind of the session's issuer."),
    Field("issuerArn", "keyword", "ARN of the session's issuer."),
    Field("invokedBy", "keyword", "Service that made the call."),
    Field("identityProvider", "keyword", "Provider of a federated identity."),
    Field("sourceIdentity", "keyword", "STS source identity."),
    Field("mfaAuthenticated", "boolean", "Whether with a second factor."),
    Field("console", "boolean", "Whether from the console."),
    Field("crossAccount", "boolean", "Whether caller and event have different accounts."),
    Field("assumedRoot", "boolean", "Whether from STS AssumeRoot."),
    Field("issuerName", "keyword", "Role or user that the session is of."),
    Field("issuerPrincipalId", "keyword", "Its unique id."),
    Field("issuerAccountId", "keyword", "Its account."),
    Field("sessionCreatedAt", "epoch_date", "When the session began."),
    Field("signInSessionArn", "keyword", "Sign-in that the session comes from."),
    Field("ec2RoleDelivery", "keyword", "`1.0` or `2.0`: IMDS of the instance."),
    Field("credentialId", "keyword", "Bearer token."),
    Field("onBehalfOfUserId", "keyword", "Identity Center user."),
    Field("onBehalfOfIdentityStoreArn", "keyword", "Its identity store."),
    Field("inScopeOfSourceArn", "keyword", "What the credentials were issued for."),
    Field("inScopeOfSourceAccount", "keyword", "Its account."),
    Field("inScopeOfIssuerType", "keyword", "What kind of thing it is."),
    Field("inScopeOfCredentialsIssuedTo", "keyword", "Who got the credentials."),
    Field("invokedByDelegateAccountId", "keyword", "Product provider's account."),
)
_ACCOUNT_FIELDS = (
    Field("name", "keyword", "Name of the event's account as of its time."),
    Field("ouPath", "keyword", "Its organizational unit."),
    Field("state", "keyword", "Its state."),
    Field("tags", "keyword", "Its tags, each as `key=value`."),
)
_STACK_FIELDS = (
    Field("id", "keyword", "OpsWorks stack."),
    Field("name", "keyword", "Its name as of the event's time."),
    Field("region", "keyword", "Its Region, which may not be the endpoint's."),
    Field("status", "keyword", "Its status."),
    Field("serviceRoleArn", "keyword", "Its service role."),
    Field("vpcId", "keyword", "Its VPC."),
    Field("layerIds", "keyword", "Layers that the call was about."),
    Field("layerNames", "keyword", "Their names."),
    Field("instanceIds", "keyword", "Instances that the call was about."),
    Field("instanceNames", "keyword", "Their names."),
    Field("appIds", "keyword", "Apps that the call was about."),
    Field("appNames", "keyword", "Their names."),
    Field("deploymentId", "keyword", "Deployment that the call was about."),
    Field("resourceKind", "keyword", "What the action works on."),
    Field("access", "keyword", "Whether the action reads or writes."),
    Field("resolution", "keyword", "How the stack was found."),
    Field("candidates", "keyword", "Stacks that it may be."),
    Field("conflict", "boolean", "Whether facts contradict each other."),
)


def _below(prefix: str, fields: Sequence[Field]) -> tuple[Field, ...]:
    return tuple(Field(f"{prefix}.{field.path}", field.kind, field.why) for field in fields)


OPSTRAIL_FIELDS = (
    Field("opstrail.accountId", "keyword", "Account of the event's identity."),
    Field("opstrail.eventID", "keyword", "Id of the event's identity, also where none was given."),
    Field("opstrail.sourceIP", "ip", "sourceIPAddress where it is an address."),
    Field("opstrail.accessKeyId", "keyword", "Key that signed the request."),
    Field("opstrail.issuedAccessKeyId", "keyword", "Key that this call issued."),
    Field("opstrail.corrects", "keyword", "Document id of the event that this one corrects."),
    *_below("opstrail.caller", _CALLER_FIELDS),
    *_below("opstrail.account", _ACCOUNT_FIELDS),
    *_below("opstrail.stack", _STACK_FIELDS),
    Field("opstrail.stackKeys", "keyword", "Everything it names that a fact can be about."),
    Field("opstrail.flags", "keyword", "What is odd about the record."),
    Field("opstrail.maskedPaths", "keyword", "Values that opstrail replaced: secrets."),
    Field("opstrail.rulesVersion", "integer", "Version of the rules that enriched it."),
    Field("opstrail.version", "long", "Version of the document: grows with the known facts."),
    Field("opstrail.reduced", "keyword", "Why only typed fields are here: see rawText."),
    Field("opstrail.wrapped", "keyword", 'Fields that were no objects: now `{"value": …}`.'),
    Field("opstrail.rawText", "kept", "The record's exact text, where the root is not the record."),
    Field("opstrail.rawBytes", "kept", "The same as base64, where it is not UTF-8."),
    Field("opstrail.delivery.bucket", "keyword", "Bucket of the file that was read."),
    Field("opstrail.delivery.key", "keyword", "Its key."),
    Field("opstrail.delivery.versionId", "keyword", "Its version."),
    Field("opstrail.delivery.eTag", "keyword", "Its ETag."),
    Field("opstrail.delivery.sha256", "keyword", "Hash of its uncompressed bytes."),
    Field("opstrail.delivery.recordIndex", "integer", "Place of the record in it."),
    Field("opstrail.delivery.deliveredAt", "epoch_date", "When CloudTrail delivered it."),
    Field("opstrail.delivery.storedAt", "epoch_date", "When opstrail stored the document."),
    Field("opstrail.delivery.stackFactsOffset", "long", "How far stack facts were read."),
    Field("opstrail.delivery.accountsOffset", "long", "How far account facts were read."),
)

EVENT_FIELDS = CLOUDTRAIL_FIELDS + OPSTRAIL_FIELDS

FILE_FIELDS = (
    Field("bucket", "keyword", "Bucket; `local` for a file in a folder."),
    Field("key", "keyword", "Object key."),
    Field("versionId", "keyword", "Object version."),
    Field("eTag", "keyword", "ETag."),
    Field("lastModified", "epoch_date", "When the object that was read was written."),
    Field("state", "keyword", "What became of it."),
    Field("category", "keyword", "What a deferred file is."),
    Field("reason", "keyword", "Why it waits or was set aside."),
    Field("accountId", "keyword", "Account in the key."),
    Field("awsRegion", "keyword", "Region in the key."),
    Field("organizationId", "keyword", "Organization in the key."),
    Field("size", "long", "Bytes as stored."),
    Field("unpackedSize", "long", "Bytes uncompressed."),
    Field("sha256", "keyword", "Hash of the uncompressed bytes."),
    Field("records", "long", "Records that became events."),
    Field("deadLetters", "long", "Records and fragments that became dead letters."),
    Field("deferredRecords", "long", "Records kept for later."),
    Field("nextByte", "long", "While splitting: where the next chunk begins."),
    Field("nextRecord", "long", "While splitting: the next record."),
    Field("oldestEventTime", "epoch_date", "Oldest event."),
    Field("newestEventTime", "epoch_date", "Newest event."),
    Field("deliveredAt", "epoch_date", "When CloudTrail delivered it."),
    Field("noticedAt", "epoch_date", "When opstrail saw it."),
    Field("tries", "integer", "How often it was tried in vain."),
    Field("firstFailedAt", "epoch_date", "When it could not be read first."),
    Field("fragments", "long", "Where fragments with dead letters are: first byte and end."),
    Field("updatedAt", "epoch_date", "When this row was written."),
)

DEAD_LETTER_FIELDS = (
    Field("letterKey", "keyword", "Key of the message: stage and place in the input."),
    Field("stage", "keyword", "Service that refused it."),
    Field("reason", "keyword", "Reason code."),
    Field("message", "text", "What is wrong and what to do."),
    Field("field", "keyword", "The field that is wrong."),
    Field("bucket", "keyword", "Bucket of the file."),
    Field("key", "keyword", "Its key."),
    Field("versionId", "keyword", "Its version."),
    Field("eTag", "keyword", "Its ETag."),
    Field("localPath", "keyword", "Where a local file is read."),
    Field("startByte", "long", "First byte of the fragment in the uncompressed file."),
    Field("endByte", "long", "Byte after it."),
    Field("recordIndex", "long", "Place of the record in the file."),
    Field("topic", "keyword", "Topic of the message that was refused."),
    Field("partition", "integer", "Its partition."),
    Field("offset", "long", "Its offset."),
    Field("accountId", "keyword", "Account, where known."),
    Field("eventID", "keyword", "Event, where known."),
    Field("sha256", "keyword", "Hash of the unmasked bytes."),
    Field("text", "kept", "The refused text, masked."),
    Field("textTruncated", "boolean", "Whether the text was longer."),
    Field("tries", "integer", "How often it was tried."),
    Field("retryAt", "epoch_date", "When it is tried again by itself."),
    Field("firstFailedAt", "epoch_date", "When it was refused first."),
    Field("failedAt", "epoch_date", "When it was refused last."),
)


def parameters(kind: Kind) -> Mapping[str, object]:
    """Return what OpenSearch is told about a field of that kind."""
    return _PARAMETERS[kind]


def mapping(fields: Sequence[Field]) -> dict[str, Any]:
    """Return the mapping of an index with these fields."""
    root: dict[str, Any] = {}
    for field in fields:
        *parents, name = field.path.split(".")
        properties = root
        for parent in parents:
            properties = properties.setdefault(parent, {"properties": {}})["properties"]
        properties[name] = dict(parameters(field.kind))
    return {
        "dynamic": False,
        "_meta": {"opstrail": {"mappingVersion": MAPPING_VERSION}},
        "properties": root,
    }
