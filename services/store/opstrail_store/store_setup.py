"""Templates, indices and aliases in OpenSearch: first a plan, then its execution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from opensearchpy import OpenSearch

from opstrail_runtime.errors import Unavailable
from opstrail_store.index_name import IndexNames
from opstrail_store.mapping import (
    DEAD_LETTER_FIELDS,
    EVENT_FIELDS,
    FILE_FIELDS,
    MAPPING_VERSION,
    Field,
    mapping,
)
from opstrail_store.opensearch_errors import OpenSearchRefuses, translated
from opstrail_store.templates import (
    Layout,
    differences,
    layout_of,
    mapping_version_of,
    templates,
)

_ASK_S = 10
_WANTED = "index_templates.index_template._meta,error.type"


class NotSetUp(OpenSearchRefuses):
    """The templates are missing or older than this version: `store setup` comes first."""


class SetupRefused(Exception):
    """The wanted layout contradicts events that are stored."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that `store setup` does, or finds done."""

    action: Literal["create", "update", "same"]
    what: str
    detail: str
    act: Callable[[], object]


def installed_layout(client: OpenSearch, prefix: str) -> Layout:
    """Return the layout in force. Raises NotSetUp, Unavailable, OpenSearchRefuses.

    It is asked for before each batch, and so for little, and never for long.
    """
    return layout_of(
        installed_template(client, prefix, filter_path=_WANTED, request_timeout=_ASK_S)
    )


def installed_template(client: OpenSearch, prefix: str, **params: Any) -> dict[str, Any]:
    """Return the events template. Raises NotSetUp, Unavailable, OpenSearchRefuses."""
    name = IndexNames(prefix).events
    template = _installed(client, name, **params)
    if template is None:
        raise NotSetUp(f"index template {name} is missing: run `opstrail store setup --execute`")
    if mapping_version_of(template) < MAPPING_VERSION:
        raise NotSetUp(
            f"index template {name} is of an older version: run `opstrail store setup --execute`"
        )
    return template


def horizon_now(client: OpenSearch, prefix: str, began_with: Layout) -> int | None:
    """Return the horizon of retention as it is now.

    Raises NotSetUp when period or shards are not those that the process began with.
    """
    layout = installed_layout(client, prefix)
    if (layout.period, layout.shards) != (began_with.period, began_with.shards):
        raise NotSetUp("the layout of the store has changed: start this service anew")
    return layout.horizon_ms


def plan(client: OpenSearch, prefix: str, wanted: Layout, *, replicas: str = "0-1") -> list[Step]:
    """Return the steps from what is there to what is wanted. Changes nothing.

    Raises SetupRefused when period or shards differ from those of stored events.
    """
    names = IndexNames(prefix, wanted.period)
    there = _installed(client, names.events)
    if there is not None and mapping_version_of(there):
        in_force = layout_of(there)
        wanted = replace(
            wanted, horizon_ms=in_force.horizon_ms, horizon_at_ms=in_force.horizon_at_ms
        )
        if wanted != in_force and _holds_events(client, names):
            raise SetupRefused(
                f"events are stored by {in_force.period} on {in_force.shards} shard(s); "
                "period and shards cannot change under them"
            )
    steps = [
        _template_step(client, name, template)
        for name, template in templates(names, wanted, replicas=replicas).items()
    ]
    # With an index behind each alias a search finds nothing, rather than no such index.
    first = [names.of_event(None), names.files_index, names.dead_letters_index]
    return [
        *steps,
        *(_index_step(client, index) for index in first),
        *_mapping_steps(client, names),
    ]


def execute(steps: Sequence[Step]) -> None:
    """Do what the plan says, in its order."""
    for step in steps:
        if step.action != "same":
            with translated():
                step.act()


def _installed(client: OpenSearch, name: str, **params: Any) -> dict[str, Any] | None:
    with translated():
        answer = client.indices.get_index_template(name=name, params=params, ignore=(404,))
    if answer.get("error", {}).get("type") == "resource_not_found_exception":
        return None
    if "index_templates" not in answer:
        # A proxy's, say. It tells nothing of the template, and a store must not end over it.
        raise Unavailable("opensearch", "an answer that is not one to our question")
    template: dict[str, Any] = answer["index_templates"][0]["index_template"]
    return template


def _template_step(client: OpenSearch, name: str, wanted: Mapping[str, Any]) -> Step:
    there = _installed(client, name)

    def put() -> object:
        return client.indices.put_index_template(name=name, body=wanted)

    what = f"index template {name}"
    if there is None:
        return Step("create", what, f"for {', '.join(wanted['index_patterns'])}", put)
    changed = [path for path in differences(there, wanted) if path != "composed_of"]
    if not changed:
        return Step("same", what, "", put)
    shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")  # noqa: PLR2004
    return Step("update", what, shown, put)


def _index_step(client: OpenSearch, index: str) -> Step:
    with translated():
        exists = client.indices.exists(index=index)
    return Step(
        "same" if exists else "create",
        f"index {index}",
        "",
        lambda: client.indices.create(index=index),
    )


def _mapping_steps(client: OpenSearch, names: IndexNames) -> list[Step]:
    """Bring new fields to indices that are there; a closed one is left as it is."""
    kinds = (
        (names.events_pattern, EVENT_FIELDS),
        (names.files_index, FILE_FIELDS),
        (names.dead_letters_index, DEAD_LETTER_FIELDS),
    )
    return [step for pattern, fields in kinds for step in _steps_of(client, pattern, fields)]


def _steps_of(client: OpenSearch, pattern: str, fields: Sequence[Field]) -> list[Step]:
    with translated():
        mapped = client.indices.get_mapping(
            index=pattern,
            params={
                "expand_wildcards": "open",
                "allow_no_indices": "true",
                "ignore_unavailable": "true",
            },
        )
    return [
        Step(
            "update",
            f"mapping of index {index}",
            "new fields",
            lambda index=index: client.indices.put_mapping(  # type: ignore[misc]
                index=index, body=mapping(fields)
            ),
        )
        for index, answer in sorted(mapped.items())
        if mapping_version_of(answer["mappings"]) < MAPPING_VERSION
    ]


def _holds_events(client: OpenSearch, names: IndexNames) -> bool:
    with translated():
        counted = client.count(
            index=names.events_pattern,
            params={"allow_no_indices": "true", "ignore_unavailable": "true"},
        )
    return int(counted["count"]) > 0
