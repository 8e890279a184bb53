"""What a run did, added up from the metrics of its services."""

import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Counts:
    """Counters by name and labels; those of a process that died stay counted."""

    _running: dict[str, dict[tuple[str, Labels], float]] = field(default_factory=dict)

    def update(self, process: str, page: str) -> None:
        """Take the metrics page of a process. `process` is unique to one life of it."""
        self._running[process] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def total(self, name: str, **labels: str) -> int:
        """Return the sum of a counter over all processes and over labels that are not named."""
        wanted = set(labels.items())
        return round(
            sum(
                value
                for samples in self._running.values()
                for (sample, its_labels), value in samples.items()
                if sample == f"opstrail_{name}_total" and wanted <= set(its_labels)
            )
        )

    def by_label(self, name: str, label: str) -> Mapping[str, int]:
        """Return a counter's sums by one label, without zeros."""
        sums: dict[str, float] = {}
        for samples in self._running.values():
            for (sample, labels), value in samples.items():
                if sample == f"opstrail_{name}_total" and value:
                    key = dict(labels).get(label, "")
                    sums[key] = sums.get(key, 0) + value
        return {key: round(value) for key, value in sorted(sums.items())}


def scraped(port: int, *, timeout_s: float = 5.0) -> str | None:
    """Return the metrics page at a port of this machine; None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as page:
            text: str = page.read().decode()
    except OSError:
        return None
    return text


def balance(counts: Counts, stages: Iterable[str]) -> str | None:
    """Return what does not add up in a fault-free run, or None: in = out + the rest (design §5)."""
    for stage in stages:
        came = counts.total("records_in", stage=stage)
        went = sum(
            counts.total(name, stage=stage)
            for name in (
                "records_out",
                "records_already_there",
                "records_dead",
                "records_filtered",
                "records_expired",
            )
        )
        if came != went:
            return f"{stage}: {came} records came in, {went} are accounted for"
    return None
