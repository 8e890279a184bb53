"""The 74 actions of OpsWorks Stacks: kind of thing, read or write, ids that they name (PURE).

Old records have no `readOnly`, so the access comes from here. OpsWorks CM (Chef, Puppet) has
another source and no stacks: sources are compared whole, never by their beginning.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

SOURCE: Final = "opsworks.amazonaws.com"

# What a member of a request or response names. `resourceArn` says its kind itself.
KIND_OF_MEMBER: Final = {
    "stackId": "stack",
    "stackIds": "stack",
    "sourceStackId": "stack",
    "layerId": "layer",
    "layerIds": "layer",
    "instanceId": "instance",
    "instanceIds": "instance",
    "temporaryCredential.instanceId": "instance",
    "appId": "app",
    "appIds": "app",
    "cloneAppIds": "app",
    "deploymentId": "deployment",
    "deploymentIds": "deployment",
    "commandIds": "command",
    "volumeId": "volume",
    "volumeIds": "volume",
    "ec2VolumeId": "ec2Volume",
    "raidArrayId": "raidArray",
    "raidArrayIds": "raidArray",
    "elasticIp": "elasticIp",
    "ips": "elasticIp",
    "elasticLoadBalancerName": "loadBalancer",
    "rdsDbInstanceArn": "rds",
    "rdsDbInstanceArns": "rds",
    "ecsClusterArn": "ecsCluster",
    "ecsClusterArns": "ecsCluster",
    "resourceArn": "arn",
}


@dataclass(frozen=True, slots=True)
class Action:
    """One action: the members of its request and response that name things."""

    kind: str
    access: Literal["read", "write"]
    request: tuple[str, ...]
    response: tuple[str, ...]


@cache
def actions() -> dict[str, Action]:
    """Return all actions by name."""
    text = files("opstrail_enrich").joinpath("data", "opsworks_actions.csv").read_text("utf-8")
    return {
        row["action"]: Action(
            row["kind"],
            "read" if row["access"] == "read" else "write",
            tuple(row["request"].split()),
            tuple(row["response"].split()),
        )
        for row in csv.DictReader(text.splitlines())
    }
