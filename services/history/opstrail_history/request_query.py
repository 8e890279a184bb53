"""A request's parameters as a question, and their description for OpenAPI (PURE)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from opstrail_history import times
from opstrail_history.filters import BY_NAME, FILTERS, LONGEST_VALUE, Filters, filters_of
from opstrail_history.free_text import LONGEST_TEXT_BYTES
from opstrail_history.refusals import BadQuery

TIME_AND_TEXT = ("since", "until", "q")
_LONGEST_TIME = 60


def question(
    pairs: Iterable[tuple[str, str]], *, now_ms: int, besides: Sequence[str] = ()
) -> Filters:
    """Return the question of a request. `besides` are parameters that are no filters.

    Raises BadQuery, also for a parameter that is not known: a typing error must not widen a search.
    """
    values: dict[str, list[str]] = {}
    single: dict[str, str] = {}
    for name, value in pairs:
        if name in BY_NAME:
            values.setdefault(name, []).append(value)
        elif name in TIME_AND_TEXT:
            if name in single:
                raise BadQuery(f"{name} is given twice", field=name)
            single[name] = value
        elif name not in besides:
            raise BadQuery(f"`{name[:50]}` is no parameter here", field=name[:50])
    return filters_of(
        values,
        since=single.get("since"),
        until=single.get("until"),
        text=single.get("q"),
        now_ms=now_ms,
    )


def check_known(pairs: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
    """Raise BadQuery for a parameter that is none of those that are known."""
    for name, _ in pairs:
        if name not in known:
            raise BadQuery(f"`{name[:50]}` is no parameter here", field=name[:50])


def whole_number(text: str | None, name: str, *, default: int, most: int) -> int:
    """Return a parameter as a number from 1 to `most`. Raises BadQuery."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most:  # noqa: PLR2004
        raise BadQuery(f"{name} is a number from 1 to {most}", field=name)
    return int(text)


def choice(text: str | None, name: str, choices: Sequence[str]) -> str:
    """Return a parameter that is one of some words, the first of them by default."""
    if text is None:
        return choices[0]
    if text not in choices:
        raise BadQuery(f"{name} is one of {', '.join(choices)}", field=name)
    return text


def link(pairs: Iterable[tuple[str, str]]) -> str:
    """Return pairs as the query of a link."""
    return urlencode(list(pairs))


def openapi_parameters(*more: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the filters, and more, as OpenAPI parameters."""
    described: list[dict[str, Any]] = [
        _parameter("since", f"From then on: {times.FORMS}.", _LONGEST_TIME),
        _parameter("until", "Until then; a day is meant whole.", _LONGEST_TIME),
        _parameter("q", 'Words and "phrases"; `-word`, `word*`, `stack:name`.', LONGEST_TEXT_BYTES),
    ]
    for one in FILTERS:
        text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE}
        if one.choices:
            text = {"type": "string", "enum": list(one.choices)}
        described.append(
            {
                "name": one.name,
                "in": "query",
                "description": f"{one.why} Several are alternatives; `!` before one excludes it.",
                "schema": {"type": "array", "items": text, "maxItems": 50},
                "style": "form",
                "explode": True,
            }
        )
    return [*described, *map(dict, more)]


def _parameter(name: str, why: str, longest: int) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": longest}
    return {"name": name, "in": "query", "description": why, "schema": schema}
