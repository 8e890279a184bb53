"""Where the cache and the state of the local servers lie, by default."""

import os
from pathlib import Path


def default_cache() -> Path:
    """Downloads, unpacked servers and class archives: OPSTRAIL_CACHE, else the user's cache."""
    chosen = os.environ.get("OPSTRAIL_CACHE")
    return Path(chosen).absolute() if chosen else _user("XDG_CACHE_HOME", ".cache") / "opstrail"


def default_state() -> Path:
    """Data, logs and the record of what runs: the user's state folder."""
    return _user("XDG_STATE_HOME", ".local/state") / "opstrail" / "local"


def _user(variable: str, default: str) -> Path:
    # The XDG specification: a relative path in these variables is to be ignored.
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / default
