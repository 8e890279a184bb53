"""What the trail of a management account teaches about the accounts it speaks of."""

from typing import Any

import msgspec
import pytest

from opstrail_enrich.learning import facts_of
from opstrail_runtime.stage import Partition
from opstrail_schemas.messages import Account, AccountInfo, RawEvent
from opstrail_schemas.topics import TopicName
from tests.support.enriching import ACCOUNT, ENRICHED, PARTITIONS, T0, Bench, raw_event
from tests.support.memory_kafka import StillPulse

MEMBER = "444455556666"
GONE: dict[str, Any] = {"ou_path": "", "state": "", "removed_tags": ["*"]}


def organizations(name: str, request: Any = None, response: Any = None, **members: Any) -> RawEvent:
    call = {
        "eventSource": "organizations.amazonaws.com",
        "eventName": name,
        "requestParameters": request,
        "responseElements": response,
    }
    return raw_event(**(call | members))


def put_account_name(request: Any, **members: Any) -> RawEvent:
    source = {"eventSource": "account.amazonaws.com"}
    return organizations("PutAccountName", request, **(source | members))


def result(name: str, **status: Any) -> RawEvent:
    """Return the event that tells how a request ended that ran in the background."""
    kind = "createAccountStatus" if name.startswith("Create") else "closeAccountStatus"
    return organizations(
        name,
        eventType="AwsServiceEvent",
        userIdentity={"accountId": ACCOUNT, "invokedBy": "organizations.amazonaws.com"},
        serviceEventDetails={kind: status},
    )


def handshake(action: str = "invite", state: str = "ACCEPTED", accounts: int = 1) -> Any:
    parties = [{"type": "ACCOUNT", "id": MEMBER}] * accounts
    return {
        "handshake": {
            "action": action,
            "state": state,
            "parties": [{"type": "ORGANIZATION", "id": "o-1"}, *parties],
        }
    }


def a_fact(account_id: str = MEMBER, **says: Any) -> Account:
    return Account(account_id=account_id, valid_from=T0, event_id="e-1", source="trail", **says)


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        (
            result("CreateAccountResult", state="SUCCEEDED", accountId=MEMBER, accountName="shop"),
            a_fact(name="shop", state="ACTIVE"),
        ),
        (  # since 2018 names are not shown
            result("CreateAccountResult", state="SUCCEEDED", accountId=MEMBER, accountName="****"),
            a_fact(state="ACTIVE"),
        ),
        (
            organizations(
                "CreateGovCloudAccount",
                {"accountName": "shop"},
                {"createAccountStatus": {"state": "SUCCEEDED", "accountId": MEMBER}},
            ),
            a_fact(state="ACTIVE"),
        ),
        (organizations("CloseAccount", {"accountId": MEMBER}), a_fact(state="PENDING_CLOSURE")),
        (
            result("CloseAccountResult", state="SUCCEEDED", accountId=MEMBER),
            a_fact(state="SUSPENDED"),
        ),
        (
            result("CloseAccountResult", state="FAILED", accountId=MEMBER),
            a_fact(hidden=["state"]),
        ),
        (
            organizations(
                "MoveAccount",
                {"accountId": MEMBER, "sourceParentId": "r-1", "destinationParentId": "ou-1"},
            ),
            a_fact(hidden=["ouPath"]),
        ),
        (organizations("RemoveAccountFromOrganization", {"accountId": MEMBER}), a_fact(**GONE)),
        (
            organizations("LeaveOrganization", userIdentity={"accountId": MEMBER}),
            a_fact(**GONE),
        ),
        (organizations("LeaveOrganization", userIdentity={}), a_fact(ACCOUNT, **GONE)),
        (
            organizations("AcceptHandshake", {"handshakeId": "h-1"}, handshake()),
            a_fact(state="ACTIVE"),
        ),
        (
            organizations(
                "TagResource",
                {
                    "resourceId": MEMBER,
                    "tags": [
                        {"key": "team", "value": "shop"},
                        {"key": "empty", "value": ""},
                        {"key": "hidden", "value": "***masked by opstrail***"},
                        {"key": 7, "value": "x"},
                        "x",
                    ],
                },
            ),
            a_fact(tags={"team": "shop", "empty": ""}, hidden=["tag:hidden"]),
        ),
        (
            organizations("UntagResource", {"resourceId": MEMBER, "tagKeys": ["team", None]}),
            a_fact(removed_tags=["team"]),
        ),
        (put_account_name({"accountName": "shop", "accountId": MEMBER}), a_fact(name="shop")),
        (put_account_name({"accountName": "shop"}), a_fact(ACCOUNT, name="shop")),
        (
            put_account_name({"accountName": "shop"}, userIdentity={"accountId": MEMBER}),
            a_fact(name="shop"),
        ),
        (
            put_account_name(
                {"accountName": "HIDDEN_DUE_TO_SECURITY_REASONS", "accountId": MEMBER}
            ),
            a_fact(hidden=["name"]),
        ),
    ],
    ids=lambda value: value.event_name if isinstance(value, RawEvent) else "",
)
def test_an_event_teaches_one_fact_about_the_account_it_speaks_of(
    event: RawEvent, fact: Account
) -> None:
    assert (fact,) == tuple(facts_of(event))


@pytest.mark.parametrize(
    "event",
    [
        organizations("CloseAccount", {"accountId": MEMBER}, event_time=None),
        organizations("CloseAccount", {"accountId": "***"}),
        organizations("CloseAccount", {"accountId": 444455556666}),
        organizations("CloseAccount", "x"),
        result("CreateAccountResult", state="FAILED", accountName="shop"),
        result("CreateAccountResult", state="SUCCEEDED", accountName="shop"),
        organizations(
            "CreateAccount",
            {"accountName": "shop"},
            {"createAccountStatus": {"state": "IN_PROGRESS", "accountName": "shop"}},
        ),
        organizations("AcceptHandshake", {}, handshake(action="enable-all-features")),
        organizations("AcceptHandshake", {}, handshake(state="OPEN")),
        organizations("AcceptHandshake", {}, handshake(accounts=2)),
        organizations("AcceptHandshake"),
        organizations("InviteAccountToOrganization", {}, handshake(state="OPEN")),
        organizations("TagResource", {"resourceId": "ou-1", "tags": [{"key": "a", "value": "b"}]}),
        organizations("TagResource", {"resourceId": MEMBER, "tags": {"a": "b"}}),
        organizations("UntagResource", {"resourceId": MEMBER, "tagKeys": []}),
        organizations("UpdateOrganizationalUnit", {"organizationalUnitId": "ou-1", "name": "x"}),
        put_account_name(None),
        put_account_name({"accountId": MEMBER}),
        put_account_name({"accountName": "shop", "accountId": "***"}),
    ],
    ids=lambda event: event.event_name,
)
def test_what_a_record_does_not_say_for_sure_is_not_learnt(event: RawEvent) -> None:
    assert () == tuple(facts_of(event))


def test_one_record_cannot_bring_more_tags_than_an_account_can_have() -> None:
    many = [{"key": str(number), "value": "x"} for number in range(10_000)]

    (tagged,) = facts_of(organizations("TagResource", {"resourceId": MEMBER, "tags": many}))
    (untagged,) = facts_of(
        organizations(
            "UntagResource", {"resourceId": MEMBER, "tagKeys": [tag["key"] for tag in many]}
        )
    )

    assert isinstance(tagged, Account)
    assert isinstance(untagged, Account)
    assert (200, 200) == (len(tagged.tags), len(untagged.removed_tags))


def test_a_name_that_is_no_sound_text_is_read_all_the_same() -> None:
    event = put_account_name({"accountName": "shop ~"})
    broken = msgspec.structs.replace(event, raw=event.raw.replace(b"~", b"\xff"))

    assert [a_fact(ACCOUNT, name="shop \ufffd")] == list(facts_of(broken))


def test_the_management_account_s_trail_names_the_accounts_of_others() -> None:
    bench = Bench()
    created = result("CreateAccountResult", state="SUCCEEDED", accountId=MEMBER, accountName="shop")
    bench.put(raw_event(account_id=MEMBER, event_id="before", event_time=T0 - 1))
    bench.put(raw_event(account_id=MEMBER, event_id="after"))
    bench.put(created)
    stage = bench.stage()
    stage.restore(
        [Partition(TopicName.EVENTS_RAW, number) for number in range(PARTITIONS)], StillPulse()
    )

    for commit in stage.work(bench.kafka.messages(TopicName.EVENTS_RAW), StillPulse()):
        bench.apply(commit)

    enriched: list[Any] = list(bench.values(TopicName.EVENTS_ENRICHED, ENRICHED))
    accounts = {value.event.event_id: value.enrichment.account for value in enriched}
    assert {
        "before": None,
        "after": AccountInfo(name="shop", state="ACTIVE"),
        created.event_id: None,
    } == accounts
    assert 1 == len(bench.kafka.messages(TopicName.ACCOUNTS))
