"""OpenSearch: the minimal distribution, as one node."""

from pathlib import Path

from opstrail_local import versions
from opstrail_local.java import Java
from opstrail_local.kafka import LOG4J
from opstrail_local.server import Plan, Server, ask, expect

_READY_INDEX = "opstrail-local-ready"

# OpenSearch refuses user id 0, which it learns by JNA. Without JNA it cannot ask, and works on:
# no other user and no namespace is needed, so it runs alike in any container (measured). It only
# loses the memory lock and the system call filter, which a server on loopback does without.
_WITHOUT_JNA = ("-Djna.nounpack=true", "-Djna.nosys=true")


def configuration(*, name: str, http: int, transport: int, folder: Path) -> str:
    """The opensearch.yml of a single node on loopback."""
    return f"""\
cluster.name: {name}
node.name: {name}
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
discovery.type: single-node
path.data: {folder}/data
path.logs: {folder}/logs
# A laptop's disk is often over 90 % full: indices would turn read-only.
cluster.routing.allocation.disk.threshold_enabled: false
"""


def plan(
    *, home: Path, java: Java, state: Path, ports: tuple[int, int], heap: str, node: str, root: bool
) -> Plan:
    """How it is run; `root` tells whether the process will have user id 0."""
    folder = state / "opensearch"
    http, transport = ports
    # The agent (the security manager's successor) is left out: 4 CPU seconds more at start. Its
    # bootstrap jar must be on the class path all the same.
    jars = [*sorted(home.glob("lib/*.jar")), *home.glob("agent/opensearch-agent-bootstrap*.jar")]
    flags = (
        f"-Xms{heap}",
        f"-Xmx{heap}",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={folder}/conf",
        "-Dopensearch.distribution.type=zip",
        "-Dopensearch.bundled_jdk=false",
        *(_WITHOUT_JNA if root else ()),
    )
    class_path = ("-cp", ":".join(map(str, jars)))
    server = Server(
        name="opensearch",
        kind="opensearch",
        version=versions.OPENSEARCH,
        address=f"http://127.0.0.1:{http}",
        ports=ports,
        argv=(
            *java.command("opensearch", *flags, *class_path),
            "org.opensearch.bootstrap.OpenSearch",
        ),
        folder=str(folder),
        identity={"node": node, "version": versions.OPENSEARCH},
    )
    return Plan(
        server,
        files={
            folder / "conf" / "opensearch.yml": configuration(
                name=node, http=http, transport=transport, folder=folder
            ),
            folder / "conf" / "log4j2.properties": LOG4J,
            folder / "tmp" / ".keep": "",
            folder / "logs" / ".keep": "",
        },
    )


def check(server: Server) -> None:
    """Return when it is our node, and every index has its primary shards."""
    answer = ask("GET", server.address)
    expect("the node name", answer["name"], server.identity["node"])
    expect("the version", answer["version"]["number"], server.identity["version"])
    ask("GET", f"{server.address}/_cluster/health?wait_for_status=yellow&timeout=3s")


def prove(server: Server) -> None:
    """Return when an index was created and a document read back: health alone has lied."""
    index = f"{server.address}/{_READY_INDEX}"
    # No replicas, so no health but green; a leftover of a killed start is taken over.
    ask("PUT", index, body={"settings": {"number_of_replicas": 0}}, ok=(200, 400))
    document = {"ready": True}
    ask("PUT", f"{index}/_doc/1", body=document, ok=(200, 201))
    expect("the document", ask("GET", f"{index}/_doc/1")["_source"], document)
    ask("DELETE", index)
