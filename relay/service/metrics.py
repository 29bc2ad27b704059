"""One metrics page for all processes: workers send what they counted, the supervisor adds it up.

No files: a snapshot is plain JSON over the control channel.  What a dead
worker had counted is kept in a base, so counters never fall; its gauges are
gone with it.  The number of series does not grow with restarts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import REGISTRY, Collector

PREFIX = "relay_"
Snapshot = list[dict[str, Any]]
"""One entry per metric: name, documentation, type, samples [[name, labels, value], ...]."""

_Key = tuple[str, tuple[tuple[str, str], ...]]


def snapshot(registry: CollectorRegistry = REGISTRY) -> Snapshot:
    """What this process has counted so far, of the relay's own metrics."""
    return [
        {
            "name": metric.name,
            "documentation": metric.documentation,
            "type": metric.type,
            "samples": [[s.name, dict(s.labels), s.value] for s in metric.samples if not s.name.endswith("_created")],
        }
        for metric in registry.collect()
        if metric.name.startswith(PREFIX)
    ]


class Totals(Collector):
    """The sum over all processes, as a collector."""

    def __init__(self) -> None:
        self._living: dict[str, Snapshot] = {}
        self._base: dict[_Key, float] = {}

    def update(self, process: str, taken: Snapshot) -> None:
        """Replace what a living process said before."""
        self._living[process] = taken

    def bury(self, process: str) -> None:
        """Keep the counters of a process that ended; forget its gauges."""
        for metric in self._living.pop(process, []):
            if metric["type"] != "gauge":
                _add(self._base, metric)

    def collect(self) -> Iterable[Metric]:
        """Add everything up."""
        sums = dict(self._base)
        shapes: dict[str, Mapping[str, Any]] = {}
        for taken in self._living.values():
            for metric in taken:
                shapes.setdefault(metric["name"], metric)
                _add(sums, metric)
        owners = _owners(shapes)
        metrics = {name: Metric(name, shape["documentation"], shape["type"]) for name, shape in shapes.items()}
        for (sample, labels), value in sums.items():
            if owner := owners(sample):
                metrics[owner].add_sample(sample, dict(labels), value)
        return metrics.values()

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


def _add(sums: dict[_Key, float], metric: Mapping[str, Any]) -> None:
    for name, labels, value in metric["samples"]:
        key = (name, tuple(sorted(labels.items())))
        sums[key] = sums.get(key, 0.0) + value


def _owners(shapes: Mapping[str, Any]) -> Any:
    """Find the metric that a sample belongs to: relay_x_total and relay_x_bucket belong to relay_x."""

    def owner(sample: str) -> str | None:
        for suffix in ("", "_total", "_bucket", "_sum", "_count"):
            name = sample.removesuffix(suffix)
            if sample.endswith(suffix) and name in shapes:
                return name
        return None

    return owner
