"""AWS Organizations asked through botocore, with its answers made up."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.stub import Stubber

from opstrail_enrich.organizations import Organizations
from opstrail_enrich.settings import OrganizationsSettings
from opstrail_enrich.wiring import new_organizations
from opstrail_runtime.errors import Refused, Unavailable
from opstrail_schemas.messages import Account

ONE, OTHER = "111122223333", "012345678901"
ROOT, UNIT, INNER = "r-exam", "ou-exam-11111111", "ou-exam-22222222"


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "organizations", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def lists(stub: Stubber, *accounts: dict[str, Any], **more: Any) -> None:
    stub.add_response("list_accounts", {"Accounts": list(accounts), **more})


def tags(stub: Stubber, account: str, **given: str) -> None:
    pairs = [{"Key": key, "Value": value} for key, value in given.items()]
    stub.add_response("list_tags_for_resource", {"Tags": pairs}, {"ResourceId": account})


def is_in(stub: Stubber, child: str, parent: str) -> None:
    kind = "ROOT" if parent == ROOT else "ORGANIZATIONAL_UNIT"
    stub.add_response(
        "list_parents", {"Parents": [{"Id": parent, "Type": kind}]}, {"ChildId": child}
    )


def unit(stub: Stubber, unit_id: str, name: str) -> None:
    stub.add_response(
        "describe_organizational_unit",
        {"OrganizationalUnit": {"Id": unit_id, "Name": name}},
        {"OrganizationalUnitId": unit_id},
    )


def roots(stub: Stubber) -> None:
    stub.add_response("list_roots", {"Roots": [{"Id": ROOT, "Name": "Root"}]})


def test_an_account_comes_with_its_state_tags_and_the_names_of_its_units(
    client: Any, stub: Stubber
) -> None:
    listed = {
        "Id": ONE, "Name": "shop", "Email": "a@example.com", "State": "ACTIVE", "Status": "ACTIVE",
        "Arn": f"arn:aws:organizations::{OTHER}:account/o-exampleorgid/{ONE}",
    }  # fmt: skip
    lists(stub, listed)
    tags(stub, ONE, team="shop", empty="")
    is_in(stub, ONE, INNER)
    unit(stub, INNER, "Web")
    is_in(stub, INNER, UNIT)
    unit(stub, UNIT, "Prod")
    is_in(stub, UNIT, ROOT)
    roots(stub)

    assert [
        Account(
            account_id=ONE,
            name="shop",
            arn=listed["Arn"],
            email="a@example.com",
            ou_path="Root/Prod/Web",
            state="ACTIVE",
            tags={"team": "shop", "empty": ""},
            source="organizations",
        )
    ] == Organizations(client).accounts()


def test_closed_accounts_count_and_an_older_answer_has_a_status_alone(
    client: Any, stub: Stubber
) -> None:
    lists(stub, {"Id": ONE, "State": "CLOSED"}, {"Id": OTHER, "Status": "SUSPENDED"})
    for account in (ONE, OTHER):
        tags(stub, account)
        is_in(stub, account, ROOT)
        if account == ONE:
            roots(stub)

    found = Organizations(client).accounts()

    assert [("CLOSED", "Root"), ("SUSPENDED", "Root")] == [(a.state, a.ou_path) for a in found]


def test_an_empty_page_does_not_end_the_list(client: Any, stub: Stubber) -> None:
    lists(stub, NextToken="1")
    lists(stub, {"Id": ONE}, NextToken="2")
    stub.add_response("list_tags_for_resource", {"Tags": [], "NextToken": "t"}, {"ResourceId": ONE})
    stub.add_response(
        "list_tags_for_resource",
        {"Tags": [{"Key": "team", "Value": "shop"}]},
        {"ResourceId": ONE, "NextToken": "t"},
    )
    stub.add_response("list_parents", {"Parents": []}, {"ChildId": ONE})
    lists(stub)

    assert [(ONE, {"team": "shop"}, None)] == [
        (account.account_id, account.tags, account.ou_path)
        for account in Organizations(client).accounts()
    ]


def test_each_unit_is_asked_for_once(client: Any, stub: Stubber) -> None:
    lists(stub, {"Id": ONE}, {"Id": OTHER})
    tags(stub, ONE)
    is_in(stub, ONE, UNIT)
    unit(stub, UNIT, "Prod")
    is_in(stub, UNIT, ROOT)
    roots(stub)
    tags(stub, OTHER)
    is_in(stub, OTHER, UNIT)

    assert {"Root/Prod"} == {account.ou_path for account in Organizations(client).accounts()}


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("AccessDeniedException", Refused, "denies ListAccounts: .*organizations:ListAccounts"),
        ("AWSOrganizationsNotInUseException", Refused, "is in no organization"),
        ("UnrecognizedClientException", Refused, "give credentials that are valid"),
        ("ExpiredTokenException", Refused, "give credentials that are valid"),
        ("TooManyRequestsException", Unavailable, "TooManyRequestsException"),
        ("ServiceException", Unavailable, "ServiceException"),
        ("ChildNotFoundException", Unavailable, "ChildNotFoundException"),
    ],
)
def test_what_stands_in_the_way_is_one_line(
    client: Any, stub: Stubber, code: str, expected: type[Exception], words: str
) -> None:
    stub.add_client_error("list_accounts", code)

    with pytest.raises(expected, match=words) as error:
        Organizations(client).accounts()

    assert "\n" not in str(error.value)


class _Broken:
    """A client that has no answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_paginator(self, operation_name: str, /) -> Any:
        raise self.error

    def describe_organizational_unit(self, *, OrganizationalUnitId: str) -> Any:  # noqa: N803
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (boto.NoCredentialsError(), Refused),
        (boto.EndpointConnectionError(endpoint_url="u"), Unavailable),
        (boto.ParamValidationError(report="ours"), boto.ParamValidationError),
    ],
)
def test_errors_that_are_no_answers_are_told_apart(
    error: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        Organizations(_Broken(error)).accounts()


def test_a_client_needs_no_region_and_is_sent_where_the_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    of_aws: Any = new_organizations(OrganizationsSettings())._client
    other: Any = new_organizations(OrganizationsSettings(endpoint_url="https://other"))._client

    assert "https://organizations.us-east-1.amazonaws.com" == of_aws.meta.endpoint_url
    assert "https://other" == other.meta.endpoint_url
    assert "adaptive" == of_aws.meta.config.retries["mode"]
