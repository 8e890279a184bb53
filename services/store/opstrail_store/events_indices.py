"""The indices of events that are there, and what they hold."""

from typing import Any

from opensearchpy import OpenSearch

from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_errors import translated
from opstrail_store.retention_plan import EventsIndex


def events_indices(client: OpenSearch, names: IndexNames) -> list[EventsIndex]:
    """Return all indices of events by name, closed and hidden ones too."""
    there = _names(client, names)
    with translated():
        counted: dict[str, Any] = client.indices.stats(
            index=names.events_pattern,
            metric="docs,store",
            params={
                "expand_wildcards": "open,hidden",
                "forbid_closed_indices": "false",
                "filter_path": "indices.*.primaries.docs.count,indices.*.total.store.size_in_bytes",
            },
        ).get("indices", {})
    return [
        EventsIndex(
            name,
            counted[name]["primaries"]["docs"]["count"],
            counted[name]["total"]["store"]["size_in_bytes"],
        )
        if name in counted
        else EventsIndex(name)
        for name in there
    ]


def oldest_period(client: OpenSearch, names: IndexNames) -> int | None:
    """Return when the oldest dated index begins, in ms; None where there is none."""
    times = (names.times_of(name) for name in _names(client, names))
    return min((begins for begins, _ in filter(None, times)), default=None)


def _names(client: OpenSearch, names: IndexNames) -> list[str]:
    with translated():
        answer = client.indices.get(
            index=names.events_pattern,
            params={
                "expand_wildcards": "all",
                "allow_no_indices": "true",
                "filter_path": "*.settings.index.uuid",
            },
        )
    return sorted(answer)
