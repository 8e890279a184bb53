from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_local import artifacts, trees
from opstrail_local.artifacts import Artifact
from opstrail_local.errors import LocalServersError

SHA = "ab" * 32


def test_a_lock_file_is_read_as_it_was_written() -> None:
    recorded = (
        Artifact("kafka", "org.x:broker:1.0:jar", 12, SHA),
        Artifact("registry", "io.y:app:2.0:tar.gz:all", 34, SHA),
    )

    assert recorded == artifacts.parse(artifacts.render(reversed(recorded)))


@pytest.mark.parametrize(
    ("coordinates", "path"),
    [
        ("org.x.y:broker_2.13:1.0:jar", "org/x/y/broker_2.13/1.0/broker_2.13-1.0.jar"),
        ("io.z:app:2.0:tar.gz:all", "io/z/app/2.0/app-2.0-all.tar.gz"),
    ],
)
def test_a_file_lies_where_maven_repositories_put_it(coordinates: str, path: str) -> None:
    assert path == Artifact("kafka", coordinates, 1, SHA).path


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kafka a:b:1:jar 12", "line 1: 4 fields"),
        (f"tomcat a:b:1:jar 12 {SHA}", "line 1: unknown tree tomcat"),
        (f"kafka a:b:jar 12 {SHA}", "line 1: bad coordinates"),
        (f"kafka a:b:1:jar many {SHA}", "line 1: bad size"),
        ("kafka a:b:1:jar 12 abab", "line 1: bad size or sha256"),
    ],
)
def test_a_line_that_is_not_understood_refuses_the_file(line: str, complaint: str) -> None:
    with pytest.raises(LocalServersError, match=complaint):
        artifacts.parse(line)


@given(st.permutations(["aa" * 32, "bb" * 32, "cc" * 32]))
def test_the_digest_depends_on_the_files_and_not_on_their_order(hashes: list[str]) -> None:
    files = [Artifact("kafka", "a:b:1:jar", 1, sha) for sha in hashes]

    assert artifacts.digest(sorted(files)) == artifacts.digest(files)
    assert artifacts.digest(files[:2]) != artifacts.digest(files)


def test_the_recorded_set_is_whole() -> None:
    recorded = artifacts.parse(Path(trees.LOCK_FILE).read_text())

    count = {tree: len(artifacts.of_tree(recorded, tree)) for tree in artifacts.TREES}
    assert {"kafka": 46, "opensearch": 1, "registry": 1} == count
