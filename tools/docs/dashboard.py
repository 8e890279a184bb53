"""Write the Grafana dashboard: `python -m tools.docs.dashboard`.

The panels are the table below; a test holds every expression against the declared metrics.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parents[2] / "deploy" / "helm" / "opstrail" / "files" / "dashboard.json"
UID = "opstrail"
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_I = '{namespace=~"$namespace"}'


def _quantile(histogram: str, by: str, over: str) -> str:
    """Return the time that 95 of 100 stay under."""
    rate = f"rate(opstrail_{histogram}_bucket{_I}[{over}])"
    return f"histogram_quantile(0.95, sum by ({by}) ({rate}))"


class Panel(NamedTuple):
    """One panel: expressions with their legends; `{{label}}` in a legend is Grafana's."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is all well?": (
        Panel(
            "Age of the newest event",
            "s",
            ((f"time() - max(opstrail_store_newest_event_timestamp_seconds{_I})", "age"),),
            "stat",
        ),
        Panel(
            "Records behind",
            "short",
            ((f"sum by (stage) (opstrail_consumer_lag_records{_I})", "{{stage}}"),),
            "stat",
        ),
        Panel(
            "Dead letters in a day",
            "short",
            ((f"sum by (reason) (increase(opstrail_dead_letters_total{_I}[1d]))", "{{reason}}"),),
            "stat",
        ),
    ),
    "The stream": (
        Panel(
            "Records in",
            "cps",
            ((f"sum by (stage) (rate(opstrail_records_in_total{_I}[5m]))", "{{stage}}"),),
        ),
        Panel(
            "Records out",
            "cps",
            ((f"sum by (stage) (rate(opstrail_records_out_total{_I}[5m]))", "{{stage}}"),),
        ),
        Panel(
            "Already there, filtered, expired",
            "cps",
            tuple(
                (f"sum by (stage) (rate(opstrail_records_{what}_total{_I}[5m]))", text)
                for what, text in (
                    ("already_there", "{{stage}} already there"),
                    ("filtered", "{{stage}} filtered"),
                    ("expired", "{{stage}} expired"),
                )
            ),
        ),
        Panel(
            "Records dead, by reason",
            "cps",
            (
                (
                    f"sum by (stage, reason) (rate(opstrail_records_dead_total{_I}[5m]))",
                    "{{stage}} {{reason}}",
                ),
            ),
        ),
        Panel(
            "Lag by topic",
            "short",
            (
                (
                    f"sum by (stage, topic) (opstrail_consumer_lag_records{_I})",
                    "{{stage}} {{topic}}",
                ),
            ),
        ),
        Panel(
            "Seconds since the last poll",
            "s",
            (
                (
                    f"time() - max by (stage, pod) (opstrail_loop_beat_timestamp_seconds{_I})",
                    "{{stage}} {{pod}}",
                ),
            ),
        ),
    ),
    "Transactions": (
        Panel(
            "Transactions",
            "cps",
            (
                (
                    f"sum by (stage, outcome) (rate(opstrail_transactions_total{_I}[5m]))",
                    "{{stage}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Time to commit, 95 %",
            "s",
            (
                (
                    _quantile("transaction_seconds", "stage, le", "5m"),
                    "{{stage}}",
                ),
            ),
        ),
        Panel(
            "Time to restore state, 95 %",
            "s",
            (
                (
                    _quantile("restore_seconds", "stage, state, le", "1h"),
                    "{{stage}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Waits for a server",
            "cps",
            ((f"sum by (stage) (rate(opstrail_waits_total{_I}[5m]))", "{{stage}}"),),
        ),
        Panel(
            "Partitions moved",
            "short",
            (
                (f"sum by (stage) (increase(opstrail_partitions_assigned_total{_I}[5m]))", "+"),
                (f"sum by (stage) (increase(opstrail_partitions_revoked_total{_I}[5m]))", "-"),
            ),
        ),
        Panel(
            "Inputs set aside",
            "short",
            ((f"sum by (stage) (increase(opstrail_inputs_set_aside_total{_I}[1h]))", "{{stage}}"),),
        ),
    ),
    "Files": (
        Panel(
            "Files by what became of them",
            "cps",
            ((f"sum by (state) (rate(opstrail_files_total{_I}[5m]))", "{{state}}"),),
        ),
        Panel(
            "Bytes unpacked",
            "Bps",
            ((f"sum(rate(opstrail_file_bytes_total{_I}[5m]))", "bytes"),),
        ),
        Panel(
            "Age of the oldest notice at hand",
            "s",
            ((f"time() - min(opstrail_split_oldest_notice_timestamp_seconds{_I})", "age"),),
        ),
        Panel(
            "Files that wait to be tried again",
            "short",
            ((f"max(opstrail_retries_waiting{_I})", "files"),),
        ),
        Panel(
            "Messages from the queue",
            "cps",
            ((f"sum by (kind) (rate(opstrail_notifications_total{_I}[5m]))", "{{kind}}"),),
        ),
        Panel("A backfill waits", "bool", ((f"max(opstrail_backfill_paused{_I})", "paused"),)),
    ),
    "Store": (
        Panel(
            "Documents by verdict",
            "cps",
            (
                (
                    f"sum by (kind, verdict) (rate(opstrail_store_documents_total{_I}[5m]))",
                    "{{kind}} {{verdict}}",
                ),
            ),
        ),
        Panel(
            "Bulk bytes",
            "Bps",
            ((f"sum(rate(opstrail_store_bulk_bytes_total{_I}[5m]))", "bytes"),),
        ),
        Panel(
            "Time of a batch, 95 %",
            "s",
            (
                (
                    _quantile("store_batch_seconds", "le", "5m"),
                    "batch",
                ),
            ),
        ),
        Panel(
            "Reduced and bisected",
            "cps",
            (
                (f"sum(rate(opstrail_store_forms_reduced_total{_I}[5m]))", "reduced"),
                (f"sum(rate(opstrail_store_bulk_bisected_total{_I}[5m]))", "bisected"),
            ),
        ),
        Panel(
            "Retention: horizon, and oldest month there",
            "dateTimeAsIso",
            (
                (f"1000 * max(opstrail_store_retention_horizon_timestamp_seconds{_I} > 0)", "at"),
                (f"1000 * max(opstrail_store_oldest_period_timestamp_seconds{_I} > 0)", "oldest"),
            ),
        ),
        Panel(
            "Repair",
            "short",
            (
                (f"sum(increase(opstrail_reread_events_sent_total{_I}[1h]))", "sent"),
                (f"max(opstrail_reread_documents_examined{_I})", "examined"),
            ),
        ),
    ),
    "Enrich and history": (
        Panel(
            "Facts known", "short", ((f"max by (topic) (opstrail_enrich_facts{_I})", "{{topic}}"),)
        ),
        Panel(
            "Identities in the window of repeats",
            "short",
            ((f"sum by (pod) (opstrail_enrich_window_identities{_I})", "{{pod}}"),),
        ),
        Panel(
            "Searches by status",
            "cps",
            ((f"sum by (status) (rate(opstrail_history_requests_total{_I}[5m]))", "{{status}}"),),
        ),
        Panel(
            "Versions",
            "short",
            ((f"count by (version) (opstrail_build_info{_I})", "{{version}}"),),
        ),
    ),
}


def expressions() -> list[str]:
    """Return every expression, with Grafana's variables as they would be filled in."""
    return [
        query.replace("$namespace", ".*")
        for panels in ROWS.values()
        for panel in panels
        for query, _ in panel.queries
    ]


def dashboard() -> str:
    """Return the dashboard as JSON."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_row(title, len(panels) + 1, top))
        top += 1
        for place, panel in enumerate(row):
            at = {
                "x": place % _COLUMNS * _WIDTH,
                "y": top + place // _COLUMNS * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(_panel(panel, len(panels) + 1, at))
        top += -(-len(row) // _COLUMNS) * _HEIGHT
    found = {
        "uid": UID,
        "title": "opstrail",
        "tags": ["opstrail"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": panels,
    }
    return json.dumps(found, indent=2) + "\n"


def _row(title: str, number: int, top: int) -> dict[str, Any]:
    at = {"x": 0, "y": top, "w": _WIDTH * _COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": at}


def _panel(panel: Panel, number: int, at: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + place),
            "expr": query,
            "legendFormat": legend,
            "datasource": _SOURCE,
        }
        for place, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}


def _namespace() -> dict[str, Any]:
    return {
        "name": "namespace",
        "type": "query",
        "label": "Namespace",
        "datasource": _SOURCE,
        "query": "label_values(opstrail_build_info, namespace)",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
    }


if __name__ == "__main__":
    FILE.write_text(dashboard(), "utf-8")
