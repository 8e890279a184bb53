"""A made-up life of OpsWorks stacks and accounts, as CloudTrail would have recorded it.

By seed, so that a failure can be told again. Stacks are created (some records show no id), renamed,
given other roles, cloned and deleted; layers, instances and apps come, with responses or without;
volumes, addresses and databases move from stack to stack; other services are called with service
roles; accounts get other names. Many calls name a child only: those are what enrichment is for.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ACCOUNTS = ("111122223333", "444455556666")
ENDPOINT = "us-east-1"
_T0 = 1_600_000_000
_MOVING = ("volumeId", "elasticIp", "rdsDbInstanceArn", "ecsClusterArn")
Record = dict[str, Any]


def story(seed: int, *, calls: int = 40) -> list[Record]:
    """Return the records of one story in the order of their times."""
    return _Story(random.Random(seed)).told(calls)


@dataclass(slots=True)
class _Stack:
    id: str
    account: str
    name: str
    role: str
    layers: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    apps: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Story:
    rng: random.Random
    records: list[Record] = field(default_factory=list)
    stacks: list[_Stack] = field(default_factory=list)
    now: int = _T0
    names: int = 0
    registered: list[tuple[str, str, Record]] = field(default_factory=list)

    def told(self, calls: int) -> list[Record]:
        for account in ACCOUNTS:
            self.create_stack(account)
        acts = (
            [self.create_stack] * 2
            + [self.clone, self.delete, self.account_event]
            + [self.update] * 2
            + [self.child] * 6
            + [self.deployment, self.assign, self.moving, self.moving, self.deregister] * 2
            + [self.about_child] * 10
            + [self.by_role] * 3
            + [self.about_stack] * 2
        )
        for _ in range(calls):
            self.rng.choice(acts)()
        return self.records

    # Calls

    def create_stack(self, account: str | None = None) -> None:
        account = account or self.rng.choice(ACCOUNTS)
        stack = self._new_stack(account, self._stack_name())
        request = {
            "name": stack.name,
            "region": self.rng.choice(["us-east-1", "eu-west-1"]),
            "serviceRoleArn": stack.role,
            "vpcId": f"vpc-{self.rng.randrange(9)}",
            "customJson": "**redacted**",
        }
        self._call(account, "CreateStack", request, self._perhaps({"stackId": stack.id}))

    def clone(self) -> None:
        source = self._stack()
        stack = self._new_stack(source.account, self._stack_name())
        request: Record = {"sourceStackId": source.id, "serviceRoleArn": stack.role}
        if self.rng.random() < 0.5:
            request["name"] = stack.name
        self._call(source.account, "CloneStack", request, self._perhaps({"stackId": stack.id}))

    def update(self) -> None:
        stack = self._stack()
        changes: Record = {}
        if self.rng.random() < 0.7:
            changes["name"] = stack.name = self._stack_name()
        if self.rng.random() < 0.3:
            changes["serviceRoleArn"] = stack.role = self._role(stack.account)
        if self.rng.random() < 0.5:
            changes["defaultOs"] = "Amazon Linux 2"
        self._call(stack.account, "UpdateStack", {"stackId": stack.id, **changes})

    def delete(self) -> None:
        if len(self.stacks) > 2:
            stack = self.stacks.pop(self.rng.randrange(len(self.stacks)))
            self._call(stack.account, "DeleteStack", {"stackId": stack.id})

    def child(self) -> None:
        stack = self._stack()
        match self.rng.choice(["layer", "instance", "app", "update"]):
            case "layer":
                layer = self._id()
                stack.layers.append(layer)
                request: Record = {"stackId": stack.id, "name": self._name("layer")}
                self._call(stack.account, "CreateLayer", request, self._perhaps({"layerId": layer}))
            case "instance":
                instance = self._id()
                stack.instances.append(instance)
                request = {
                    "stackId": stack.id,
                    "layerIds": self._some(stack.layers),
                    "hostname": self._name("host"),
                }
                response = self._perhaps({"instanceId": instance})
                self._call(stack.account, "CreateInstance", request, response)
            case "app":
                app = self._id()
                stack.apps.append(app)
                request = {"stackId": stack.id, "name": self._name("app")}
                self._call(stack.account, "CreateApp", request, self._perhaps({"appId": app}))
            case _:
                for name, member, ids in (
                    ("UpdateLayer", "layerId", stack.layers),
                    ("UpdateInstance", "instanceId", stack.instances),
                    ("UpdateApp", "appId", stack.apps),
                ):
                    if ids:
                        what = "hostname" if member == "instanceId" else "name"
                        request = {member: self.rng.choice(ids), what: self._name("new")}
                        self._call(stack.account, name, request)

    def deployment(self) -> None:
        stack = self._stack()
        request = {
            "stackId": stack.id,
            "instanceIds": self._some(stack.instances),
            "layerIds": self._some(stack.layers),
        } | ({"appId": self.rng.choice(stack.apps)} if stack.apps else {})
        response = self._perhaps({"deploymentId": self._id()})
        self._call(stack.account, "CreateDeployment", request, response)

    def assign(self) -> None:
        stack = self._stack()
        if stack.instances and stack.layers:
            request = {
                "instanceId": self.rng.choice(stack.instances),
                "layerIds": [self.rng.choice(stack.layers)],
            }
            self._call(stack.account, "AssignInstance", request)

    def moving(self) -> None:
        stack = self._stack()
        ip = f"192.0.2.{self.rng.randrange(3)}"
        database = f"arn:aws:rds:{ENDPOINT}:{stack.account}:db:db{self.rng.randrange(2)}"
        cluster = f"arn:aws:ecs:{ENDPOINT}:{stack.account}:cluster/c"
        volume = f"volume-{self.rng.randrange(3)}"
        instance = {"instanceId": self.rng.choice(stack.instances)} if stack.instances else {}
        balancer = {"elasticLoadBalancerName": "lb", "layerId": "-"}
        if stack.layers:
            balancer["layerId"] = self.rng.choice(stack.layers)
        calls: list[tuple[str, Record, Record | None]] = [
            ("RegisterElasticIp", {"stackId": stack.id, "elasticIp": ip}, None),
            ("DeregisterElasticIp", {"elasticIp": ip}, None),
            ("AssociateElasticIp", {"elasticIp": ip} | instance, None),
            ("RegisterVolume", {"stackId": stack.id, "ec2VolumeId": f"vol-{volume}"},
             self._perhaps({"volumeId": volume})),
            ("AssignVolume", {"volumeId": volume} | instance, None),
            ("DeregisterVolume", {"volumeId": volume}, None),
            ("RegisterRdsDbInstance", {"stackId": stack.id, "rdsDbInstanceArn": database}, None),
            ("DescribeRdsDbInstances", {"stackId": stack.id, "rdsDbInstanceArns": [database]},
             None),
            ("DescribeEcsClusters", {"stackId": stack.id, "ecsClusterArns": [cluster]}, None),
            ("UpdateRdsDbInstance", {"rdsDbInstanceArn": database}, None),
            ("DeregisterRdsDbInstance", {"rdsDbInstanceArn": database}, None),
            ("RegisterEcsCluster", {"stackId": stack.id, "ecsClusterArn": cluster}, None),
            ("DeregisterEcsCluster", {"ecsClusterArn": cluster}, None),
            ("AttachElasticLoadBalancer", balancer, None),
        ]  # fmt: skip
        name, request, response = self.rng.choice(calls)
        self._call(stack.account, name, request, response)
        thing = {k: v for k, v in (request | (response or {})).items() if k in _MOVING}
        if name.startswith("Register") and thing:
            self.registered.append((stack.account, name.replace("R", "Der", 1), thing))

    def deregister(self) -> None:
        if self.registered:
            account, name, thing = self.rng.choice(self.registered)
            self._call(account, name, thing)

    def about_child(self) -> None:
        stack = self._stack()
        volume = f"volume-{self.rng.randrange(3)}"
        calls: list[tuple[str, Record]] = [
            *(("StopInstance", {"instanceId": one}) for one in stack.instances),
            *(("DescribeLayers", {"layerIds": [one]}) for one in stack.layers),
            *(("DescribeApps", {"appIds": [one]}) for one in stack.apps),
            ("UpdateVolume", {"volumeId": volume, "name": "x"}),
            ("DescribeElasticIps", {"ips": [f"192.0.2.{self.rng.randrange(3)}"]}),
        ]
        name, request = self.rng.choice(calls)
        failed = "AccessDenied" if self.rng.random() < 0.1 else None
        self._call(stack.account, name, request, errorCode=failed)

    def about_stack(self) -> None:
        stack = self._stack()
        self._call(stack.account, "DescribeStacks", {"stackIds": [stack.id]})

    def by_role(self) -> None:
        stack = self._stack()
        identity = {
            "type": "AssumedRole",
            "arn": f"{stack.role}/opsworks".replace(":iam:", ":sts:").replace(
                "role", "assumed-role"
            ),
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": stack.role}},
        }
        self._call(
            stack.account,
            "RunInstances",
            {"imageId": "ami-1"},
            eventSource="ec2.amazonaws.com",
            userIdentity=identity,
        )

    def account_event(self) -> None:
        account = self.rng.choice(ACCOUNTS)
        self._call(
            account,
            "PutAccountName",
            {"accountName": self._name("account")},
            eventSource="account.amazonaws.com",
        )

    # What they are made of

    def _call(
        self, account: str, name: str, request: Record, response: Record | None = None, **more: Any
    ) -> None:
        # Some calls within one second, some long after.
        self.now += self.rng.choice([0, 0, 1, 60, 86_400])
        self.records.append(
            {
                "eventVersion": "1.08",
                "userIdentity": {"type": "IAMUser", "userName": "ada"},
                "eventTime": _iso(self.now),
                "eventSource": "opsworks.amazonaws.com",
                "eventName": name,
                "awsRegion": ENDPOINT,
                "sourceIPAddress": "198.51.100.7",
                "requestParameters": request,
                "responseElements": response,
                "eventID": self._id(),
                "recipientAccountId": account,
            }
            | more
        )

    def _stack(self) -> _Stack:
        return self.rng.choice(self.stacks)

    def _new_stack(self, account: str, name: str) -> _Stack:
        stack = _Stack(self._id(), account, name, self._role(account))
        self.stacks.append(stack)
        return stack

    def _role(self, account: str) -> str:
        return f"arn:aws:iam::{account}:role/opsworks-{self.rng.randrange(4)}"

    def _stack_name(self) -> str:
        # Some names are used again.
        return f"stack-{self.rng.randrange(6)}"

    def _name(self, what: str) -> str:
        self.names += 1
        return f"{what}-{self.names}"

    def _id(self) -> str:
        number = f"{self.rng.getrandbits(128):032x}"
        return "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))

    def _some(self, ids: list[str]) -> list[str]:
        return self.rng.sample(ids, self.rng.randint(0, min(2, len(ids))))

    def _perhaps(self, response: Record) -> Record | None:
        return response if self.rng.random() < 0.6 else None


def files_of(records: list[Record], rng: random.Random) -> Iterator[list[Record]]:
    """Lay records into files as CloudTrail would: not by time, and some of them twice."""
    twice = records + rng.sample(records, len(records) // 5)
    rng.shuffle(twice)
    while twice:
        size = rng.randint(1, 6)
        yield twice[:size]
        twice = twice[size:]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
