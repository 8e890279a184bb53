"""The documentation holds together: links lead somewhere, commands and values in it are real."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from opstrail_cli.main import opstrail
from tests.support.chart import VALUES, render
from tests.support.figures import Figure

TOP = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("changelog.d/*.md"))
    if path.is_file()
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(
    r"(?ms)^(?:<!-- checked: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$"
)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the docs' builder make them."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(slug)
    return found


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    for found in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
        yield found[1] or found[2]


@each_page
def test_links_lead_somewhere(page: Path, figure: Figure) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        is_page = bool(anchor) and target.suffix == ".md" and target.exists()
        said = anchors(target) if is_page else {anchor}
        if not target.exists() or anchor not in said:
            broken.append(link)

    if broken:
        figure(f"broken links in {page.name}", len(broken), "0")
    assert [] == broken


def blocks(page: Path, *kinds: str) -> Iterator[re.Match[str]]:
    for found in _BLOCK.finditer(page.read_text("utf-8")):
        if found["kind"] in kinds:
            yield found


@each_page
def test_commands_in_it_exist_with_their_options(page: Path) -> None:
    for block in blocks(page, "sh", "bash", "console"):
        text = block["text"].replace("\\\n", " ")
        for line in text.splitlines():
            for part in re.split(r"\s(?:\||&&|;)\s", line):
                words = part.strip().removeprefix("$ ")
                start = re.search(r"(?:^|-- *)opstrail (?P<rest>.*)", words)
                if start and "helm " not in words:
                    rest = start["rest"].replace("…", "x").replace("'", "")
                    check(shlex.split(rest, comments=True))


def check(words: list[str]) -> None:
    command: click.Command | None = opstrail
    used: list[str] = []
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        command = command.get_command(click.Context(command), word)
        used.append(word)
        if command is None:
            pytest.fail(f"there is no `opstrail {' '.join(used)}`")
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words[len(used) :]:
        option = word.partition("=")[0]
        if option.startswith("--"):
            assert option in known | {"--help"}, f"`opstrail {' '.join(used)}` has no {option}"


@each_page
def test_data_in_it_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block["text"])
    for block in blocks(page, "yaml"):
        content = yaml.safe_load(block["text"])
        if block["file"]:
            assert yaml.safe_load((TOP / block["file"]).read_text()) == content


@each_page
def test_values_of_the_chart_that_it_names_exist(page: Path) -> None:
    if page.name not in {"kubernetes.md", "msk.md", "security.md", "sizing.md", "runbook.md"}:
        return
    schema = json.loads((TOP / "deploy/helm/opstrail/values.schema.json").read_text())
    for named in re.findall(r"`([a-z][A-Za-z]+(?:\.[A-Za-z]+)+)(?::[^`]*)?`", page.read_text()):
        node = schema
        path = named.split(".")
        if path[0] not in schema["properties"]:
            continue  # a topic, a host
        if path[-1] in {"crt", "key", "yaml"}:
            continue  # a key of a Secret, a file
        for part in path:
            assert part in node.get("properties", {}), f"{page.name}: no value {named}"
            node = node["properties"][part]


def test_the_values_of_the_installation_page_are_enough() -> None:
    (block,) = [b for b in blocks(TOP / "docs/how-to/kubernetes.md", "yaml") if b["file"]]

    assert (TOP / str(block["file"])) in VALUES
    assert render(TOP / str(block["file"])).refusal == ""


def test_the_policy_of_the_installation_page_names_what_the_code_asks_for() -> None:
    page = TOP / "docs/how-to/kubernetes.md"
    (policy,) = [json.loads(b["text"]) for b in blocks(page, "json") if "s3:GetObject" in b["text"]]
    granted = {
        action
        for statement in policy["Statement"]
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }
    code = (TOP / "cli/opstrail_cli/checkup.py").read_text()

    assert set(re.findall(r'"((?:s3|sqs|kms):\w+)"', code)) == granted


def test_every_page_is_in_the_navigation() -> None:
    text = (TOP / "zensical.toml").read_text()
    named = set(re.findall(r'"([^"]+\.md)"', text))
    there = {
        str(path.relative_to(TOP / "docs"))
        for path in (TOP / "docs").rglob("*.md")
        if "adr" not in path.parts
    }

    assert there | {"adr/README.md"} == named
