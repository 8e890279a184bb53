"""Write docs/reference/metrics.md: `python -m tools.docs.metrics_page`.

The page is made from the metrics as the services declare them; a test fails while it is older.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
MODULES = (
    "opstrail_runtime.telemetry",
    "opstrail_ingest.telemetry",
    "opstrail_enrich.telemetry",
    "opstrail_store.telemetry",
    "opstrail_history.telemetry",
)
PREFIX = "opstrail_"
_HEAD = """\
# Metrics

<!-- Made by `python -m tools.docs.metrics_page` from each service's telemetry.py: edit those. -->

Each process serves them at `/metrics` of `OPSTRAIL_TELEMETRY__PORT`. Labels are bounded: `stage` is
a service, `reason` a code; never an account, a key or a message. Records reconcile: in = out +
already there + dead + filtered + expired. [The runbook](../runbook.md) has the alerts on them.

The repair, `opstrail store reread`, serves its own while it runs; one that is over before it is
scraped had little to do. Other jobs (the set-up, retention, accounts sync) serve none. What a
job did is the last that it prints (`kubectl logs job/…`); that it failed is told by Kubernetes
(`kube_job_status_failed`).
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is declared."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    module: str

    @property
    def samples(self) -> tuple[str, ...]:
        """Return the names that queries use."""
        match self.kind:
            case "counter":
                return (f"{self.name}_total",)
            case "histogram":
                return tuple(f"{self.name}_{end}" for end in ("bucket", "sum", "count"))
            case _:
                return (self.name,)


def metrics() -> list[Metric]:
    """Return every metric, in the order of its module and its declaration."""
    found: list[Metric] = []
    for module in MODULES:
        if find_spec(module.split(".")[0]):
            found += _declared(module)
    return found


def _declared(module: str) -> Iterator[Metric]:
    for each in vars(import_module(module)).values():
        if isinstance(each, MetricWrapperBase) and each in REGISTRY._collector_to_names:  # noqa: SLF001
            yield Metric(
                each._name,  # noqa: SLF001 - prometheus_client has no other way to look
                str(each._type),  # noqa: SLF001
                each._documentation,  # noqa: SLF001
                tuple(each._labelnames),  # noqa: SLF001
                module,
            )


def sample_names() -> Mapping[str, Metric]:
    """Return every name that a query may use."""
    return {name: each for each in metrics() for name in each.samples}


def page() -> str:
    """Return the page."""
    lines = [_HEAD]
    for module in MODULES:
        of_module = [each for each in metrics() if each.module == module]
        if of_module:
            lines.append(f"\n## {module.split('.')[0].removeprefix('opstrail_')}\n")
            lines += ["| metric | type | labels | what it tells |", "|---|---|---|---|"]
            lines += [
                f"| `{each.samples[0] if each.kind == 'counter' else each.name}` | {each.kind} "
                f"| {', '.join(f'`{label}`' for label in each.labels)} | {each.text} |"
                for each in of_module
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
