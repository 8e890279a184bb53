"""What is wrong with settings, in lines that name each and say what to write (PURE).

Never a value: the wrong one may be a secret in the wrong place.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from types import UnionType
from typing import Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_PREFIX = "OPSTRAIL_"
# Of all services: one environment may be given to each of them.
SECTIONS = frozenset(
    {
        *("kafka", "registry", "opensearch", "s3", "sqs", "organizations"),
        *("discover", "split", "enrich", "store", "history"),
        *("objects", "slot", "loop", "telemetry"),
    }
)


def variable(path: tuple[str, ...]) -> str:
    """Return the variable of a setting: `("kafka", "username")` is OPSTRAIL_KAFKA__USERNAME."""
    return _PREFIX + "__".join(path).upper()


def strays(names: Iterable[str]) -> list[str]:
    """Return a line for each variable of ours whose section no service has."""
    lines = []
    for name in sorted({name.upper() for name in names}):
        section, nested, field = name.removeprefix(_PREFIX).lower().partition("__")
        if name.startswith(_PREFIX) and nested and section not in SECTIONS:
            near = get_close_matches(section, SECTIONS, n=1)
            meant = f": do you mean {variable((near[0], field))}?" if near else ""
            lines.append(f"{name}: there is no such section{meant}")
    return lines


def told(lines: Iterable[str]) -> str:
    """Return lines as one text."""
    return "settings:\n" + "\n".join(f"  {line}" for line in lines)


def explained(model: type[BaseModel], error: ValidationError) -> list[str]:
    """Return a line for each setting that is wrong."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [_line(model, _names(each["loc"]), each["type"], each["msg"]) for each in found]
    return list(dict.fromkeys(lines))


def fields_of(model: type[BaseModel], path: tuple[str, ...]) -> dict[str, FieldInfo]:
    """Return the fields of the section that a path leads to; none where it leads nowhere."""
    for name in path:
        section = _section(model.model_fields.get(name))
        if section is None:
            return {}
        model = section
    return dict(model.model_fields)


def _section(field: FieldInfo | None) -> type[BaseModel] | None:
    if field is None:
        return None
    annotation = field.annotation
    choices = (
        get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    )
    return next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _names(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in location)


def _line(model: type[BaseModel], path: tuple[str, ...], kind: str, message: str) -> str:
    name = variable(path)
    text = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        near = get_close_matches(path[-1].lower(), fields_of(model, path[:-1]), n=1)
        meant = f": do you mean {variable((*path[:-1], near[0]))}?" if near else ""
        return f"{name}: there is no such setting{meant}"
    field = fields_of(model, path[:-1]).get(path[-1]) if path else None
    about = f" ({field.description})" if field is not None and field.description else ""
    if kind == "missing":
        if field is not None and (section := _section(field)):
            needed = [n for n, each in section.model_fields.items() if each.is_required()]
            return "; ".join(_line(model, (*path, each), "missing", message) for each in needed)
        return f"{name}: is not set{about}"
    return f"{name}: {text}{about}"
