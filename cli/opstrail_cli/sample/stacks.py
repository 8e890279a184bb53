"""The life of two OpsWorks stacks, told in calls (PURE).

`shop-prod`, production's, is created in 2021, renamed `shop-live` in October 2023 and still there
when OpsWorks ends (2024-05-26). `shop-staging` is created in 2021 and deleted in November 2022.
Both are reached through the endpoint of one Region and run in another or the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from opstrail_cli.sample.callers import (
    PRODUCTION,
    STAGING,
    Caller,
    role,
    stack_service_role,
    user,
    user_with_mfa,
)
from opstrail_cli.sample.records import Event, Json, Place, event, made_id

# Not a key: the lines between the markers are not base64 of anything.
DEPLOY_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\nthis-is-the-sample-archive-and-no-key\n"
    "-----END RSA PRIVATE KEY-----"
)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack: its name at first, the endpoint it is called through, and where it runs."""

    name: str
    endpoint: Place
    runs_in: str

    @property
    def id(self) -> str:
        """The stack's id."""
        return made_id("stack", self.name)

    def layer(self, name: str) -> str:
        """Return the id of a layer."""
        return made_id("layer", self.name, name)

    def instance(self, name: str) -> str:
        """Return the id of an instance."""
        return made_id("instance", self.name, name)

    def app(self) -> str:
        """Return the id of the app."""
        return made_id("app", self.name)

    def described(self, created_at: str) -> Json:
        """Return what `describe-stacks` said of it."""
        account = self.endpoint.account
        return {
            "StackId": self.id,
            "Name": self.name,
            "Arn": f"arn:aws:opsworks:{self.runs_in}:{account}:stack/{self.id}/",
            "Region": self.runs_in,
            "VpcId": "vpc-0a1b2c3d",
            "ServiceRoleArn": service_role_arn(account),
            "DefaultOs": "Amazon Linux 2",
            "ConfigurationManager": {"Name": "Chef", "Version": "12"},
            "CreatedAt": created_at,
        }


SHOP_PROD = Stack("shop-prod", Place(PRODUCTION, "us-east-1"), runs_in="eu-west-1")
SHOP_STAGING = Stack("shop-staging", Place(STAGING, "us-west-2"), runs_in="us-west-2")
RENAMED_TO, RENAMED_AT = "shop-live", "2023-10-02T08:00:00Z"


def service_role_arn(account: str) -> str:
    """Return the role that OpsWorks takes on for the account's stacks."""
    return f"arn:aws:iam::{account}:role/aws-opsworks-service-role"


def inventories() -> dict[str, Json]:
    """Return each account's answer of `describe-stacks`, as of the summer of 2022."""
    return {
        PRODUCTION: {"Stacks": [SHOP_PROD.described("2021-03-04T10:00:00+00:00")]},
        STAGING: {"Stacks": [SHOP_STAGING.described("2021-05-10T09:00:00+00:00")]},
    }


def stack_lives() -> list[Event]:
    """Return every call of both lives."""
    return [*_shop_prod(), *_shop_staging()]


def named_as_of() -> dict[str, tuple[str, str]]:
    """Return id and name, as of its own time, of the stack that each event of both is about."""
    lives = {SHOP_PROD: _shop_prod(), SHOP_STAGING: _shop_staging()}
    return {
        each.record["eventID"]: (
            stack.id,
            RENAMED_TO if stack is SHOP_PROD and each.time >= RENAMED_AT else stack.name,
        )
        for stack, life in lives.items()
        for each in life
    }


def _built(stack: Stack, caller: Caller, day: str, layers: tuple[str, ...]) -> Iterator[Event]:
    """A stack is created, with a layer and an instance of each name, and an app."""
    place = stack.endpoint
    yield event(
        "opsworks:CreateStack",
        f"{day}T10:00",
        place,
        caller,
        {
            "name": stack.name,
            "region": stack.runs_in,
            "vpcId": "vpc-0a1b2c3d",
            "serviceRoleArn": service_role_arn(place.account),
            "defaultInstanceProfileArn": (
                f"arn:aws:iam::{place.account}:instance-profile/aws-opsworks-ec2-role"
            ),
            "defaultOs": "Amazon Linux 2",
            "configurationManager": {"name": "Chef", "version": "12"},
            "customJson": "**redacted**",
        },
        response={"stackId": stack.id},
    )
    for minute, name in enumerate(layers):
        yield event(
            "opsworks:CreateLayer",
            f"{day}T10:{5 + minute:02}",
            place,
            caller,
            {"stackId": stack.id, "type": "custom", "name": name, "shortname": name},
            # As in the manual: a layer is made, and the answer does not say which.
            response=None if minute == 0 else {"layerId": stack.layer(name)},
        )
        yield event(
            "opsworks:CreateInstance",
            f"{day}T10:{15 + minute:02}",
            place,
            caller,
            {
                "stackId": stack.id,
                "layerIds": [stack.layer(name)],
                "instanceType": "t3.medium",
                "hostname": f"{name}1",
            },
            response={"instanceId": stack.instance(name)},
        )
        yield event(
            "opsworks:StartInstance",
            f"{day}T10:{25 + minute:02}",
            place,
            caller,
            {"instanceId": stack.instance(name)},
        )
        yield event(
            "ec2:RunInstances",
            f"{day}T10:{27 + minute:02}",
            Place(place.account, stack.runs_in),
            stack_service_role(place.account),
            {
                "instanceType": "t3.medium",
                "tagSpecificationSet": {"items": [{"key": "opsworks:stack", "value": stack.name}]},
            },
            response={"instancesSet": {"items": [{"instanceId": f"i-0{minute}5e8f1a2b3c4d5e6"}]}},
        )
    yield event(
        "opsworks:CreateApp",
        f"{day}T10:40",
        place,
        caller,
        {
            "stackId": stack.id,
            "name": "storefront",
            "type": "other",
            "appSource": {
                "type": "git",
                "url": "git@git.example.com:shop/storefront.git",
                "sshKey": DEPLOY_KEY,
            },
        },
        response={"appId": stack.app()},
    )


def _deployed(stack: Stack, caller: Caller, at: str, layers: tuple[str, ...]) -> Iterator[Event]:
    """The app is deployed, and somebody looks how it went."""
    day, hour = at.split("T")
    deployment = made_id("deployment", stack.name, at)
    yield event(
        "opsworks:CreateDeployment",
        f"{day}T{hour}:00",
        stack.endpoint,
        caller,
        {
            "stackId": stack.id,
            "appId": stack.app(),
            "instanceIds": [stack.instance(layer) for layer in layers],
            "command": {"name": "deploy", "args": {"migrate": ["true"]}},
        },
        response={"deploymentId": deployment},
    )
    yield event(
        "opsworks:DescribeDeployments",
        f"{day}T{hour}:04",
        stack.endpoint,
        caller,
        {"deploymentIds": [deployment]},
    )


def _shop_prod() -> Iterator[Event]:
    stack, place = SHOP_PROD, SHOP_PROD.endpoint
    deploys = role(PRODUCTION, "deploy", "build-214")
    operator = user_with_mfa(PRODUCTION, "anna")
    monitor = user(PRODUCTION, "monitoring")
    yield from _built(stack, deploys, "2021-03-04", ("web", "worker", "cache"))
    for year, months in (
        (2021, (3, 5, 6, 9, 11)),
        (2022, (2, 4, 7, 10)),
        (2023, (1, 5, 9, 11)),
    ):
        for month in months:
            yield from _deployed(stack, deploys, f"{year}-{month:02}-17T14", ("web", "worker"))
    for day in (
        "2021-03-20",
        "2021-08-02",
        "2022-01-11",
        "2022-06-30",
        "2023-03-09",
        "2024-02-14",
    ):
        yield event(
            "opsworks:DescribeStacks",
            f"{day}T06:00",
            place,
            monitor,
            {"stackIds": [stack.id]},
        )
        yield event(
            "opsworks:DescribeInstances",
            f"{day}T06:01",
            place,
            monitor,
            {"stackId": stack.id},
        )
        yield event(
            "opsworks:DescribeCommands",
            f"{day}T06:02",
            place,
            monitor,
            {"instanceId": stack.instance("web")},
        )
    yield event(
        "opsworks:RegisterRdsDbInstance",
        "2021-03-05T09:00",
        place,
        operator,
        {
            "stackId": stack.id,
            "rdsDbInstanceArn": f"arn:aws:rds:eu-west-1:{PRODUCTION}:db:shop",
            "dbUser": "shop",
            "dbPassword": "this-password-must-be-masked",
        },
    )
    yield event(
        "opsworks:RegisterElasticIp",
        "2021-03-05T09:05",
        place,
        operator,
        {"stackId": stack.id, "elasticIp": "198.51.100.7"},
        response={"elasticIp": "198.51.100.7"},
    )
    yield event(
        "opsworks:SetPermission",
        "2021-03-05T09:10",
        place,
        operator,
        {
            "stackId": stack.id,
            "iamUserArn": f"arn:aws:iam::{PRODUCTION}:user/anna",
            "level": "manage",
            "allowSsh": True,
        },
    )
    # They name an instance only: the stack has to be found through it.
    for at, call in (
        ("2021-12-24T22:10", "StopInstance"),
        ("2021-12-24T22:31", "StartInstance"),
        ("2022-08-19T03:12", "RebootInstance"),
        ("2023-06-01T23:47", "StopInstance"),
        ("2023-06-02T05:30", "StartInstance"),
    ):
        yield event(
            f"opsworks:{call}",
            at,
            place,
            operator,
            {"instanceId": stack.instance("web")},
        )
    yield event(
        "opsworks:DeleteStack",
        "2022-09-13T02:00",
        place,
        user(PRODUCTION, "monitoring"),
        {"stackId": stack.id},
        errorCode="AccessDenied",
        errorMessage="User: monitoring is not authorized to perform: opsworks:DeleteStack",
    )
    yield event(
        "opsworks:UpdateStack",
        RENAMED_AT.removesuffix(":00Z"),
        place,
        operator,
        {"stackId": stack.id, "name": RENAMED_TO, "customJson": "**redacted**"},
    )
    yield event(
        "opsworks:DescribeStackSummary",
        "2024-05-24T09:00",
        place,
        operator,
        {"stackId": stack.id},
    )


def _shop_staging() -> Iterator[Event]:
    stack, place = SHOP_STAGING, SHOP_STAGING.endpoint
    deploys = role(STAGING, "deploy", "build-77")
    developer = user(STAGING, "bela")
    yield from _built(stack, deploys, "2021-05-10", ("all",))
    for at in (
        "2021-05-11",
        "2021-06-08",
        "2021-10-05",
        "2022-01-25",
        "2022-05-03",
        "2022-09-20",
    ):
        yield from _deployed(stack, deploys, f"{at}T11", ("all",))
        yield event(
            "opsworks:DescribeLayers",
            f"{at}T11:10",
            place,
            developer,
            {"stackId": stack.id},
        )
    end = "2022-11-30"
    yield event(
        "opsworks:StopInstance",
        f"{end}T15:00",
        place,
        developer,
        {"instanceId": stack.instance("all")},
    )
    yield event(
        "opsworks:DeleteInstance",
        f"{end}T15:20",
        place,
        developer,
        {"instanceId": stack.instance("all"), "deleteVolumes": True},
    )
    yield event("opsworks:DeleteApp", f"{end}T15:21", place, developer, {"appId": stack.app()})
    yield event(
        "opsworks:DeleteLayer",
        f"{end}T15:22",
        place,
        developer,
        {"layerId": stack.layer("all")},
    )
    yield event("opsworks:DeleteStack", f"{end}T15:23", place, developer, {"stackId": stack.id})
    yield event(
        "ec2:TerminateInstances",
        f"{end}T15:05",
        place,
        stack_service_role(STAGING),
        {"instancesSet": {"items": [{"instanceId": "i-005e8f1a2b3c4d5e6"}]}},
    )
    yield event(
        "opsworks:DescribeStacks",
        "2022-12-01T08:00",
        place,
        developer,
        {"stackIds": [stack.id]},
        errorCode="ResourceNotFoundException",
        errorMessage=f"Unable to find stack with ID {stack.id}",
    )
