"""Keys of files in a folder (PURE)."""

_LAYOUT = "AWSLogs/"


def local_key(path: str, source: str) -> str:
    """Return a file's key: its path from the last `AWSLogs/` on, else relative to SOURCE.

    So a copy of a bucket has the bucket's own keys, wherever it lies and from wherever in it one
    starts: the account in them counts.
    """
    _, found, below = f"/{path}".rpartition(f"/{_LAYOUT}")
    if found:
        return _LAYOUT + below
    folder = source.rstrip("/") + "/"
    return path.removeprefix(folder) if path.startswith(folder) else path.rpartition("/")[2]
