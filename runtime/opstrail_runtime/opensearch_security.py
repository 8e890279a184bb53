"""Transport security of OpenSearch clients: our settings as opensearch-py's arguments."""

from typing import Any

import botocore.session
from opensearchpy import Urllib3AWSV4SignerAuth

from opstrail_runtime.settings import OpenSearchSettings


def security_arguments(settings: OpenSearchSettings) -> dict[str, Any]:
    """Return what `OpenSearch(...)` is told. Certificates and host names are always checked.

    Where requests are signed, credentials come from where AWS's tools look for them.
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
                botocore.session.get_session().get_credentials(),
                settings.region or "",
                settings.aws_service,
            )
    return found
