"""The schema registry: Apicurio, spoken to through its Confluent-compatible interface."""

from pathlib import Path

from opstrail_local import versions
from opstrail_local.java import Java
from opstrail_local.server import Plan, Server, ask, expect

_HEAP = "256m"
_COMPATIBLE = "/apis/ccompat/v7"


def plan(*, home: Path, java: Java, state: Path, ports: tuple[int, int]) -> Plan:
    """How it is run: schemas in a file, so that they outlive the process."""
    folder = state / "registry"
    http, management = ports
    flags = (
        f"-Xmx{_HEAP}",
        "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={http}",
        # Listens on every interface, port 9000, unless told.
        "-Dquarkus.management.host=127.0.0.1",
        f"-Dquarkus.management.port={management}",
        f"-Dapicurio.datasource.url=jdbc:h2:file:{folder}/schemas",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
    )
    server = Server(
        name="registry",
        kind="registry",
        version=versions.REGISTRY,
        address=f"http://127.0.0.1:{http}{_COMPATIBLE}",
        ports=ports,
        argv=(*java.command("registry", *flags), "-jar", f"{home}/quarkus-run.jar"),
        folder=str(folder),
        identity={"version": versions.REGISTRY},
    )
    return Plan(server, files={folder / "tmp" / ".keep": ""})


def check(server: Server) -> None:
    """Return when it answers as this version and can read its schemas."""
    root = server.address.removesuffix(_COMPATIBLE)
    info = ask("GET", f"{root}/apis/registry/v3/system/info")
    expect("the version", info["version"], server.identity["version"])
    ask("GET", f"{server.address}/subjects")
