"""Write the generated parts of hand-written pages: `python -m tools.docs.generated_parts`.

A part stands between `<!-- made: NAME … -->` and `<!-- made: end -->`. The table of topics in the
README comes from the topic files, the file map in docs/architecture.md from the first lines of the
modules' docstrings. A test fails while a part is older than what it is made from.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from opstrail_runtime.acls import Role, acls
from opstrail_schemas.topics import Topic, all_topics

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "schemas/opstrail_schemas",
    "runtime/opstrail_runtime",
    "services/ingest/opstrail_ingest",
    "services/enrich/opstrail_enrich",
    "services/store/opstrail_store",
    "services/history/opstrail_history",
    "cli/opstrail_cli",
    "cli/opstrail_cli/sample",
    "deploy/local/opstrail_local",
)
_PURE = "(PURE)"
_PART = re.compile(
    r"(?P<begin><!-- made: (?P<name>[a-z-]+)[^>]*-->\n).*?(?P<end><!-- made: end -->)", re.DOTALL
)


def topics_table() -> str:
    """Return the README's table of topics."""
    rows = [
        f"| `{topic.name}` | `{topic.schema.rpartition('.')[2]}` | {_kept(topic)} "
        f"| {_first_sentence(topic.why)} |"
        for topic in all_topics()
    ]
    return "\n".join(["| topic | value | kept | what it is for |", "|---|---|---|---|", *rows])


def file_map() -> str:
    """Return a table for each package: its modules and the first lines of their docstrings."""
    return "\n\n".join("\n".join(_package(ROOT / package)) for package in PACKAGES)


def rights_table() -> str:
    """Return who may do what in Kafka, a row for each name."""
    rows: dict[tuple[str, str], dict[Role, str]] = {}
    for role in Role:
        for acl in acls(role):
            name = f"`{acl.name}{'*' if acl.prefixed else ''}`"
            rows.setdefault((acl.kind.value, name), {})[role] = _short(acl.operations)
    head = ["kind", "name", *Role]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (kind, name), by_role in sorted(rows.items()):
        cells = [kind, name, *(by_role.get(role, "") for role in Role)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(operations: tuple[str, ...]) -> str:
    implied = {"Describe"} if {"Read", "Write"} & set(operations) else set()
    return ", ".join(each for each in operations if each not in implied)


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "README.md": {"topics": topics_table},
    ROOT / "docs" / "architecture.md": {"file-map": file_map},
    ROOT / "docs" / "security.md": {"rights": rights_table},
}


def with_parts(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return a page's text with its parts made anew."""
    return _PART.sub(
        lambda found: f"{found['begin']}{parts[found['name']]()}\n{found['end']}", text
    )


def _kept(topic: Topic) -> str:
    compacted = ["newest of a key"] if "compact" in topic.cleanup else []
    aged = [f"{topic.retention_days} days"] if "delete" in topic.cleanup else []
    return ", ".join([*compacted, *aged])


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]


def _package(folder: Path) -> Iterator[str]:
    yield f"**`{folder.relative_to(ROOT)}/`**: {_first_line(folder / '__init__.py')}"
    yield ""
    yield "| file | pure | what is in it |"
    yield "|---|---|---|"
    for path in sorted(folder.glob("*.py")):
        if path.stem == "__init__":
            continue
        line = _first_line(path)
        pure = "yes" if line.endswith(_PURE) else ""
        words = line.removesuffix(_PURE).strip().replace("|", "\\|")
        yield f"| `{path.name}` | {pure} | {words} |"


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n", maxsplit=1)[0]


if __name__ == "__main__":
    for page, parts in PARTS.items():
        page.write_text(with_parts(page.read_text("utf-8"), parts), "utf-8")
