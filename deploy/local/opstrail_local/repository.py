"""Which Maven repository the artifacts come from. No address is written down here."""

import os


def remote_repositories() -> dict[str, str]:
    """OPSTRAIL_MAVEN_URL where set (a company's mirror), else what jgo knows as the default."""
    mirror = os.environ.get("OPSTRAIL_MAVEN_URL")
    if mirror:
        return {"mirror": mirror.rstrip("/")}
    # Imported late: jgo takes a third of a second, and a warm start asks for no repository.
    from jgo.maven import MavenContext

    return dict(MavenContext().remote_repos)


def addresses() -> list[str]:
    """The repositories to try, in order."""
    return [url.rstrip("/") for url in remote_repositories().values()]
