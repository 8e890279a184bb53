"""Alerts fire when they should and not otherwise; what they and the dashboard ask for exists."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from opstrail_cli.processes import free_port
from tests.support.chart import CHART, TOP, not_run
from tests.support.figures import Figure
from tools.docs import dashboard, metrics_page

ALERTS = CHART / "files" / "alerts.yaml"
RUNBOOK = TOP / "docs" / "runbook.md"
RULES: Sequence[Mapping[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DAY = 86_400
_STAGES = ("discover", "split", "enrich", "store")


class Case(NamedTuple):
    """Series that fire an alert, and series that do not; looked at after so many minutes."""

    fires: Mapping[str, str]
    quiet: Mapping[str, str]
    after_min: int
    labels: Mapping[str, str] = {}


def _beats(**missing: str) -> dict[str, str]:
    return {
        f'opstrail_loop_beat_timestamp_seconds{{stage="{stage}",instance="i"}}': "0+60x200"
        for stage in _STAGES
        if stage not in missing
    }


CASES: Mapping[str, Case] = {
    "OpstrailStageMissing": Case(_beats(store=""), _beats(), 15, {"stage": "store"}),
    "OpstrailLoopStalled": Case(
        {'opstrail_loop_beat_timestamp_seconds{stage="store",instance="i"}': "60x60"},
        {'opstrail_loop_beat_timestamp_seconds{stage="store",instance="i"}': "0+60x60"},
        20,
        {"stage": "store", "instance": "i"},
    ),
    "OpstrailRestarts": Case(
        {
            'process_start_time_seconds{instance="i"}': "1x10 700x10 1400x10 2100x10 2800x20",
            'opstrail_build_info{instance="i",version="1"}': "1x60",
        },
        # Twice; and somebody else's.
        {
            'process_start_time_seconds{instance="i"}': "1x10 700x10 1400x40",
            'opstrail_build_info{instance="i",version="1"}': "1x60",
            'process_start_time_seconds{instance="x"}': "1x10 700x10 1400x10 2100x10 2800x20",
        },
        50,
        {"instance": "i"},
    ),
    "OpstrailBehind": Case(
        {'opstrail_consumer_lag_records{stage="store",topic="a"}': "600000+1000x200"},
        # Much, and on its way down.
        {'opstrail_consumer_lag_records{stage="store",topic="a"}': "900000-1000x200"},
        100,
        {"stage": "store"},
    ),
    "OpstrailStoreStale": Case(
        {"opstrail_store_newest_event_timestamp_seconds": "0x200"},
        # Up to date; then all pods are new ones and have stored nothing yet.
        {
            'opstrail_store_newest_event_timestamp_seconds{instance="old"}': "0+60x70 _x130",
            'opstrail_store_newest_event_timestamp_seconds{instance="new"}': "_x70 0x130",
        },
        100,
    ),
    "OpstrailNoticeOld": Case(
        {
            'opstrail_split_oldest_notice_timestamp_seconds{instance="i"}': f"{-46 * DAY}x60",
            'opstrail_consumer_lag_records{stage="split",topic="n",instance="i"}': "5x60",
        },
        # Old, and long done; and one that was just started.
        {
            'opstrail_split_oldest_notice_timestamp_seconds{instance="i"}': f"{-46 * DAY}x60",
            'opstrail_consumer_lag_records{stage="split",topic="n",instance="i"}': "0x60",
            'opstrail_split_oldest_notice_timestamp_seconds{instance="new"}': "0x60",
            'opstrail_consumer_lag_records{stage="split",topic="n",instance="new"}': "5x60",
        },
        30,
    ),
    # These begin with their first count, as a label's value and a process that was restarted do.
    "OpstrailInputSetAside": Case(
        {'opstrail_inputs_set_aside_total{stage="split"}': "_x40 1x60"},
        {'opstrail_inputs_set_aside_total{stage="split"}': "1x120"},
        80,
        {"stage": "split"},
    ),
    "OpstrailFilesGivenUp": Case(
        {'opstrail_files_total{state="quarantined"}': "_x40 1x60"},
        {
            'opstrail_files_total{state="quarantined"}': "1x120",
            'opstrail_files_total{state="done"}': "0+9x120",
        },
        80,
    ),
    "OpstrailDeadLetters": Case(
        {
            'opstrail_dead_letters_total{stage="split",reason="not-json"}': "_x40 1x60",
        },
        {
            'opstrail_dead_letters_total{stage="split",reason="not-json"}': "7x120",
            'opstrail_discover_dead_total{reason="x"}': "7x120",
        },
        80,
        {"stage": "split", "reason": "not-json"},
    ),
    "OpstrailRetriesPiling": Case(
        {"opstrail_retries_waiting": "150x100"}, {"opstrail_retries_waiting": "20x100"}, 90
    ),
    "OpstrailDependencyAway": Case(
        {'opstrail_waits_total{stage="store"}': "0+2x60"},
        {'opstrail_waits_total{stage="store"}': "0x5 3x60"},
        40,
        {"stage": "store"},
    ),
    "OpstrailTransactionsAbort": Case(
        {
            'opstrail_transactions_total{stage="store",outcome="aborted"}': "0+4x60",
            'opstrail_transactions_total{stage="store",outcome="committed"}': "0+4x60",
        },
        {
            'opstrail_transactions_total{stage="store",outcome="aborted"}': "0+1x60",
            'opstrail_transactions_total{stage="store",outcome="committed"}': "0+99x60",
        },
        40,
        {"stage": "store"},
    ),
    "OpstrailFactsIgnored": Case(
        {'opstrail_enrich_facts_ignored_total{topic="accounts"}': "_x10 2x60"},
        {'opstrail_enrich_facts_ignored_total{topic="accounts"}': "0x60"},
        20,
        {"topic": "accounts"},
    ),
    "OpstrailExpired": Case(
        {'opstrail_records_expired_total{stage="store"}': "0+1x120"},
        {'opstrail_records_expired_total{stage="store"}': "9x120"},
        80,
    ),
    "OpstrailRetentionBehind": Case(
        {
            "opstrail_store_oldest_period_timestamp_seconds": "100x3000",
            "opstrail_store_retention_horizon_timestamp_seconds": "200x3000",
        },
        # What was closed is deleted on the next day.
        {
            "opstrail_store_oldest_period_timestamp_seconds": "100x1500 200x1500",
            "opstrail_store_retention_horizon_timestamp_seconds": "200x3000",
        },
        2_900,
    ),
    "OpstrailHistoryErrors": Case(
        {
            'opstrail_history_requests_total{route="/api",status="503"}': "0+2x60",
            'opstrail_history_requests_total{route="/api",status="200"}': "0+10x60",
        },
        # Wrong questions are the callers'.
        {
            'opstrail_history_requests_total{route="/api",status="400"}': "0+9x60",
            'opstrail_history_requests_total{route="/api",status="200"}': "0+10x60",
        },
        40,
    ),
    "OpstrailVersionsDiffer": Case(
        {
            'opstrail_build_info{version="1",pod="a"}': "1x200",
            'opstrail_build_info{version="2",pod="b"}': "1x200",
        },
        {
            'opstrail_build_info{version="2",pod="a"}': "1x200",
            'opstrail_build_info{version="2",pod="b"}': "1x200",
        },
        150,
    ),
}


UNPACKED = TOP / "build" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        not_run(f"{name} is not there: tools/debian-packages.sh fetches it on Debian")
    return found


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )


def test_every_alert_has_both_its_tests(figure: Figure) -> None:
    figure("alerts without both tests", len({r["alert"] for r in RULES} - set(CASES)), "0")
    assert {rule["alert"] for rule in RULES} == set(CASES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "quiet"])
def test_an_alert_fires_when_it_should(
    rule: Mapping[str, Any], tmp_path: Path, *, fires: bool
) -> None:
    """Promtool is told to expect none: it then shows what fired, whatever a summary rounds to."""
    case = CASES[rule["alert"]]
    series = case.fires if fires else case.quiet
    content = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": n, "values": v} for n, v in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.after_min}m",
                        "alertname": rule["alert"],
                        "exp_alerts": [],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(content))

    done = promtool("test", "rules", file)
    told = done.stdout + done.stderr
    assert fires == (done.returncode != 0), told
    if fires:
        got = told.partition("got:")[2]
        assert 1 == got.count("Labels:{"), told
        for name, value in {**rule["labels"], **case.labels}.items():
            assert f'{name}="{value}"' in got, told


def test_rules_and_expressions_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    recorded = {
        "groups": [
            {
                "name": "dashboard",
                "rules": [
                    {"record": f"x:y{number}", "expr": expression}
                    for number, expression in enumerate(dashboard.expressions())
                ],
            }
        ]
    }
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump(recorded))

    for each in (ALERTS, file):
        done = promtool("check", "rules", each)
        assert 0 == done.returncode, done.stdout + done.stderr
    assert 30 < len(dashboard.expressions())


@pytest.mark.parametrize(
    "expression",
    [*(rule["expr"] for rule in RULES), *dashboard.expressions()],
)
def test_expressions_name_metrics_and_labels_that_are_declared(expression: str) -> None:
    known = metrics_page.sample_names()
    named = re.findall(r"opstrail_[a-z_]+", expression)

    assert named
    for name in named:
        assert name in known, f"{name} is declared nowhere"
    own = {label for name in named for label in known[name].labels}
    grouped = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    matched = set(re.findall(r"([a-z_]+)=~?\"", expression))
    assert grouped | matched <= own | {"le", "instance", "pod", "namespace"}


def test_the_dashboard_is_as_old_as_its_table_and_whole() -> None:
    text = dashboard.FILE.read_text("utf-8")
    content = json.loads(text)

    assert text == dashboard.dashboard()
    assert {"uid", "title", "panels", "templating"} <= content.keys()
    for panel in content["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in content["panels"]]
    assert len(places) == len(set(places))
    assert len(content["panels"]) == len({panel["id"] for panel in content["panels"]})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_an_entry_in_the_runbook(rule: Mapping[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"(?m)^#+ (.+)$", (TOP / page).read_text("utf-8"))

    assert RUNBOOK == TOP / page
    assert rule["alert"].lower() == anchor
    assert rule["alert"] in headings
    assert rule["annotations"]["summary"]


def test_the_page_of_the_metrics_is_as_old_as_the_metrics() -> None:
    assert metrics_page.PAGE.read_text("utf-8") == metrics_page.page()


def test_every_metric_is_declared_once_with_a_text_that_says_something() -> None:
    names = [each.name for each in metrics_page.metrics()]

    assert len(names) == len(set(names))
    for each in metrics_page.metrics():
        assert each.name.startswith(metrics_page.PREFIX)
        assert each.text.endswith("."), each.name
        assert len(each.labels) <= 2


SERVES = """
import time
from opstrail_runtime.health import serve_health
from opstrail_runtime.telemetry import LOOP_BEAT, RecordsCounted, emit
from tools.docs import metrics_page
metrics_page.metrics()
emit(RecordsCounted("store", came=3, out=3))
LOOP_BEAT.labels("store").set_to_current_time()
serve_health("127.0.0.1", {port}, seconds_since_beat=lambda: 0, ready=lambda: True)
print("serving", flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(120)
def test_a_real_prometheus_scrapes_a_process(tmp_path: Path, figure: Figure) -> None:
    prometheus = program("prometheus")
    served, asked = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s"},
                "rule_files": [str(ALERTS)],
                "scrape_configs": [
                    {
                        "job_name": "opstrail",
                        "static_configs": [{"targets": [f"127.0.0.1:{served}"]}],
                    }
                ],
            }
        )
    )
    processes: list[subprocess.Popen[Any]] = []
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVES.format(port=served)],
            cwd=TOP,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert "serving" == process.stdout.readline().strip()
        with urllib.request.urlopen(f"http://127.0.0.1:{served}/metrics", timeout=10) as page:
            text = page.read()
        checked = subprocess.run(
            [program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False
        )
        own = [line for line in checked.stderr.decode().splitlines() if "opstrail_" in line]
        assert [] == own
        processes.append(
            subprocess.Popen(
                [
                    prometheus,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={tmp_path / 'data'}",
                    f"--web.listen-address=127.0.0.1:{asked}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        while not (found := _query(asked, 'opstrail_records_out_total{stage="store"}')):
            assert processes[-1].poll() is None, "prometheus ended"
            time.sleep(0.2)
        assert "3" == found[0]["value"][1]
        assert _query(asked, "opstrail_build_info")[0]["metric"]["version"]
        series = int(_query(asked, 'count({__name__=~"opstrail_.+"})')[0]["value"][1])
        figure("series that a real Prometheus scraped", series, "> 0")
    finally:
        for each in processes:
            each.terminate()
        for each in processes:
            each.wait(30)
            if each.stdout is not None:
                each.stdout.close()


def _query(port: int, query: str) -> Any:
    address = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []
