"""The servers from published images, where a Docker engine answers.

Each container is the version of the local JVM branch, and is checked by the same code.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from opstrail_local import aws, kafka, opensearch, ports, registry, versions
from opstrail_local.instance import Addresses
from opstrail_local.server import NotReady, Server

MOTO = "5.2.5"
_READY_WITHIN_S = 180.0
_CONTROLLER_PORT = 9093
_NODE = "opstrail-test"


def engine_answers() -> bool:
    """Whether a Docker engine is there to be used."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False


class DockerServers:
    """One container a server, removed by `stop`."""

    def __init__(self) -> None:
        self._containers: list[DockerContainer] = []

    def start(self) -> Addresses:
        """Start all at once, then wait for each."""
        servers = (self._kafka(), self._registry(), self._opensearch(), self._aws())
        broker, schemas, search, stand_in = servers
        _await_ready(broker, kafka.check)
        _await_ready(schemas, registry.check)
        _await_ready(search, opensearch.check)
        _await_ready(search, opensearch.prove)
        _await_ready(stand_in, aws.check)
        return Addresses(
            kafka=broker.address,
            registry=schemas.address,
            opensearch=search.address,
            aws=stand_in.address,
            versions={server.kind: server.version for server in servers},
        )

    def stop(self) -> None:
        """Remove every container that was started."""
        for container in self._containers:
            container.stop()

    def _kafka(self) -> Server:
        # The advertised address must be known beforehand, so the port is chosen here.
        (port,) = ports.pick(1, wanted=(), rng=random.Random())
        cluster_id = kafka.new_cluster_id()
        text = kafka.properties(
            node=1,
            ports=((port, _CONTROLLER_PORT),),
            data=Path("/tmp/kafka"),
            cluster_size=1,
        )
        lines = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        # The image takes its properties as variables: message.max.bytes is KAFKA_MESSAGE_MAX_BYTES.
        variables = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in lines}
        variables["KAFKA_LISTENERS"] = (
            f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:{_CONTROLLER_PORT}"
        )
        container = DockerContainer(f"apache/kafka:{versions.KAFKA}").with_bind_ports(port, port)
        self._run(container.with_envs(CLUSTER_ID=cluster_id, **variables))
        identity = {"cluster": cluster_id, "nodes": "1"}
        return _server("kafka", versions.KAFKA, f"127.0.0.1:{port}", identity)

    def _registry(self) -> Server:
        url = self._exposed(f"apicurio/apicurio-registry:{versions.REGISTRY}", 8080)
        identity = {"version": versions.REGISTRY}
        return _server("registry", versions.REGISTRY, f"{url}/apis/ccompat/v7", identity)

    def _opensearch(self) -> Server:
        variables = {
            "cluster.name": _NODE,
            "node.name": _NODE,
            "discovery.type": "single-node",
            "DISABLE_SECURITY_PLUGIN": "true",
            "DISABLE_INSTALL_DEMO_CONFIG": "true",
            "OPENSEARCH_JAVA_OPTS": "-Xms512m -Xmx512m",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        image = f"opensearchproject/opensearch:{versions.OPENSEARCH}"
        url = self._exposed(image, 9200, **variables)
        identity = {"node": _NODE, "version": versions.OPENSEARCH}
        return _server("opensearch", versions.OPENSEARCH, url, identity)

    def _aws(self) -> Server:
        return _server("aws", MOTO, self._exposed(f"motoserver/moto:{MOTO}", 5000), {})

    def _exposed(self, image: str, port: int, **variables: str) -> str:
        container = DockerContainer(image).with_exposed_ports(port).with_envs(**variables)
        self._run(container)
        return f"http://{container.get_container_host_ip()}:{container.get_exposed_port(port)}"

    def _run(self, container: DockerContainer) -> None:
        self._containers.append(container)
        container.start()


_NOWHERE = Server("", "aws", "", "", (), (), "")


def _server(kind: str, version: str, address: str, identity: dict[str, str]) -> Server:
    # Only what the checks read: the container is what runs it.
    return replace(
        _NOWHERE,
        name=kind,
        kind=kind,  # type: ignore[arg-type]
        version=version,
        address=address,
        identity=identity,
    )


def _await_ready(server: Server, check: Callable[[Server], None]) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            check(server)
        except NotReady:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
