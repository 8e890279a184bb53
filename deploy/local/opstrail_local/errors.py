"""What can go wrong while servers are brought up, for people to read."""


class LocalServersError(Exception):
    """The local servers cannot be had or started; the message says why and what to do."""


class HashMismatch(LocalServersError):
    """A fetched file is not the recorded one. It was thrown away; nothing was started from it."""

    def __init__(self, name: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"{name} is not the file on record.\n"
            f"  recorded sha256 {expected}\n"
            f"  fetched  sha256 {actual}\n"
            "The fetched copy was deleted. Run the command again; if the hashes differ again, the "
            "repository (or OPSTRAIL_MAVEN_URL) serves another file: do not use it, and compare "
            "with what `python -m opstrail_local.lock` resolves before you record a new hash."
        )
