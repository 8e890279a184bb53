"""Settings from files: a folder whose files are named like variables, one value in each.

`OPSTRAIL_SECRETS_DIR` names the folder, as Kubernetes mounts a Secret. The environment wins over
a file. A file is read when the process starts: a rotated secret is taken up by a restart.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import EnvSettingsSource

SECRETS_DIR = "OPSTRAIL_SECRETS_DIR"
_PREFIX = "opstrail_"


class SecretFiles(EnvSettingsSource):
    """Reads the files as if they were variables. A folder that is not there is an error."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            path.name.lower(): path.read_text("utf-8").rstrip("\r\n") for path in secret_files()
        }


def secret_files() -> list[Path]:
    """Return the files that are named like variables. Raises OSError for a folder that is none."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return []
    # Kubernetes puts links to files there, and folders of its own that begin with two dots.
    return [
        path
        for path in sorted(Path(folder).iterdir())
        if path.name.lower().startswith(_PREFIX) and path.is_file()
    ]
