"""Write values.yaml and docs/reference/helm-values.md: `python -m tools.docs.helm_values`.

Both are made from the chart's values.schema.json: what a value means, which it may have and which
it has by default is said there, once. A test fails while they are older than the schema.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "opstrail"
SCHEMA = CHART / "values.schema.json"
VALUES = CHART / "values.yaml"
PAGE = ROOT / "docs" / "reference" / "helm-values.md"
_UNSEEN = {"global"}
_HEAD = """\
# Values of the Helm chart

<!-- Made by `python -m tools.docs.helm_values` from deploy/helm/opstrail/values.schema.json. -->

At most five have no default that works: `kafka.bootstrapServers`, `registry.url`, `opensearch.url`,
`source.queueUrl` (or `source.bucketPrefix`) and `secrets.existingSecret`. An unknown value, a wrong
type and plain text to a host that is not named are refused by `helm` itself.
[Installing on Kubernetes](../how-to/kubernetes.md) tells what to do step by step.
"""

Node = Mapping[str, Any]


def schema() -> Node:
    """Return the schema of the values."""
    found: Node = json.loads(SCHEMA.read_text("utf-8"))
    return found


def default_of(node: Node) -> Any:
    """Return the default of a value; that of an object is made of its members'."""
    if "default" in node:
        return node["default"]
    return {name: default_of(each) for name, each in node["properties"].items()}


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Give every object and value with its path, in the schema's order."""
    for name, each in node["properties"].items():
        if path or name not in _UNSEEN:
            yield (*path, name), each
            if "properties" in each:
                yield from leaves(each, (*path, name))


def values() -> str:
    """Return values.yaml: every value with its default, and what it means before it."""
    lines = ["# Made by `python -m tools.docs.helm_values` from values.schema.json: edit that."]
    for path, node in leaves(schema()):
        indent = "  " * (len(path) - 1)
        if len(path) == 1:
            lines.append("")
        lines.append(f"{indent}# {node['description']}")
        if "properties" in node:
            lines.append(f"{indent}{path[-1]}:")
        else:
            shown = json.dumps(node["default"], ensure_ascii=False)
            lines.append(f"{indent}{path[-1]}: {shown}")
    text = "\n".join(lines) + "\n"
    if yaml.safe_load(text) != {
        name: each for name, each in default_of(schema()).items() if name not in _UNSEEN
    }:
        raise ValueError("values.yaml does not say what the schema's defaults are")
    return text


def page() -> str:
    """Return the reference page."""
    lines = [_HEAD]
    for path, node in leaves(schema()):
        if len(path) == 1 and "properties" in node:
            lines += [f"\n## {path[0]}\n", f"{node['description']}\n"]
            lines += ["| value | type | default | what it is |", "|---|---|---|---|"]
        elif len(path) > 1 and "properties" not in node:
            lines.append(_row(path, node))
    single = [(p, n) for p, n in leaves(schema()) if len(p) == 1 and "properties" not in n]
    lines += ["\n## Others\n", "| value | type | default | what it is |", "|---|---|---|---|"]
    lines += [_row(path, node) for path, node in single]
    return "\n".join(lines) + "\n"


def _row(path: tuple[str, ...], node: Node) -> str:
    shown = json.dumps(node["default"], ensure_ascii=False).replace("|", "\\|")
    return f"| `{'.'.join(path)}` | {_type(node)} | `{shown}` | {_cell(node['description'])} |"


def _type(node: Node) -> str:
    if "enum" in node:
        return ", ".join(f"`{each}`" for each in node["enum"] if each)
    if node["type"] == "array":
        return f"list of {node['items']['type']}s"
    low, high = node.get("minimum"), node.get("maximum")
    bounds = f" {'' if low is None else low} to {high}" if high is not None else ""
    return f"{node['type']}{bounds}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    VALUES.write_text(values(), "utf-8")
    PAGE.write_text(page(), "utf-8")
