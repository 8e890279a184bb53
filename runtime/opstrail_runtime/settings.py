"""Settings that all services share, `OPSTRAIL_<SECTION>__<FIELD>`; secrets are never shown."""

import os
import re
import socket
from typing import Annotated, Any, Literal, Self

import click
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from opstrail_runtime.secret_files import SecretFiles, secret_files
from opstrail_runtime.transport import check_plaintext, check_url, hosts_of
from opstrail_runtime.wrong_settings import explained, strays, told

Seconds = Annotated[float, Field(ge=0)]
_TLS = ("SSL", "SASL_SSL")
_SASL = ("SASL_SSL", "SASL_PLAINTEXT")
# librdkafka's own ways to check less.
_CHECKS_LESS = {
    "enable.ssl.certificate.verification": "false",
    "ssl.endpoint.identification.algorithm": "none",
}


class WrongSettings(click.UsageError):
    """Settings are missing or wrong. The text names each, and what to write instead."""


class Section(BaseModel):
    """One section of settings: frozen, and a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Plaintext(Section):
    """A section of a server that may be spoken to without TLS where its host is named here."""

    plaintext_hosts: list[str] = Field(
        default_factory=list,
        description="Hosts that may be spoken to without verified TLS; this machine always may.",
    )


class Endpoint(Plaintext):
    """An AWS service, or what stands in for it."""

    endpoint_url: str | None = Field(None, description="Another endpoint than AWS's own.")

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if self.endpoint_url is not None:
            check_url(self.endpoint_url, self.plaintext_hosts)
        return self


class KafkaSettings(Plaintext):
    """The cluster that the topics live on."""

    bootstrap_servers: str = Field(description="Brokers to begin with: `host:port,host:port`.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How brokers are spoken to; the ones with SSL are TLS, verified."
    )
    ca_file: str | None = Field(
        None, description="CA certificates to trust, PEM; else the system's."
    )
    certificate_file: str | None = Field(
        None, description="Certificate by which we are known (mTLS), PEM."
    )
    key_file: str | None = Field(None, description="Its private key, PEM.")
    key_password: SecretStr | None = Field(None, description="Password of that key.")
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "AWS_MSK_IAM"] | None = (
        Field(None, description="How we log in; AWS_MSK_IAM takes AWS's own credentials.")
    )
    username: str | None = Field(None, description="User for SCRAM or PLAIN.")
    password: SecretStr | None = Field(None, description="Its password.")
    region: str | None = Field(None, description="Region of the cluster, for AWS_MSK_IAM.")
    topic_prefix: str = Field(
        "", pattern=r"^[a-z0-9.-]*$", description="Put before every topic and group name."
    )
    files_partitions: int = Field(24, ge=1, le=1000, description="Partitions of files topics.")
    events_partitions: int = Field(24, ge=1, le=1000, description="Partitions of events topics.")
    replication_factor: int = Field(
        -1, ge=-1, le=10, description="Replicas of topics that opstrail creates; -1: the broker's."
    )
    librdkafka: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Any other librdkafka property, as JSON; it wins over all that is set here.",
    )

    @model_validator(mode="after")
    def _protected(self) -> Self:
        protocol = self._told("security.protocol", self.security_protocol).upper()
        hosts = hosts_of(self.bootstrap_servers)
        if protocol not in _TLS:
            check_plaintext(
                hosts, self.plaintext_hosts, instead="set `security_protocol` to SSL or SASL_SSL"
            )
        for name, value in _CHECKS_LESS.items():
            if self._told(name, "").lower() == value:
                check_plaintext(
                    hosts, self.plaintext_hosts, instead=f"take {name} out of `librdkafka`"
                )
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        mechanism = self._told("sasl.mechanism", self.sasl_mechanism or "")
        mechanism = self._told("sasl.mechanisms", mechanism)
        protocol = self._told("security.protocol", self.security_protocol).upper()
        if mechanism and protocol not in _SASL:
            raise ValueError("`sasl_mechanism` needs `security_protocol` = SASL_SSL")
        if protocol in _SASL and not mechanism:
            raise ValueError(f"{protocol} needs `sasl_mechanism`, such as SCRAM-SHA-512")
        if self.sasl_mechanism == "AWS_MSK_IAM":
            if not self.region:
                raise ValueError("AWS_MSK_IAM needs `region`, that of the cluster")
        elif self.sasl_mechanism and not (self.username and self.password):
            raise ValueError(f"{self.sasl_mechanism} needs `username` and `password`")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("`certificate_file` and `key_file` go together")
        return self

    def _told(self, name: str, otherwise: str) -> str:
        found = self.librdkafka.get(name)
        return otherwise if found is None else found.get_secret_value()


class RegistrySettings(Plaintext):
    """The schema registry; any that speaks Confluent's REST interface."""

    url: str = Field(description="Base URL, with its path: `http://host:8080/apis/ccompat/v7`.")
    username: str | None = Field(None, description="User for basic authentication.")
    password: SecretStr | None = Field(None, description="Its password.")
    ca_file: str | None = Field(
        None, description="CA certificates to trust, PEM; else the system's."
    )
    certificate_file: str | None = Field(
        None, description="Certificate by which we are known (mTLS), PEM."
    )
    key_file: str | None = Field(None, description="Its private key, PEM.")

    @model_validator(mode="after")
    def _protected(self) -> Self:
        check_url(self.url, self.plaintext_hosts)
        _check_pairs(self.username, self.password, self.certificate_file, self.key_file)
        return self


class OpenSearchSettings(Plaintext):
    """The store."""

    url: str = Field(description="Base URL: `https://host:9200`.")
    auth: Literal["auto", "none", "basic", "certificate", "sigv4"] = Field(
        "auto",
        description="How we log in; auto: basic, certificate or sigv4, whichever is told below.",
    )
    username: str | None = Field(None, description="User for basic authentication.")
    password: SecretStr | None = Field(None, description="Its password.")
    ca_file: str | None = Field(
        None, description="CA certificates to trust, PEM; else the system's."
    )
    certificate_file: str | None = Field(
        None, description="Certificate by which we are known, PEM."
    )
    key_file: str | None = Field(None, description="Its private key, PEM.")
    region: str | None = Field(
        None, description="Region of Amazon OpenSearch Service: requests are signed (SigV4)."
    )
    aws_service: Literal["es"] = Field(
        "es", description="Name that signatures carry; OpenSearch Serverless is not supported."
    )
    timeout_s: float = Field(60, gt=0, le=600, description="How long one request may take.")

    @model_validator(mode="after")
    def _protected(self) -> Self:
        check_url(self.url, self.plaintext_hosts)
        _check_pairs(self.username, self.password, self.certificate_file, self.key_file)
        told = [
            name
            for name, there in (
                ("basic", self.username),
                ("certificate", self.certificate_file),
                ("sigv4", self.region),
            )
            if there
        ]
        if self.auth == "auto" and len(told) > 1:
            raise ValueError(f"{' and '.join(told)} are told: say in `auth` which one it is")
        if self.auth not in {"auto", "none", *told}:
            raise ValueError(f"`auth` = {self.auth} lacks {_NEEDS[self.auth]}")
        return self

    @property
    def login(self) -> Literal["none", "basic", "certificate", "sigv4"]:
        """Return how we log in, told or found out."""
        if self.auth != "auto":
            return self.auth
        if self.username:
            return "basic"
        if self.certificate_file:
            return "certificate"
        return "sigv4" if self.region else "none"


_NEEDS = {
    "basic": "`username` and `password`",
    "certificate": "`certificate_file` and `key_file`",
    "sigv4": "`region`",
}


def _check_pairs(
    username: str | None, password: SecretStr | None, certificate: str | None, key: str | None
) -> None:
    if bool(username) != bool(password):
        raise ValueError("`username` and `password` go together")
    if bool(certificate) != bool(key):
        raise ValueError("`certificate_file` and `key_file` go together")


class S3Settings(Endpoint):
    """Where trail files are read."""


class SqsSettings(Endpoint):
    """Where notifications are read."""


class SlotSettings(Section):
    """Which of its kind a process is: its transactional.id and group.instance.id, stable over
    restarts, so that a process that comes back takes over at once (1.5 s against 64 s, measured).
    """

    namespace: str = Field(
        "opstrail",
        pattern=r"^[a-zA-Z0-9.-]+$",
        description="Installation. A run against shared servers gets one of its own.",
    )
    number: int | None = Field(
        None, ge=0, description="Number of the slot; else the ordinal at the end of the host name."
    )

    def name_of(self, role: str) -> str:
        """Return the slot's name: `opstrail.split.3`."""
        return f"{self.namespace}.{role}.{self._number()}"

    def _number(self) -> int:
        if self.number is not None:
            return self.number
        ordinal = re.search(r"-(\d+)$", socket.gethostname())
        return int(ordinal[1]) if ordinal else 0


class TelemetrySettings(Section):
    """Logs, metrics and health."""

    host: str = Field("127.0.0.1", description="Address that /metrics, /livez and /readyz bind to.")
    port: int = Field(0, ge=0, le=65535, description="Their port; 0: none are served.")
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Lowest level."
    )
    log_format: str = Field(
        "auto", pattern="^(auto|json|text)$", description="auto: text on a terminal."
    )


class LoopSettings(Section):
    """How a service works through its records."""

    most_records: int = Field(2_000, ge=1, le=100_000, description="Records taken at once.")
    drain_s: float = Field(20, ge=0, le=600, description="Time to finish after a stop signal.")
    from_earliest: bool = Field(
        default=False, description="A new group on an old log may begin at its oldest record."
    )
    clear_crash_marks: bool = Field(
        default=False,
        description="Forget which inputs killed the process, after the service was mended.",
    )
    most_refused: int = Field(
        1_000,
        ge=0,
        description="Inputs in a row of a partition that may become dead letters before the "
        "service stops; 0: any number.",
    )


class Told(BaseSettings):
    """Settings from the environment and from secret files. Raises WrongSettings."""

    model_config = SettingsConfigDict(
        env_prefix="OPSTRAIL_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        lines: list[str] = []
        try:
            lines = strays([*os.environ, *(path.name for path in secret_files())])
            super().__init__(**values)
        except ValidationError as error:
            raise WrongSettings(told([*lines, *explained(type(self), error)])) from error
        except (SettingsError, OSError) as error:
            raise WrongSettings(f"settings: {error}") from error
        if lines:
            raise WrongSettings(told(lines))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment before the files."""
        files: EnvSettingsSource = SecretFiles(settings_cls)
        return init_settings, env_settings, files


class ServiceSettings(Told):
    """What every service is told."""

    kafka: KafkaSettings
    registry: RegistrySettings
    slot: SlotSettings = SlotSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    loop: LoopSettings = LoopSettings()
