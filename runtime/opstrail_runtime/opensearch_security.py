"""Transport security of OpenSearch clients: our settings as opensearch-py's arguments."""

from typing import Any

from opensearchpy import Urllib3AWSV4SignerAuth

from opstrail_runtime.settings import OpenSearchSettings


def security_arguments(settings: OpenSearchSettings, aws_credentials: object) -> dict[str, Any]:
    """Return what `OpenSearch(...)` is told. Certificates and host names are always checked.

    `aws_credentials` are botocore's; they are needed only where we log in by sigv4.
    """
    found: dict[str, Any] = {"verify_certs": True, "ca_certs": settings.ca_file}
    match settings.login:
        case "none":
            pass
        case "basic":
            password = settings.password.get_secret_value() if settings.password else ""
            found["http_auth"] = (settings.username, password)
        case "certificate":
            found["client_cert"] = settings.certificate_file
            found["client_key"] = settings.key_file
        case "sigv4":
            found["http_auth"] = Urllib3AWSV4SignerAuth(
                aws_credentials, settings.region or "", settings.aws_service
            )
    return found
