"""AWS Organizations asked for all accounts: names, states, units, tags.

Each account costs two requests, each unit two more, once. AWS slows down who asks too often: the
client waits and asks again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from botocore import exceptions as boto

from opstrail_runtime.errors import Refused, Unavailable
from opstrail_schemas.messages import Account

WHAT: Final = "AWS Organizations"
NEEDED: Final = (
    "organizations:ListAccounts, organizations:ListRoots, organizations:ListParents, "
    "organizations:DescribeOrganizationalUnit and organizations:ListTagsForResource"
)
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied"})
_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationToken", "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)  # fmt: skip
_NO_CREDENTIALS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
)


class Client(Protocol):
    """What is used of boto3's client."""

    def get_paginator(self, operation_name: str, /) -> Any:
        """Return what asks for page after page: only the absence of a token ends a list."""

    def describe_organizational_unit(self, *, OrganizationalUnitId: str) -> Any:  # noqa: N803
        """Return a unit."""


class Organizations:
    """All accounts of the organization that the client's credentials belong to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paths: dict[str, str] = {}

    def accounts(self) -> list[Account]:
        """Return every account as it is now, closed ones too. Raises Refused, Unavailable."""
        with _spoken():
            return [self._account(listed) for listed in self._all("list_accounts", "Accounts")]

    def _account(self, listed: Mapping[str, Any]) -> Account:
        account_id = listed["Id"]
        tags = {
            tag["Key"]: tag["Value"]
            for tag in self._all("list_tags_for_resource", "Tags", ResourceId=account_id)
        }
        return Account(
            account_id=account_id,
            name=listed.get("Name"),
            arn=listed.get("Arn"),
            email=listed.get("Email"),
            ou_path=self._path_of(account_id),
            # AWS retires Status in favour of State; older endpoints have Status alone.
            state=listed.get("State") or listed.get("Status"),
            tags=tags,
            source="organizations",
        )

    def _path_of(self, child_id: str) -> str | None:
        """Return the names from the root down to what an account or a unit is in."""
        for parent in self._all("list_parents", "Parents", ChildId=child_id):
            return self._path(parent["Id"], is_root=parent["Type"] == "ROOT")
        return None

    def _path(self, parent_id: str, *, is_root: bool) -> str:
        if parent_id not in self._paths:
            if is_root:
                roots = {root["Id"]: root["Name"] for root in self._all("list_roots", "Roots")}
                self._paths[parent_id] = roots.get(parent_id, parent_id)
            else:
                unit = self._client.describe_organizational_unit(OrganizationalUnitId=parent_id)
                above = self._path_of(parent_id)
                name = unit["OrganizationalUnit"]["Name"]
                self._paths[parent_id] = name if above is None else f"{above}/{name}"
        return self._paths[parent_id]

    def _all(self, operation: str, member: str, **wanted: str) -> Iterator[Mapping[str, Any]]:
        for page in self._client.get_paginator(operation).paginate(**wanted):
            yield from page.get(member, ())


@contextmanager
def _spoken() -> Iterator[None]:
    """Turn botocore's errors into ours; its ParamValidationError is our bug and passes."""
    try:
        yield
    except boto.ClientError as error:
        raise _in_our_words(error) from error
    except _NO_CREDENTIALS as error:
        raise Refused(f"{WHAT}: {error}; give credentials of the management account") from error
    except boto.ParamValidationError:
        raise
    except boto.BotoCoreError as error:
        raise Unavailable(WHAT, str(error)) from error


def _in_our_words(error: boto.ClientError) -> Refused | Unavailable:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _DENIED:
        return Refused(
            f"{WHAT} denies {error.operation_name}: ask from the management account or from a "
            f"delegated administrator's, as somebody who may {NEEDED}"
        )
    if code == "AWSOrganizationsNotInUseException":
        return Refused(
            f"{WHAT}: the account of these credentials is in no organization; use the management "
            f"account's, as somebody who may {NEEDED}"
        )
    if code in _CREDENTIALS:
        return Refused(f"{WHAT}: {error}; give credentials that are valid")
    return Unavailable(WHAT, str(error))
