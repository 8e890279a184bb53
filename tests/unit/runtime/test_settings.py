"""Settings: what is refused and with which words; what is never shown."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from opstrail_runtime.kafka_security import security_properties
from opstrail_runtime.serve import shown
from opstrail_runtime.settings import (
    KafkaSettings,
    OpenSearchSettings,
    RegistrySettings,
    ServiceSettings,
    WrongSettings,
)

SECRET = "hunter2-never-shown"
KAFKA = "OPSTRAIL_KAFKA__"
WHOLE = {
    f"{KAFKA}BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "OPSTRAIL_REGISTRY__URL": "https://registry:8080/apis/ccompat/v7",
}
SCRAM = {"sasl_mechanism": "SCRAM-SHA-512", "username": "u", "password": SECRET}


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OPSTRAIL_")]:
        monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **environment: str) -> ServiceSettings:
    for name, value in {**WHOLE, **environment}.items():
        monkeypatch.setenv(name, value)
    return ServiceSettings()


def no_token(_region: str) -> tuple[str, float]:
    raise AssertionError("no token is asked for")


def properties(**settings: Any) -> dict[str, Any]:
    return security_properties(KafkaSettings(**settings), no_token)


def test_what_is_missing_is_named_with_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSTRAIL_REGISTRY__URL", "http://localhost/x")

    with pytest.raises(WrongSettings) as wrong:
        ServiceSettings()

    assert f"{KAFKA}BOOTSTRAP_SERVERS: is not set (Brokers to begin with" in str(wrong.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (f"{KAFKA}PASS_WORD", SECRET, f"no such setting: do you mean {KAFKA}PASSWORD?"),
        (f"{KAFKA}FILES_PARTITIONS", SECRET, f"{KAFKA}FILES_PARTITIONS: Input should be a valid"),
        (f"{KAFKA}LIBRDKAFKA", SECRET, "kafka"),
        (f"{KAFKA}BOOTSTRAP_SERVERS", "kafka.example:9092", "`security_protocol` to SSL"),
        (f"{KAFKA}USERNAME", "", ""),
        ("OPSTRAIL_REGISTRY__URL", f"https://u:{SECRET}@registry/", "no user or password"),
        ("OPSTRAIL_REGISTRY__URL", "http://registry.example/", '["registry.example"]'),
        ("OPSTRAIL_KAFK__PASSWORD", SECRET, f"no such section: do you mean {KAFKA}PASSWORD?"),
        ("OPSTRAIL_ZZZ__PASSWORD", SECRET, "OPSTRAIL_ZZZ__PASSWORD: there is no such section"),
        ("OPSTRAIL_STORE__KEEP_DAYS", "30", ""),  # another service's
        ("OPSTRAIL_FAILPOINT", "", ""),
        ("OPSTRAIL_SECRETS_DIR", "/no/such/folder", "/no/such/folder"),
    ],
)
def test_what_is_wrong_is_said_and_no_value_is_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    if not text:
        told(monkeypatch, **{name: value})
        return
    with pytest.raises(WrongSettings) as wrong:
        told(monkeypatch, **{name: value})

    assert text in str(wrong.value)
    assert SECRET not in str(wrong.value)
    assert SECRET not in repr(wrong.value.__cause__)


def test_secrets_come_from_files_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As Kubernetes mounts them: links into a folder whose name begins with two dots.
    data = tmp_path / "..data"
    data.mkdir()
    (data / "OPSTRAIL_KAFKA__PASSWORD").write_text(f"{SECRET}\n")
    (data / "OPSTRAIL_KAFKA__USERNAME").write_text("from-the-file")
    (data / "other").write_text("ignored")
    for path in data.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("OPSTRAIL_SECRETS_DIR", str(tmp_path))

    settings = told(monkeypatch, OPSTRAIL_KAFKA__USERNAME="from-the-environment")

    assert SecretStr(SECRET) == settings.kafka.password
    assert "from-the-environment" == settings.kafka.username


def test_a_file_of_no_section_is_named_beside_what_else_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "OPSTRAIL_KAFK__PASSWORD").write_text(SECRET)
    monkeypatch.setenv("OPSTRAIL_SECRETS_DIR", str(tmp_path))

    with pytest.raises(WrongSettings) as wrong:
        ServiceSettings()

    assert "no such section: do you mean OPSTRAIL_KAFKA__PASSWORD?" in str(wrong.value)
    assert "OPSTRAIL_REGISTRY__URL: is not set" in str(wrong.value)
    assert SECRET not in str(wrong.value)


def test_settings_are_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(
        monkeypatch,
        OPSTRAIL_KAFKA__PASSWORD=SECRET,
        OPSTRAIL_KAFKA__KEY_PASSWORD=SECRET,
        OPSTRAIL_KAFKA__LIBRDKAFKA=json.dumps({"sasl.oauthbearer.client.secret": SECRET}),
        OPSTRAIL_REGISTRY__USERNAME="u",
        OPSTRAIL_REGISTRY__PASSWORD=SECRET,
    )

    assert SECRET not in json.dumps(shown(settings))
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap_servers": "kafka:9092"},
        {"bootstrap_servers": "127.0.0.1:1,kafka:9092"},
        {"bootstrap_servers": "kafka:9092", "security_protocol": "SASL_PLAINTEXT", **SCRAM},
        {"bootstrap_servers": "kafka:9092", "librdkafka": {"security.protocol": "plaintext"}},
        {
            "bootstrap_servers": "kafka:9092",
            "security_protocol": "SSL",
            "librdkafka": {"enable.ssl.certificate.verification": "false"},
        },
        {
            "bootstrap_servers": "kafka:9092",
            "security_protocol": "SSL",
            "librdkafka": {"ssl.endpoint.identification.algorithm": "None"},
        },
    ],
)
def test_a_broker_is_not_spoken_to_unprotected_unless_allowed_by_name(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError, match="kafka would be spoken to without verified TLS"):
        KafkaSettings(**settings)

    KafkaSettings(**settings, plaintext_hosts=["kafka"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs `sasl_mechanism`"),
        (SCRAM, "`sasl_mechanism` needs `security_protocol` = SASL_SSL"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "username": "u"},
            "SCRAM-SHA-512 needs `username` and `password`",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM"}, "needs `region`"),
        ({"security_protocol": "SSL", "key_file": "k"}, "go together"),
    ],
)
def test_half_a_login_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        KafkaSettings(bootstrap_servers="localhost:1", **settings)


def test_tls_alone_checks_certificates_against_the_ca_that_is_named() -> None:
    assert {"security.protocol": "SSL", "ssl.ca.location": "ca.pem"} == properties(
        bootstrap_servers="kafka:1", security_protocol="SSL", ca_file="ca.pem"
    )


def test_scram_over_tls() -> None:
    assert {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": SECRET,
    } == properties(bootstrap_servers="kafka:1", security_protocol="SASL_SSL", **SCRAM)


def test_a_client_certificate() -> None:
    assert {
        "security.protocol": "SSL",
        "ssl.certificate.location": "c.pem",
        "ssl.key.location": "k.pem",
        "ssl.key.password": SECRET,
    } == properties(
        bootstrap_servers="kafka:1",
        security_protocol="SSL",
        certificate_file="c.pem",
        key_file="k.pem",
        key_password=SECRET,
    )


def test_msk_iam_asks_for_a_token_of_its_region_when_librdkafka_does() -> None:
    settings = KafkaSettings(
        bootstrap_servers="kafka:9098",
        security_protocol="SASL_SSL",
        sasl_mechanism="AWS_MSK_IAM",
        region="eu-west-1",
    )

    found = security_properties(settings, lambda region: (f"token of {region}", 12.5))

    assert ("SASL_SSL", "OAUTHBEARER") == (found["security.protocol"], found["sasl.mechanism"])
    assert ("token of eu-west-1", 12.5) == found["oauth_cb"]("")


def test_any_other_property_of_librdkafka_wins() -> None:
    assert {"security.protocol": "ssl", "group.protocol": "consumer"} == properties(
        bootstrap_servers="kafka:1",
        librdkafka={"security.protocol": "ssl", "group.protocol": "consumer"},
    )


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        ({}, "none"),
        ({"username": "u", "password": "p"}, "basic"),
        ({"certificate_file": "c", "key_file": "k"}, "certificate"),
        ({"region": "eu-west-1"}, "sigv4"),
        ({"region": "eu-west-1", "username": "u", "password": "p", "auth": "basic"}, "basic"),
        ({"region": "eu-west-1", "auth": "none"}, "none"),
    ],
)
def test_how_opensearch_is_logged_in_to(settings: dict[str, Any], login: str) -> None:
    assert login == OpenSearchSettings(url="https://o", **settings).login


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"username": "u"}, "go together"),
        ({"certificate_file": "c"}, "go together"),
        ({"region": "r", "username": "u", "password": "p"}, "say in `auth` which"),
        ({"auth": "sigv4"}, "lacks `region`"),
        ({"auth": "certificate", "region": "r"}, "lacks `certificate_file`"),
    ],
)
def test_half_a_login_to_opensearch_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        OpenSearchSettings(url="https://o", **settings)


def test_half_a_login_to_the_registry_is_refused() -> None:
    with pytest.raises(ValidationError, match="go together"):
        RegistrySettings(url="https://r", password="p")
