"""S3 and SQS in this process: moto's server in a thread. Kafka is a fake here."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """Address of a stand-in for S3 and SQS."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(aws_credentials: dict[str, str]) -> None:
    """Let clients find credentials."""
