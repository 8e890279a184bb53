"""The archive as files in a folder."""

from pathlib import Path

from opstrail_cli.sample.archive import Archive


def write(contents: Archive, folder: Path) -> tuple[Path, Path]:
    """Write files to `FOLDER/trails`, facts to `FOLDER/facts`; return the two.

    Whatever else lies in the two is left there, so take an empty folder.
    """
    trails, facts = folder / "trails", folder / "facts"
    for file in contents.files:
        _write(trails / file.path, file.body)
    for name, text in contents.facts.items():
        _write(facts / name, text.encode())
    return trails, facts


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
