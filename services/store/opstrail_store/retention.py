"""Retention: reads what is there, and does what a plan says."""

from collections.abc import Callable

from opensearchpy import OpenSearch

from opstrail_runtime.telemetry import emit
from opstrail_store.events_indices import events_indices
from opstrail_store.index_name import IndexNames
from opstrail_store.opensearch_errors import translated
from opstrail_store.retention_plan import Fate, Found, Rows, day_of, plan_of
from opstrail_store.store_setup import installed_layout, installed_template
from opstrail_store.telemetry import HorizonMoved, IndexDeleted, RowsDeleted
from opstrail_store.templates import Layout, layout_of, with_horizon

# One request stays well below its time limit, and needs no task that somebody has to follow.
_MOST_ROWS = 5_000


class Retention:
    """Retention of one store. Raises NotSetUp, Unavailable, OpenSearchRefuses.

    It may be stopped at any time and run again: what is done is not there any more.
    """

    def __init__(self, client: OpenSearch, prefix: str) -> None:
        self._client = client
        self._names = IndexNames(prefix)

    def layout(self) -> Layout:
        """Return the layout in force."""
        return installed_layout(self._client, self._names.prefix)

    def find(
        self, layout: Layout, *, horizon_ms: int, now_ms: int, closed_ms: int, reopen: bool
    ) -> Found:
        """Return what there is to do. Changes nothing."""
        plan = plan_of(
            events_indices(self._client, self._names),
            self._names,
            layout,
            horizon_ms=horizon_ms,
            now_ms=now_ms,
            closed_ms=closed_ms,
            reopen=reopen,
        )
        return Found(plan, () if plan.due_ms is None else self._rows(plan.due_ms))

    def execute(self, found: Found, *, now_ms: int, say: Callable[[str], None]) -> None:
        """Do it. The horizon comes first: what is deleted must not come back."""
        plan = found.plan
        if plan.moves:
            self._move_horizon(plan.horizon_ms, now_ms)
        if plan.due_ms is None:
            return
        for fate in plan.fates:
            if fate.action == "delete":
                say(f"deleting {fate.index.name}")
                self._delete(fate, plan.due_ms)
        for rows in found.rows:
            self._delete_rows(rows, plan.due_ms, say)

    def _move_horizon(self, horizon_ms: int, now_ms: int) -> None:
        # Read again: `store setup` may have written it since the plan was made.
        template = installed_template(self._client, self._names.prefix)
        was_ms = layout_of(template).horizon_ms
        with translated():
            self._client.indices.put_index_template(
                name=self._names.events, body=with_horizon(template, horizon_ms, now_ms)
            )
        emit(
            HorizonMoved(
                alias=self._names.events,
                before=day_of(horizon_ms),
                was=None if was_ms is None else day_of(was_ms),
            )
        )

    def _delete(self, fate: Fate, due_ms: int) -> None:
        index = fate.index
        with translated():
            self._client.indices.delete(index=index.name, ignore=(404,))
        emit(IndexDeleted(index.name, index.documents, index.size_bytes, day_of(due_ms)))

    # Files and dead letters: what was last heard of a file, or last refused, before the horizon
    # concerns events that are older still.

    def _rows(self, due_ms: int) -> tuple[Rows, ...]:
        fields = ((self._names.files, "updatedAt"), (self._names.dead_letters, "failedAt"))
        with translated():
            return tuple(
                Rows(
                    alias,
                    field,
                    self._client.count(index=alias, body=_older(field, due_ms))["count"],
                )
                for alias, field in fields
            )

    def _delete_rows(self, rows: Rows, due_ms: int, say: Callable[[str], None]) -> None:
        deleted = 0
        while deleted < rows.documents:
            with translated():
                answer = self._client.delete_by_query(
                    index=rows.alias,
                    body=_older(rows.time_field, due_ms),
                    params={"max_docs": _MOST_ROWS, "conflicts": "proceed", "refresh": "true"},
                )
            if not answer["deleted"]:
                break  # somebody wrote them anew meanwhile
            deleted += answer["deleted"]
            say(f"{rows.alias}: {deleted:,} of {rows.documents:,} documents deleted")
        if deleted:
            emit(RowsDeleted(rows.alias, deleted, day_of(due_ms)))


def _older(field: str, due_ms: int) -> dict[str, object]:
    return {"query": {"range": {field: {"lt": due_ms, "format": "epoch_millis"}}}}
