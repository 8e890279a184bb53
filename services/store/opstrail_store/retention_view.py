"""How a plan of retention is shown (PURE)."""

from collections.abc import Mapping

from opstrail_store.retention_plan import Found, day_of, minute_of


def rows_of(found: Found) -> list[Mapping[str, object]]:
    """Return a row for each index, and for what is too old beside them."""
    plan = found.plan
    return [
        *(
            {
                "index": fate.index.name,
                "action": fate.action,
                "documents": fate.index.documents,
                "bytes": fate.index.size_bytes,
                "deletedFrom": None
                if fate.deleted_from_ms is None
                else minute_of(fate.deleted_from_ms),
            }
            for fate in plan.fates
        ),
        *(
            {"index": rows.alias, "action": "delete", "documents": rows.documents, "bytes": None,
             "deletedFrom": None}
            for rows in found.rows
            if rows.documents
        ),
    ]  # fmt: skip


def told_of(found: Found, *, do_it: bool) -> str:
    """Return the plan, or what was done, in one line."""
    plan = found.plan
    gone = plan.of("delete")
    parts = [f"closed before {day_of(plan.horizon_ms)}" + (" from now on" if plan.moves else "")]
    if gone:
        size = sum(index.size_bytes or 0 for index in gone)
        documents = sum(index.documents or 0 for index in gone)
        parts.append(f"indices deleted: {len(gone)}, with {documents:,} events, {size:,} bytes")
    rows = sum(rows.documents for rows in found.rows)
    if rows:
        parts.append(f"rows of files and dead letters deleted: {rows:,}")
    waiting = len(plan.of("close")) + len(plan.of("closed"))
    if waiting:
        parts.append(f"indices closed, to be deleted by a later run: {waiting}")
    if not (plan.moves or gone or rows):
        return "nothing to do: " + "; ".join(parts)
    return "; ".join(parts) if do_it else f"to do: {'; '.join(parts)}: run again with --execute"
