"""Modules marked (PURE) decide only: the linter knows each of them, and none asks for the time."""

import ast
import configparser
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGES = [
    path.parent
    for folder in ("cli", "deploy/local", "runtime", "schemas", "services")
    for path in sorted((TOP / folder).rglob("opstrail_*/__init__.py"))
]

# What reaches outside without any import that import-linter could see.
IMPURE_CALLS = {"date.today", "datetime.now", "datetime.today", "datetime.utcnow", "input", "open"}
IMPURE_CALLS |= {"print", "Console", "Path.cwd", "Path.home", "uuid.uuid1", "uuid.uuid4"}
# random.Random is passed in; the module-wide generator is not.
IMPURE_CALLS |= {f"random.{name}" for name in ("choice", "randint", "random", "sample", "uniform")}


@functools.cache
def pure_modules() -> dict[str, ast.Module]:
    found = {}
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            tree = ast.parse(path.read_text(), str(path))
            docstring = ast.get_docstring(tree) or ""
            if "(PURE)" in docstring.partition("\n")[0]:
                parts = path.relative_to(package.parent).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = tree
    return found


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ".".join(ast.unparse(node.func).split(".")[-2:])


def test_the_import_linter_knows_every_module_marked_pure() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(TOP / ".importlinter")
    listed = contracts["importlinter:contract:pure"]["source_modules"].split()

    marked = sorted(pure_modules())

    assert marked == listed, "the right list for .importlinter is:\n    " + "\n    ".join(marked)


@pytest.mark.parametrize("name", sorted(pure_modules()))
def test_a_pure_module_asks_neither_clock_nor_disk_nor_terminal(name: str) -> None:
    impure = [(line, call) for line, call in calls(pure_modules()[name]) if call in IMPURE_CALLS]

    assert [] == impure
