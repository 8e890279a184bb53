"""Every distinct identity of real trail files, against a table made by hand.

The answers are those of AWS's three questions and of its reference of `userIdentity`, read by
people; none was taken from the code. No name, id or time of a corpus stands here: shapes alone.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from opstrail_enrich.caller import caller_of
from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.record_view import view_of
from opstrail_schemas.codec import decode_body, encode_body
from opstrail_schemas.messages import Caller, Enrichment, Origin, RawEvent
from tests.support.corpora import CORPORA, corpora
from tests.support.corpora_records import records_below
from tests.support.figures import Figure
from tests.support.identity_shapes import account_of, shape_of

pytestmark = corpora

BY_SERVICE = "AwsApiCall by=service source=service agent=service"
BY_INTERNAL = "AwsApiCall by=internal source=internal agent=internal"
IN_CONSOLE = "AwsApiCall by=console agent=console"
ROLE = "AssumedRole account arn=aws:assumed-role"
USER = "IAMUser account arn=aws:user"
ROOT = "Root account arn=aws:root"
OTHER = "another account arn=other"
HIDDEN_ROLE = "AssumedRole account arn=other"
HIDDEN_ISSUER = "session(attributes(creationDate),issuer=Role/other,web())"
OF_ROLE = "session(attributes,issuer=Role/aws:role"

# For identities of these shapes: the kind of caller, the answers to the first two questions, and
# where the names stand (see `NAMES`). Then, for the signs beside them: the kind of credentials,
# the answer to the third question, and further words (see `expected_of`).
TABLE: list[tuple[tuple[str, ...], str, dict[str, str]]] = [
    (
        (f"{ROOT} id=account", f"{ROOT} id=account name"),
        "root yes no root",
        {"AwsApiCall": "longTerm no", BY_SERVICE: "longTerm yes invokedBy"},
    ),
    (  # a console session that the record does not show: no other key of root's is temporary
        (f"{ROOT} id=account key=ASIA",),
        "root yes no root",
        {"AwsConsoleAction": "session no console"},
    ),
    (
        (f"{ROOT} id=AIDA key=empty", f"{ROOT} id=account key=empty", f"{ROOT} id=other"),
        "root yes no root",
        {"AwsConsoleSignIn": "password no console"},
    ),
    (
        (
            f"{ROOT} id=AIDA key=other session(attributes,issuer(),web())",
            f"{ROOT} id=account key=ASIA session(attributes,issuer(),web())",
            f"{ROOT} id=other key=AKIA session(attributes)",
            "Root account arn=other id=other name session(attributes)",
        ),
        "root yes no root",
        {
            "AwsApiCall": "session no",
            "AwsApiCall fromConsole": "session no console",
            "AwsApiCall agent=console": "session no console",
            "AwsApiCall agent=console fromConsole": "session no console",
            "AwsApiCall by=console source=internal": "session no console",
        },
    ),
    (
        (
            f"{USER} id=AIDA key=AKIA name",
            f"{USER} id=account key=AKIA name",
            f"{USER} id=other key=AKIA name",
            f"{USER} id=other key=other name",
            "IAMUser account arn=aws:role id=other key=other name",
        ),
        "iamUser yes no userName",
        {
            "event": "longTerm no",
            "AwsApiCall": "longTerm no",
            "AwsApiCall foreign": "longTerm no otherAccount",
            # Anybody can send this agent.
            "AwsApiCall agent=internal early": "longTerm unknown",
            "AwsApiCall agent=internal early foreign": "longTerm unknown otherAccount",
            "AwsApiCall agent=internal late": "longTerm unknown",
            "AwsApiCall source=internal late": "longTerm unknown",
            "AwsApiCall source=internal agent=internal late": "longTerm unknown",
            "AwsApiCall by=service agent=internal": "longTerm yes invokedBy",
        },
    ),
    (  # a temporary key needs a session, and none is shown
        (f"{USER} id=AIDA key=ASIA name",),
        "iamUser yes no userName",
        {"AwsApiCall": "unknown no"},
    ),
    (
        (f"{USER} id=AIDA name", f"{USER} id=other name", "IAMUser account id=AIDA key=empty name"),
        "iamUser yes no userName",
        {
            "event": "longTerm no",
            "AwsConsoleSignIn": "password no console",
            "ConsoleLogin": "password no console",
        },
    ),
    (  # at a sign-in the session is not yet the credential
        (f"{USER} id=AIDA key=AKIA name session(attributes,issuer=Root/aws:root)",),
        "iamUser yes no userName",
        {"AwsConsoleSignIn": "password no console"},
    ),
    (
        ("IAMUser account key=empty name=hidden",),
        "iamUser yes no accountId",
        {"AwsConsoleSignIn": "password no console"},
    ),
    (
        (
            f"{USER} id=AIDA name session(attributes)",
            f"{USER} id=AIDA key=AKIA name session(attributes)",
            f"{USER} id=AIDA key=ASIA name session(attributes)",
            f"{USER} id=other key=other name session(attributes)",
            f"{USER} id=AIDA key=AKIA name session(attributes,issuer(),web())",
            f"{USER} id=AIDA key=ASIA name session(attributes,issuer(),web())",
            f"{USER} id=other key=other name session(attributes,issuer(),web())",
            "IAMUser account arn=other id=other name session(attributes)",
            "IAMUser account arn=other id=other key=other name session(attributes)",
            "IAMUser account arn=other id=other key=other name session(attributes,issuer(),web())",
        ),
        "iamUser yes no userName",
        {
            "event": "session no",
            "event by=console source=console agent=console": "session no console",
            "event by=other": "session unknown invokedBy",
            "AwsApiCall": "session no",
            "AwsApiCall fromConsole": "session no console",
            "AwsApiCall agent=console": "session no console",
            IN_CONSOLE: "session no console",
            # The console is why its proxies show `AWS Internal`.
            "AwsApiCall agent=internal late fromConsole": "session no console",
            "AwsApiCall agent=internal early": "session unknown",
            BY_INTERNAL: "session yes invokedBy",
            BY_SERVICE: "session yes invokedBy",
            f"{BY_SERVICE} fromConsole": "session yes invokedBy console",
            "AwsApiCall by=service source=service agent=internal fromConsole": (
                "session yes invokedBy console"
            ),
        },
    ),
    (
        (
            f"{ROLE} id=AIDA:session key=AKIA {OF_ROLE})",
            f"{ROLE} id=AROA:session {OF_ROLE})",
            f"{ROLE} id=AROA:session key=AKIA {OF_ROLE})",
            f"{ROLE} id=AROA:session key=AKIA {OF_ROLE},sourceIdentity)",
            f"{ROLE} id=AROA:session key=ASIA {OF_ROLE})",
            f"{ROLE} id=AROA:session key=ASIA {OF_ROLE},web())",
            # software on an instance: of the second kind only
            (
                f"{ROLE} id=AROA:session key=ASIA"
                " session(attributes,ec2RoleDelivery,issuer=Role/aws:role,web())"
            ),
            f"{ROLE} id=account:session key=empty {OF_ROLE})",
            f"{ROLE} id=other:session key=other {OF_ROLE})",
        ),
        "assumedRole no yes issuer+arn",
        {
            "event": "temporary no",
            "ConsoleLogin": "temporary no console",
            "AwsApiCall": "temporary no",
            "AwsApiCall agent=console": "temporary no console",
            "AwsApiCall agent=internal late fromConsole": "temporary no console",
            BY_INTERNAL: "temporary yes invokedBy",
            BY_SERVICE: "temporary yes invokedBy",
        },
    ),
    (  # only its service can be in such a role: of the second and the third kind
        (
            f"{ROLE} id=AROA:session {OF_ROLE}/aws-service-role,web())",
            f"{ROLE} id=AROA:session key=ASIA {OF_ROLE}/aws-service-role,web())",
        ),
        "assumedRole no yes issuer+arn",
        {BY_INTERNAL: "temporary yes invokedBy", BY_SERVICE: "temporary yes invokedBy"},
    ),
    (
        (f"{ROLE} id=AROA:session key=ASIA",),
        "assumedRole no yes arn+arn",
        {BY_SERVICE: "temporary yes invokedBy"},
    ),
    (
        (f"{HIDDEN_ROLE} id=other key=other {HIDDEN_ISSUER}",),
        "assumedRole no yes issuer",
        {"AwsApiCall": "temporary no", "event source=service": "temporary yes sourceIPAddress"},
    ),
    (
        (f"{HIDDEN_ROLE} id=other:session key=ASIA session(attributes,issuer=Role/other,web())",),
        "assumedRole no yes issuer+id",
        {"AwsApiCall": "temporary no"},
    ),
    (
        ("SAMLUser id=other:session identityProvider name",),
        "samlUser no yes userName",
        {"event": "externalAssertion no"},
    ),
    (
        ("WebIdentityUser id=other:session identityProvider name",),
        "webIdentityUser no yes userName",
        {"event": "externalAssertion no"},
    ),
    (
        ("IdentityCenterUser account credentialId onBehalfOf(identityStoreArn,userId)",),
        "identityCenterUser no yes UserName",
        {"AwsServiceEvent UserName": "bearerToken no"},
    ),
    (  # the type says another account, and no record says whose trail it stood in
        ("AWSAccount account id=AIDA",),
        "awsAccount unknown unknown accountId",
        {"event": "foreignAccount no anyAccount"},
    ),
    (
        (
            "AWSService",
            "AWSService account arn=aws:role id=service",
            "AWSService account arn=aws:role/aws-service-role id=service",
        ),
        "awsService no no invokedBy",
        {
            BY_SERVICE: "servicePrincipal yes invokedBy",
            "AwsApiCall by=service source=service": "servicePrincipal yes invokedBy",
        },
    ),
    (
        ("typeless account",),
        "awsService no no invokedBy",
        {
            BY_INTERNAL: "servicePrincipal yes invokedBy",
            "AwsServiceEvent by=internal source=internal agent=internal": (
                "servicePrincipal yes invokedBy"
            ),
            "AwsServiceEvent by=service source=service agent=service": (
                "servicePrincipal yes invokedBy"
            ),
            "AwsServiceEvent by=service source=service agent=service foreign": (
                "servicePrincipal yes invokedBy otherAccount"
            ),
        },
    ),
    (  # a service that tells of itself
        ("typeless account", f"{OTHER} name"),
        "awsService no no eventSource",
        {
            "AwsServiceEvent": "servicePrincipal yes",
            "AwsServiceEvent foreign": "servicePrincipal yes otherAccount",
        },
    ),
    (
        ("another account arn=aws:user id=account key=ASIA name session(attributes)",),
        "iamUser yes no userName",
        {"AwsApiCall agent=console": "unknown no console"},
    ),
    (
        (
            f"{OTHER} id=other key=other session(attributes)",
            f"{OTHER} id=other key=other session(attributes,issuer=Role/other)",
            f"{OTHER} id=other:session key=other session(attributes,issuer=other/other)",
            (
                f"{OTHER} id=other key=other"
                " session(attributes,issuer(account,arn=other,id=other,type,username))"
            ),
        ),
        "unknown unknown unknown arn",
        {
            "event": "unknown no",
            "AwsApiCall": "unknown no",
            "AwsApiCall foreign": "unknown no otherAccount",
            "AwsApiCall by=other foreign": "unknown unknown invokedBy otherAccount",
        },
    ),
    (
        ("typeless id=AIDA", "typeless id=other"),
        "unknown unknown unknown principalId",
        {"event": "unknown no"},
    ),
    (("typeless", "nobody"), "unknown unknown unknown nowhere", {"event": "unknown unknown"}),
]  # fmt: skip
ROWS = {
    (identity, signs): f"{who} {how}"
    for identities, who, beside in TABLE
    for identity in identities
    for signs, how in beside.items()
}


def name_in(record: dict[str, Any], where: str) -> dict[str, str | None]:
    """Return the names that stand there, and no others."""
    identity = record.get("userIdentity") or {}
    role_of_arn, _, session_of_arn = identity.get("arn", "").partition("/")[2].partition("/")
    match where:
        case "userName":
            return {"name": identity["userName"], "user_name": identity["userName"]}
        case "root":  # an alias is the user name of the root user
            return {"name": "root", "user_name": identity.get("userName")}
        case "UserName":
            name = record["additionalEventData"]["UserName"]
            return {"name": name, "user_name": name}
        case "arn+arn":
            return {"name": role_of_arn, "role_name": role_of_arn, "session_name": session_of_arn}
        case "issuer" | "issuer+arn" | "issuer+id":
            role = identity["sessionContext"]["sessionIssuer"]["userName"]
            sessions = {
                "issuer": None,
                "issuer+arn": session_of_arn,
                "issuer+id": identity["principalId"].partition(":")[2],
            }
            return {"name": role, "role_name": role, "session_name": sessions[where]}
        case "eventSource":
            return {"name": record["eventSource"]}
        case "nowhere":
            return {"name": None}
        case _:
            return {"name": identity[where]}


def expected_of(record: dict[str, Any], row: str) -> dict[str, object]:
    """Return the members of a caller that a row says.

    Words at its end: who invoked the call stands in `invokedBy` or `sourceIPAddress`; `console`;
    the caller's account is not the record's (`otherAccount`), or can't be compared (`anyAccount`).
    """
    kind, user, temporary, where, credential, service, *words = row.split()
    identity = record.get("userIdentity") or {}
    account = identity.get("accountId")
    invoked_by = None
    if "invokedBy" in words:
        invoked_by = identity["invokedBy"]
    elif "sourceIPAddress" in words:
        invoked_by = record["sourceIPAddress"]
    return {
        "kind": kind,
        "credential_kind": credential,
        "root_or_iam_user": user,
        "temporary_credentials": temporary,
        "aws_service": service,
        "account_id": account,
        "cross_account": (
            None if account is None or "anyAccount" in words else "otherAccount" in words
        ),
        "console": "console" in words,
        "invoked_by": invoked_by,
        "user_name": None,
        "role_name": None,
        "session_name": None,
    } | name_in(record, where)


def answer(caller: Caller, expected: dict[str, object]) -> dict[str, object]:
    return {name: getattr(caller, name) for name in expected}


def event_of(record: dict[str, Any]) -> RawEvent:
    return RawEvent(
        account_id=account_of(record),
        event_id="e",
        event_time=time_of(record.get("eventTime")),
        event_source=record["eventSource"],
        event_name=record["eventName"],
        event_type=text_or_none(record.get("eventType")),
        source_ip_address=text_or_none(record.get("sourceIPAddress")),
        origin=Origin(bucket="b", key="k", sha256="", record_index=0),
        raw=json.dumps(record).encode(),
    )


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def time_of(value: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except (TypeError, ValueError):
        return None


def rows_never_seen(seen: set[tuple[str, str]]) -> Iterator[str]:
    """Return what stands in the table and in none of these shapes: another SHARED may have less."""
    for identities, _, beside in TABLE:
        for identity in identities:
            if not any((identity, signs) in seen for signs in beside):
                yield identity
        for signs in beside:
            if not any((identity, signs) in seen for identity in identities):
                yield f"{identities[0]} / {signs}"


@pytest.fixture(scope="module")
def by_shape() -> dict[tuple[str, str], list[dict[str, Any]]]:
    found = defaultdict(list)
    for record in records_below(CORPORA):
        found[shape_of(record)].append(record)
    return found


def test_every_shape_of_an_identity_has_the_answers_of_the_table(
    by_shape: dict[tuple[str, str], list[dict[str, Any]]], figure: Figure
) -> None:
    unknown = [" / ".join(shape) for shape in by_shape if shape not in ROWS]
    others = {}
    for shape in by_shape.keys() & ROWS.keys():
        for record in by_shape[shape]:
            expected = expected_of(record, ROWS[shape])
            event = event_of(record)
            found = answer(caller_of(event, view_of(event.raw)), expected)
            if found != expected:
                others[" / ".join(shape)] = {
                    name: f"{found[name]!r}, not {expected[name]!r}"
                    for name in expected
                    if found[name] != expected[name]
                }
                break
    figure(
        "caller: identity shapes in the corpora with another answer than the table",
        f"{len(others) + len(unknown)} of {len(by_shape)}",
        "0",
    )
    never_seen = list(rows_never_seen(set(by_shape)))
    figure("caller: rows of the table that no corpus has", never_seen or 0, "0")
    assert not unknown, "\n".join(("the table lacks (derive answers by hand):", *unknown))
    assert not others, "\n".join(f"{shape}: {wrong}" for shape, wrong in others.items())


def test_what_is_known_of_every_shape_can_be_written_and_read_back(
    by_shape: dict[tuple[str, str], list[dict[str, Any]]],
) -> None:
    for records in by_shape.values():
        enrichment = enrich(event_of(records[0]), Catalogs())

        assert enrichment == decode_body(encode_body(enrichment), Enrichment)


def test_no_shape_stands_twice_in_the_table() -> None:
    rows = [(i, s) for identities, _, beside in TABLE for i in identities for s in beside]

    assert len(ROWS) == len(rows)
