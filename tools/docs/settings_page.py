"""Write docs/reference/settings.md: `python -m tools.docs.settings_page`.

The page is made from the settings classes; a test fails while it is older than they are.
"""

import types
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from opstrail_runtime.wrong_settings import fields_of, variable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
PLACES = {
    "ingest": "opstrail_ingest.settings:Settings",
    "enrich": "opstrail_enrich.settings:Settings",
    "store": "opstrail_store.settings:Settings",
    "history": "opstrail_history.settings:Settings",
}
_HEAD = """\
# Settings

<!-- Made by `python -m tools.docs.settings_page` from the settings classes: edit those. -->

A setting is a variable of the environment, `OPSTRAIL_<SECTION>__<FIELD>`, or a file of that name in
the folder that `OPSTRAIL_SECRETS_DIR` names (as Kubernetes mounts a Secret); the variable wins.
Lists and maps are JSON. Settings are read when a process starts, checked, and logged with secrets
hidden; what is missing or wrong is said by name, with what to write. A secret is never printed.

Credentials of AWS, and its Region, are found where AWS's own tools find them.
"""


def settings() -> dict[str, tuple[type[BaseModel], tuple[str, ...], list[str]]]:
    """Return every setting by its variable: its class, its path, the roles that have it."""
    found: dict[str, tuple[type[BaseModel], tuple[str, ...], list[str]]] = {}
    for role, place in PLACES.items():
        module, name = place.split(":")
        if find_spec(module.split(".")[0]):
            model: type[BaseModel] = getattr(import_module(module), name)
            for section in model.model_fields:
                for field in fields_of(model, (section,)):
                    path = (section, field)
                    found.setdefault(variable(path), (model, path, []))[2].append(role)
    return found


def page() -> str:
    """Return the page."""
    lines = [_HEAD]
    by_section: dict[str, list[str]] = {}
    told = settings()
    for name, (_, path, _) in told.items():
        by_section.setdefault(path[0], []).append(name)
    for section, names in sorted(by_section.items()):
        model, _, roles = told[names[0]]
        about = (model.model_fields[section].annotation.__doc__ or "").strip().split("\n\n")[0]
        about = " ".join(about.split())
        lines += [f"\n## {section}\n", f"{about} Told to: {', '.join(roles)}.\n"]
        lines += ["| variable | type | default | what it is |", "|---|---|---|---|"]
        lines += [_row(name, *told[name][:2]) for name in names]
    return "\n".join(lines) + "\n"


def _row(name: str, model: type[BaseModel], path: tuple[str, ...]) -> str:
    field = fields_of(model, path[:-1])[path[-1]]
    text = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation)}{_bounds(field)} | {_default(field)} | {text} |"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in {Union, types.UnionType}:
        return _type(next(each for each in arguments if each is not type(None)))
    if origin in {list, tuple}:
        return f"list of {_type(arguments[0])}s" if arguments else "list"
    if origin is dict:
        return "map"
    names = {str: "text", int: "number", float: "number", bool: "true or false"}
    return names.get(
        annotation, "secret" if annotation is SecretStr else annotation.__name__.lower()
    )


def _bounds(field: FieldInfo) -> str:
    return "".join(_bound(each) for each in field.metadata)


def _bound(each: object) -> str:
    match each:
        case Ge(ge):
            return f", from {ge}"
        case Gt(gt):
            return f", over {gt}"
        case Le(le):
            return f", to {le}"
        case Lt(lt):
            return f", under {lt}"
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ("", [], (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
