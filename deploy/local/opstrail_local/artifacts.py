"""The recorded artifacts: what artifacts.lock says, parsed and written (PURE)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from opstrail_local.errors import LocalServersError

Tree = Literal["kafka", "opensearch", "registry"]

TREES: tuple[Tree, ...] = get_args(Tree)

HEADER = """\
# Every Java artifact that the local servers are made of: tree, coordinates
# (group:artifact:version:packaging[:classifier]), bytes, sha256.
# Made by `python -m opstrail_local.lock`; checked at every fetch.
"""

_FIELDS = 4
_COORDINATES = (4, 5)
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True, order=True)
class Artifact:
    """One published file, with the size and hash that it must have."""

    tree: Tree
    coordinates: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which a Maven repository publishes it."""
        _, artifact, version, packaging, *classifier = self.coordinates.split(":")
        return "-".join((artifact, version, *classifier)) + "." + packaging

    @property
    def path(self) -> str:
        """Where it lies in any Maven repository, relative to the repository's address."""
        group, artifact, version, *_ = self.coordinates.split(":")
        return "/".join((*group.split("."), artifact, version, self.file_name))


def parse(text: str) -> tuple[Artifact, ...]:
    """Read a lock file. A line that is not understood refuses the whole file."""
    lines = enumerate(text.splitlines(), start=1)
    return tuple(_parse_line(n, line) for n, line in lines if line and not line.startswith("#"))


def render(artifacts: Iterable[Artifact]) -> str:
    """Write a lock file: sorted, so that a new version is a small difference."""
    lines = (f"{a.tree} {a.coordinates} {a.size} {a.sha256}\n" for a in sorted(artifacts))
    return HEADER + "".join(lines)


def of_tree(artifacts: Iterable[Artifact], tree: Tree) -> tuple[Artifact, ...]:
    """The artifacts that make up one server."""
    return tuple(a for a in artifacts if a.tree == tree)


def digest(artifacts: Iterable[Artifact]) -> str:
    """Eight digits that change when any of the artifacts changes: part of the tree's name."""
    text = "\n".join(sorted(a.sha256 for a in artifacts))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _parse_line(number: int, line: str) -> Artifact:
    fields = line.split()
    if len(fields) != _FIELDS:
        raise LocalServersError(f"artifacts.lock line {number}: {_FIELDS} fields expected: {line}")
    tree, coordinates, size, sha256 = fields
    for known in TREES:
        if tree == known:
            break
    else:
        raise LocalServersError(f"artifacts.lock line {number}: unknown tree {tree}")
    if len(coordinates.split(":")) not in _COORDINATES:
        raise LocalServersError(f"artifacts.lock line {number}: bad coordinates {coordinates}")
    if not size.isdecimal() or len(sha256) != _SHA256_DIGITS:
        raise LocalServersError(f"artifacts.lock line {number}: bad size or sha256")
    return Artifact(known, coordinates, int(size), sha256)
