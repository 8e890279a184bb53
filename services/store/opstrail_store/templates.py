"""The index templates, and what they remember of the layout (PURE)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opstrail_store.index_name import IndexNames, Period
from opstrail_store.mapping import (
    DEAD_LETTER_FIELDS,
    EVENT_FIELDS,
    FILE_FIELDS,
    MAPPING_VERSION,
    mapping,
)

# Above the priority that people give to templates of their own for everything.
_PRIORITY = 500
# Fields, objects and aliases together are about 140; nothing may add more.
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Layout:
    """How events are laid out: kept in the events template, so that all processes agree.

    `horizon_ms` is the oldest event time that retention left open, `horizon_at_ms` when it said so.
    """

    period: Period = "month"
    shards: int = 1
    horizon_ms: int | None = None
    horizon_at_ms: int | None = None


def layout_of(template: Mapping[str, Any]) -> Layout:
    """Return the layout that an events template remembers."""
    ours = template["_meta"]["opstrail"]
    era = ours["eras"][-1]
    return Layout(era["period"], era["shards"], ours["horizon"], ours.get("horizonAt"))


def with_horizon(template: Mapping[str, Any], horizon_ms: int, at_ms: int) -> dict[str, Any]:
    """Return an events template that remembers another horizon, and is else as it is."""
    ours = {**template["_meta"]["opstrail"], "horizon": horizon_ms, "horizonAt": at_ms}
    return {**template, "_meta": {**template["_meta"], "opstrail": ours}}


def mapping_version_of(mapped: Mapping[str, Any]) -> int:
    """Return our version of a template or a mapping; 0 when it is not ours."""
    version: int = mapped.get("_meta", {}).get("opstrail", {}).get("mappingVersion", 0)
    return version


def templates(names: IndexNames, layout: Layout, *, replicas: str) -> dict[str, dict[str, Any]]:
    """Return the index templates by name."""
    ours = {
        "mappingVersion": MAPPING_VERSION,
        # One era until now; a change of period or shards will add one with the date it begins.
        "eras": [{"from": None, "period": layout.period, "shards": layout.shards}],
        "horizon": layout.horizon_ms,
        **({} if layout.horizon_at_ms is None else {"horizonAt": layout.horizon_at_ms}),
    }
    return {
        names.events: _template(
            names.events_pattern, names.events, EVENT_FIELDS, ours, layout.shards, replicas
        ),
        names.files: _template(
            names.files_index, names.files, FILE_FIELDS, _plain_meta(), 1, replicas
        ),
        names.dead_letters: _template(
            names.dead_letters_index, names.dead_letters, DEAD_LETTER_FIELDS, _plain_meta(), 1,
            replicas,
        ),
    }  # fmt: skip


def _plain_meta() -> dict[str, Any]:
    return {"mappingVersion": MAPPING_VERSION}


def _template(  # noqa: PLR0917
    pattern: str,
    alias: str,
    fields: Any,
    meta: Mapping[str, Any],
    shards: int,
    replicas: str,
) -> dict[str, Any]:
    return {
        "index_patterns": [pattern],
        "priority": _PRIORITY,
        "version": MAPPING_VERSION,
        "_meta": {"opstrail": dict(meta)},
        "template": {
            # No refresh_interval: an index that nobody searches is then not refreshed at all.
            "settings": {
                "index": {
                    "number_of_shards": str(shards),
                    "auto_expand_replicas": replicas,
                    "codec": "best_compression",
                    "mapping": {"total_fields": {"limit": str(_MOST_FIELDS)}},
                }
            },
            "mappings": mapping(fields),
            "aliases": {alias: {}},
        },
    }


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the paths at which two templates differ, however OpenSearch spells values."""
    before, after = _flat(there), _flat(wanted)
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


def _flat(value: object, path: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        return {
            name: text
            for key, member in value.items()
            for name, text in _flat(member, f"{path}.{key}" if path else str(key)).items()
        }
    if isinstance(value, list):
        return {
            name: text
            for at, member in enumerate(value)
            for name, text in _flat(member, f"{path}.{at}").items()
        }
    return {path: str(value).lower()}
