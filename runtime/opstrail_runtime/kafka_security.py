"""Transport security of Kafka clients: our settings as librdkafka's properties."""

from collections.abc import Callable
from functools import partial
from typing import Any

from opstrail_runtime.settings import KafkaSettings

TokenSource = Callable[[str], tuple[str, float]]


def security_properties(settings: KafkaSettings, msk_token: TokenSource) -> dict[str, Any]:
    """Return what librdkafka is told. Certificates and host names are always checked.

    `msk_token(region)` returns a token of MSK IAM and when it ends, in seconds since the epoch.
    """
    found: dict[str, Any] = {"security.protocol": settings.security_protocol}
    if settings.ca_file:
        found["ssl.ca.location"] = settings.ca_file
    if settings.certificate_file:
        found["ssl.certificate.location"] = settings.certificate_file
    if settings.key_file:
        found["ssl.key.location"] = settings.key_file
    if settings.key_password:
        found["ssl.key.password"] = settings.key_password.get_secret_value()
    match settings.sasl_mechanism:
        case None:
            pass
        case "AWS_MSK_IAM":
            found["sasl.mechanism"] = "OAUTHBEARER"
            found["oauth_cb"] = partial(_token, msk_token, settings.region or "")
        case mechanism:
            found["sasl.mechanism"] = mechanism
            found["sasl.username"] = settings.username
            found["sasl.password"] = (
                settings.password.get_secret_value() if settings.password else ""
            )
    return found | {name: value.get_secret_value() for name, value in settings.librdkafka.items()}


def _token(source: TokenSource, region: str, _config: str) -> tuple[str, float]:
    return source(region)
