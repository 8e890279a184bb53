"""What is kept of stacks, layers, apps and instances: members of the API, never a secret (PURE).

Spelled as requests spell them; answers of `describe-stacks` begin the same names with a capital.
Never kept: customJson, keys, passwords.
"""

import re
from typing import Any, Final

from opstrail_enrich.redaction import shown

# What documents show of a stack; all else is a detail.
SHOWN_OF_STACK: Final = ("name", "region", "vpcId", "serviceRoleArn")
STACK_TEXTS: Final = (
    *SHOWN_OF_STACK, "defaultInstanceProfileArn", "defaultOs", "hostnameTheme",
    "defaultAvailabilityZone", "defaultSubnetId", "defaultSshKeyName", "defaultRootDeviceType",
    "agentVersion", "configurationManager.name", "configurationManager.version",
    "chefConfiguration.berkshelfVersion", "customCookbooksSource.type",
    "customCookbooksSource.url", "customCookbooksSource.revision", "attributes.Color",
)  # fmt: skip
STACK_FLAGS: Final = (
    "useCustomCookbooks", "useOpsworksSecurityGroups", "chefConfiguration.manageBerkshelf",
)  # fmt: skip
CHILD_TEXTS: Final = {
    "layer": ("name", "shortname"),
    "app": ("name", "shortname"),
    "instance": ("hostname",),
}
# `https://user:password@host`, and what signed URLs have behind a question mark.
_URL_WITH_SECRETS: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://.*[@?].*", re.DOTALL)


def kept_text(value: Any) -> str | None:
    """Return a text that is kept; None for a marker, a URL with secrets, and what is no text."""
    text = shown(value)
    return None if text is None or _URL_WITH_SECRETS.fullmatch(text) else text


def kept_flag(value: Any) -> str | None:
    """Return a flag as the text that it is kept as."""
    return ("true" if value else "false") if isinstance(value, bool) else None
