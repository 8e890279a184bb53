"""Kafka: one broker that is its own controller, or several of them, in KRaft mode."""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from opstrail_local import versions
from opstrail_local.java import Java
from opstrail_local.server import NotReady, Plan, Server, expect

_HEAP = "256m"
_NODES_FOR_REPLICAS = 3
_ANSWER_WITHIN_S = 3.0
_MESSAGE_MAX_BYTES = 8 * 1024 * 1024

LOG4J = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
"""


def new_cluster_id() -> str:
    """A cluster id as Kafka makes them: 16 random bytes."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith(
        "-"
    ):
        pass  # Kafka's own generator avoids a leading dash too: the tools take it for an option
    return text


def properties(
    *, node: int, ports: Sequence[tuple[int, int]], data: Path, cluster_size: int
) -> str:
    """The server.properties of node 1..n; `ports` holds each node's broker and controller port."""
    broker, controller = ports[node - 1]
    voters = ",".join(f"{n}@127.0.0.1:{c}" for n, (_, c) in enumerate(ports, start=1))
    replicated = cluster_size >= _NODES_FOR_REPLICAS
    replicas, in_sync = (3, 2) if replicated else (1, 1)
    return f"""\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}

# as the installation that opstrail asks for
auto.create.topics.enable=false
message.max.bytes={_MESSAGE_MAX_BYTES}
replica.fetch.max.bytes={_MESSAGE_MAX_BYTES}
offsets.retention.minutes=129600
default.replication.factor={replicas}
min.insync.replicas={in_sync}

# small: one machine, few clients
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=2

# quick: groups form, brokers are missed, logs are compacted and deleted within seconds
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
"""


def plans(
    *, home: Path, java: Java, state: Path, ports: Sequence[tuple[int, int]], cluster_id: str
) -> list[Plan]:
    """One plan a node; a single node is called kafka, several are kafka-1, kafka-2."""
    size = len(ports)
    return [
        _plan(node, home=home, java=java, state=state, ports=ports, cluster_id=cluster_id)
        for node in range(1, size + 1)
    ]


def _plan(
    node: int,
    *,
    home: Path,
    java: Java,
    state: Path,
    ports: Sequence[tuple[int, int]],
    cluster_id: str,
) -> Plan:
    size = len(ports)
    name = "kafka" if size == 1 else f"kafka-{node}"
    folder = state / name
    config, log4j, data = (
        folder / "server.properties",
        folder / "log4j2.properties",
        folder / "data",
    )
    class_path = ("-cp", f"{home}/*")
    format_storage = (
        *java.command("kafka-format", "-Xmx96m", *class_path),
        *("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(config)),
    )
    flags = (f"-Xms{_HEAP}", f"-Xmx{_HEAP}", f"-Dlog4j2.configurationFile={log4j}")
    server = Server(
        name=name,
        kind="kafka",
        version=versions.KAFKA,
        address=f"127.0.0.1:{ports[node - 1][0]}",
        ports=ports[node - 1],
        argv=(*java.command(name, *flags, *class_path), "kafka.Kafka", str(config)),
        folder=str(folder),
        identity={"cluster": cluster_id, "nodes": str(size)},
    )
    return Plan(
        server,
        files={
            config: properties(node=node, ports=ports, data=data, cluster_size=size),
            log4j: LOG4J,
        },
        before=() if (data / "meta.properties").exists() else (format_storage,),
    )


def check(server: Server) -> None:
    """Return when it is our cluster, whole, and would create a topic on all nodes."""
    # Quiet: until the broker listens every second would log a line of connection refused.
    admin = AdminClient(
        {
            "bootstrap.servers": server.address,
            "socket.timeout.ms": int(_ANSWER_WITHIN_S * 1000),
            "log_level": 0,
        }
    )
    nodes = int(server.identity["nodes"])
    try:
        metadata = admin.list_topics(timeout=_ANSWER_WITHIN_S)
        expect("the cluster id", metadata.cluster_id, server.identity["cluster"])
        if len(metadata.brokers) != nodes:
            raise NotReady(f"{len(metadata.brokers)} of {nodes} Kafka nodes have joined")
        # An open port is not enough, and metadata may come before the controller is ready.
        topic = NewTopic("opstrail-local-ready", 1, min(nodes, _NODES_FOR_REPLICAS))
        for future in admin.create_topics([topic], validate_only=True, request_timeout=2).values():
            future.result(_ANSWER_WITHIN_S)
    except (KafkaException, TimeoutError) as error:
        raise NotReady(f"kafka at {server.address}: {error}") from error
