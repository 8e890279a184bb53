"""What calls of AWS Organizations and Account Management teach about accounts (PURE).

Organizations' events lie in the management account's trail and speak of another account: a fact is
about the account that is spoken of. Only what the record says for sure is learnt, and since when:

| event | says |
|---|---|
| CreateAccount(Result) with SUCCEEDED | active, and its name where that is shown |
| AcceptHandshake of an invitation | active: it joined |
| PutAccountName | the name; where that is not shown, that it is another one |
| CloseAccount, CloseAccountResult | PENDING_CLOSURE, SUSPENDED |
| MoveAccount | that the path is another one: ids of parents are no path |
| RemoveAccountFromOrganization, LeaveOrganization | no state, path or tags any more |
| TagResource, UntagResource | tags, and that they are gone |

An invitation says nothing of the account that is invited, and that the inviting one has its name
already, not since when. Units are created and renamed without a word on the accounts in them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opstrail_enrich.account_history import EVERY_TAG, TAG
from opstrail_enrich.record_view import RecordView, members, parsed, text_of
from opstrail_enrich.redaction import shown
from opstrail_schemas.messages import Account, RawEvent

ORGANIZATIONS: Final = "organizations.amazonaws.com"
ACCOUNT_MANAGEMENT: Final = "account.amazonaws.com"
SOURCES: Final = frozenset({ORGANIZATIONS, ACCOUNT_MANAGEMENT})
_MOST_TAGS: Final = 200  # AWS allows 50: bounds what one record can make of itself
_NUMBER: Final = re.compile(r"\d{12}", re.ASCII)
_Learn = Callable[[RawEvent, RecordView], Account | None]


def facts_of(event: RawEvent, view: RecordView) -> Sequence[Account]:
    """Return the facts that a successful call shows; none of an event without a time."""
    learn = _LEARN.get((event.event_source, event.event_name))
    if learn is None or event.event_time is None:
        return ()
    fact = learn(event, view)
    return () if fact is None else (fact,)


def _created(event: RawEvent, view: RecordView) -> Account | None:
    for text in (view.service_event_details, view.response_elements):
        status = members(members(parsed(text)).get("createAccountStatus"))
        if status.get("state") == "SUCCEEDED":
            return _fact(
                event,
                status.get("accountId"),
                name=shown(status.get("accountName")),
                state="ACTIVE",
            )
    return None


def _joined(event: RawEvent, view: RecordView) -> Account | None:
    handshake = members(members(parsed(view.response_elements)).get("handshake"))
    if (
        str(handshake.get("action")).lower() != "invite"
        or str(handshake.get("state")).upper() != "ACCEPTED"
    ):
        return None
    parties = [members(party) for party in _list(handshake.get("parties"))]
    invited = [party.get("id") for party in parties if party.get("type") == "ACCOUNT"]
    return _fact(event, invited[0], state="ACTIVE") if len(invited) == 1 else None


def _named(event: RawEvent, view: RecordView) -> Account | None:
    request = _request(view)
    if "accountName" not in request:
        return None
    account_id = request.get("accountId") or _own_account(event, view)
    name = shown(request["accountName"])
    return _fact(event, account_id, name=name, hidden=["name"] if name is None else [])


def _closing(event: RawEvent, view: RecordView) -> Account | None:
    return _fact(event, _request(view).get("accountId"), state="PENDING_CLOSURE")


def _closed(event: RawEvent, view: RecordView) -> Account | None:
    details = members(parsed(view.service_event_details))
    status = members(details.get("closeAccountStatus"))
    if status.get("state") == "SUCCEEDED":
        return _fact(event, status.get("accountId"), state="SUSPENDED")
    return _fact(event, status.get("accountId"), hidden=["state"])


def _moved(event: RawEvent, view: RecordView) -> Account | None:
    return _fact(event, _request(view).get("accountId"), hidden=["ouPath"])


def _removed(event: RawEvent, view: RecordView) -> Account | None:
    return _gone(event, _request(view).get("accountId"))


def _left(event: RawEvent, view: RecordView) -> Account | None:
    return _gone(event, _own_account(event, view))


def _gone(event: RawEvent, account_id: Any) -> Account | None:
    return _fact(event, account_id, ou_path="", state="", removed_tags=[EVERY_TAG])


def _tagged(event: RawEvent, view: RecordView) -> Account | None:
    request = _request(view)
    given = [members(tag) for tag in _list(request.get("tags"))][:_MOST_TAGS]
    # A tag may be empty; what is no text, or a marker, says only that it changed.
    tags = {
        key: "" if tag.get("value") == "" else shown(tag.get("value"))
        for tag in given
        if (key := text_of(tag.get("key"))) is not None
    }
    return _fact(
        event,
        request.get("resourceId"),
        tags={key: value for key, value in tags.items() if value is not None},
        hidden=[f"{TAG}{key}" for key, value in tags.items() if value is None],
    )


def _untagged(event: RawEvent, view: RecordView) -> Account | None:
    request = _request(view)
    keys = [key for key in map(text_of, _list(request.get("tagKeys"))) if key is not None]
    return _fact(event, request.get("resourceId"), removed_tags=keys[:_MOST_TAGS])


_LEARN: Final[Mapping[tuple[str, str], _Learn]] = {
    (ORGANIZATIONS, "CreateAccount"): _created,
    (ORGANIZATIONS, "CreateAccountResult"): _created,
    (ORGANIZATIONS, "CreateGovCloudAccount"): _created,
    (ORGANIZATIONS, "CreateGovCloudAccountResult"): _created,
    (ORGANIZATIONS, "AcceptHandshake"): _joined,
    (ORGANIZATIONS, "CloseAccount"): _closing,
    (ORGANIZATIONS, "CloseAccountResult"): _closed,
    (ORGANIZATIONS, "MoveAccount"): _moved,
    (ORGANIZATIONS, "RemoveAccountFromOrganization"): _removed,
    (ORGANIZATIONS, "LeaveOrganization"): _left,
    (ORGANIZATIONS, "TagResource"): _tagged,
    (ORGANIZATIONS, "UntagResource"): _untagged,
    (ACCOUNT_MANAGEMENT, "PutAccountName"): _named,
}


def _fact(event: RawEvent, account_id: Any, **says: Any) -> Account | None:
    """Return the fact; None where it is about no account, or says nothing."""
    if not isinstance(account_id, str) or not _NUMBER.fullmatch(account_id):
        return None
    if all(value in (None, [], {}) for value in says.values()):
        return None
    return Account(
        account_id=account_id,
        valid_from=event.event_time,
        event_id=event.event_id,
        source="trail",
        **says,
    )


def _request(view: RecordView) -> dict[str, Any]:
    return members(parsed(view.request_parameters))


def _own_account(event: RawEvent, view: RecordView) -> str:
    """Return the caller's account: a copy of the record may lie in another one's trail."""
    caller = members(view.user_identity).get("accountId")
    return caller if isinstance(caller, str) and caller else event.account_id


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
