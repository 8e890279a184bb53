"""The stand-in for S3 and SQS: moto, in memory. What it holds ends with its process."""

import sys
from importlib.metadata import version
from pathlib import Path

from opstrail_local.server import Plan, Server, ask


def plan(*, state: Path, port: int) -> Plan:
    """How it is run: by the Python that runs us."""
    server = Server(
        name="aws",
        kind="aws",
        version=version("moto"),
        address=f"http://127.0.0.1:{port}",
        ports=(port,),
        argv=(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
        folder=str(state / "aws"),
    )
    return Plan(server, files={})


def check(server: Server) -> None:
    """Return when it answers as moto does."""
    ask("GET", f"{server.address}/moto-api/")
