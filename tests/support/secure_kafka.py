"""A broker of the test's own with TLS, SCRAM, client certificates, OAUTHBEARER and ACLs.

Whoever is not told otherwise may do nothing; `admin` may do all. It runs from the same published
artifacts as the local servers.
"""

import os
import random
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from opstrail_local import java, ports, trees
from opstrail_local.kafka import LOG4J, new_cluster_id, properties
from opstrail_local.places import default_cache
from opstrail_local.progress import stderr_console
from opstrail_runtime.acls import Acl, Kind
from opstrail_runtime.settings import KafkaSettings
from opstrail_runtime.wiring import new_admin
from tests.support.certificates import Authority

ADMIN, ADMIN_PASSWORD = "admin", "admin-secret"
READY_WITHIN_S = 120.0
_RESOURCES = {
    Kind.TOPIC: ResourceType.TOPIC,
    Kind.GROUP: ResourceType.GROUP,
    Kind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


@dataclass(frozen=True, slots=True)
class SecureKafka:
    """Where the broker listens, and what its clients need."""

    scram: str
    mtls: str
    authority: Authority

    def admin(self) -> AdminClient:
        """Return a client that may do all."""
        return new_admin(self.settings(ADMIN, ADMIN_PASSWORD))

    def settings(self, user: str, password: str, **more: object) -> KafkaSettings:
        """Return the settings of a user."""
        return KafkaSettings.model_validate(
            {
                "bootstrap_servers": self.scram,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "username": user,
                "password": password,
                "ca_file": str(self.authority.ca),
                **more,
            }
        )

    def environment(self, user: str, password: str) -> dict[str, str]:
        """Return the same for a process."""
        return {
            "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": self.scram,
            "OPSTRAIL_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "OPSTRAIL_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "OPSTRAIL_KAFKA__USERNAME": user,
            "OPSTRAIL_KAFKA__PASSWORD": password,
            "OPSTRAIL_KAFKA__CA_FILE": str(self.authority.ca),
        }

    def add_user(self, user: str, password: str) -> None:
        """Create a user of SCRAM."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        admin = self.admin()  # kept: a client that is let go takes its answers with it
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result(30)

    def allow(
        self, user: str, acls: Sequence[Acl], *, topic_prefix: str, slot_namespace: str
    ) -> None:
        """Give a user these rights."""
        bindings = [
            AclBinding(
                _RESOURCES[acl.kind],
                acl.full(topic_prefix=topic_prefix, slot_namespace=slot_namespace),
                ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                _OPERATIONS[operation],
                AclPermissionType.ALLOW,
            )
            for acl in acls
            for operation in acl.operations
        ]
        admin = self.admin()
        for future in admin.create_acls(bindings).values():
            future.result(30)


@contextmanager
def secure_kafka(folder: Path) -> Iterator[SecureKafka]:
    """Start the broker, and end it with the block."""
    authority = Authority(folder / "certificates")
    certificate, key = authority.issue("broker")
    keystore = folder / "keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    listening = ports.pick(3, wanted=(), rng=random.Random())
    config, log4j = folder / "server.properties", folder / "log4j2.properties"
    log4j.write_text(LOG4J)
    config.write_text(_properties(listening, folder / "data", keystore, authority.ca))
    home = trees.ensure(default_cache(), stderr_console()).kafka
    runtime = java.with_archives(java.find(os.environ), default_cache())
    on_path = ("-cp", f"{home}/*")
    subprocess.run(
        [
            *runtime.command("kafka-format", "-Xmx96m", *on_path),
            *("kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", str(config)),
            "--add-scram",
            f"SCRAM-SHA-512=[name={ADMIN},password={ADMIN_PASSWORD}]",
        ],
        env=java.environment(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    flags = ("-Xms256m", "-Xmx256m", f"-Dlog4j2.configurationFile={log4j}")
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*runtime.command("kafka", *flags, *on_path), "kafka.Kafka", str(config)],
            env=java.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        found = SecureKafka(f"127.0.0.1:{listening[0]}", f"127.0.0.1:{listening[1]}", authority)
        _await(found, process, folder / "server.log")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(found: SecureKafka, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            found.admin().list_topics(timeout=5)
        except KafkaException as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"no broker: {error}\n{log.read_text()[-4000:]}") from error
        else:
            return


def _properties(listening: Sequence[int], data: Path, keystore: Path, ca: Path) -> str:
    scram, mtls, controller = listening
    plain = properties(node=1, ports=[(scram, controller)], data=data, cluster_size=1)
    listeners = {
        "listeners": f"SCRAM://127.0.0.1:{scram},MTLS://127.0.0.1:{mtls},"
        f"CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"SCRAM://127.0.0.1:{scram},MTLS://127.0.0.1:{mtls}",
        "listener.security.protocol.map": "CONTROLLER:SSL,SCRAM:SASL_SSL,MTLS:SSL",
        "inter.broker.listener.name": "MTLS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.scram.oauthbearer.sasl.jaas.config": (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{ADMIN};User:CN=broker",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }
    return _with(plain, listeners)


def _with(text: str, changes: Mapping[str, str]) -> str:
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in changes]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in changes.items())]) + "\n"
