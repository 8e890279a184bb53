"""Rules of the house that no linter has: clients, names of files, what a commit may not name."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

TOP = Path(__file__).parents[2]
CLIENTS = re.compile(
    r"^((boto3|session)\.(client|resource)|boto3\.(Session|session\.Session)"
    r"|(\w+\.)*(AdminClient|AvroConsumer|AvroProducer|Consumer|DeserializingConsumer|Producer"
    r"|SchemaRegistryClient|SerializingProducer|AsyncOpenSearch|OpenSearch))$"
)
# deploy/local is no service: it asks the servers that it starts whether they are there.
WITH_CLIENTS = ("cli", "runtime", "schemas", "services")
VAGUE = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

# Host and suffix apart, so that this file does not name what it looks for.
REGISTRIES = [
    ".".join(host)
    for host in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1", "maven"),
        ("repo", "maven"),
        ("registry", "npmjs"),
        ("deb", "debian", "org"),
        ("crates", "io"),
        ("proxy", "golang"),
    )
]
HOMES = [
    f"/{top}/{rest}"
    for top, rest in (
        ("root", ""),
        ("home", "[a-z]"),
        ("Users", "[A-Za-z]"),
        ("work", "(main|shared|tmp)"),
    )
]
UNWANTED = re.compile("|".join([*map(re.escape, REGISTRIES), *HOMES]))


def committed() -> list[Path]:
    """Return the files that git holds or would take, or all there are where git is not."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached"], cwd=TOP, capture_output=True, check=True, text=True
    )
    paths = (TOP / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_clients_are_built_in_wiring_only() -> None:
    built = [
        f"{path.relative_to(TOP)}:{node.lineno} {ast.unparse(node.func)}"
        for folder in WITH_CLIENTS
        for path in sorted((TOP / folder).rglob("*.py"))
        if path.name != "wiring.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and CLIENTS.match(ast.unparse(node.func))
    ]

    assert [] == built


def test_clients_of_opensearch_take_their_security_from_one_place() -> None:
    """TLS, logins and signatures are shown to work there; a client of its own would have none."""
    open_to_all = [
        f"{path.relative_to(TOP)}:{node.lineno}"
        for folder in WITH_CLIENTS
        for path in sorted((TOP / folder).rglob("wiring.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("OpenSearch")
        and "**security_arguments(settings)" not in ast.unparse(node)
    ]

    assert [] == open_to_all


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = [str(p.relative_to(TOP)) for p in committed() if VAGUE & set(p.stem.split("_"))]

    assert [] == vague


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    named = []
    for path in committed():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if found := UNWANTED.search(line):
                named.append(f"{path.relative_to(TOP)}:{number} {found[0]}")

    assert [] == named


def test_both_distributions_have_one_version_and_demand_it_of_each_other() -> None:
    opstrail = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    schemas = tomllib.loads((TOP / "schemas" / "pyproject.toml").read_text())["project"]

    assert opstrail["version"] == schemas["version"]
    assert f"opstrail-schemas=={schemas['version']}" in opstrail["dependencies"]
