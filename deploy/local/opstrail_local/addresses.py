"""What a client is told: where the servers are (PURE)."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from opstrail_local.credentials import CREDENTIALS


@dataclass(frozen=True, slots=True)
class Addresses:
    """The servers of one instance; `versions` by kind of server."""

    kafka: str
    registry: str
    opensearch: str
    aws: str
    versions: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """The settings of every service and, for AWS clients, the stand-in's credentials."""
        return {
            "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "OPSTRAIL_REGISTRY__URL": self.registry,
            "OPSTRAIL_OPENSEARCH__URL": self.opensearch,
            "OPSTRAIL_S3__ENDPOINT_URL": self.aws,
            "OPSTRAIL_SQS__ENDPOINT_URL": self.aws,
            "OPSTRAIL_ORGANIZATIONS__ENDPOINT_URL": self.aws,
            **CREDENTIALS,
        }


def shell_lines(environment: Mapping[str, str]) -> str:
    """Assignments that a shell can source, whatever the values hold."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
