"""What a message costs the workers, in CPU: it does not depend on what else the machine does."""

from collections.abc import Mapping

from benchmarks.figures import median, short
from benchmarks.load import Load, Sink, rate
from benchmarks.peers.relay import BenchRelay
from benchmarks.processes import cpu_seconds

Point = tuple[float, float]


def cpu_per_message(relay: BenchRelay, sink: Sink, messages: int, load: Load | None = None) -> float:
    """Microseconds of CPU that all workers took for each of so many messages."""
    load = load or Load()
    messages = max(messages, load.sessions)
    rate(relay.port, sink, load.sessions, load)  # warm: connections, caches
    before = cpu_seconds(relay.worker_pids())
    rate(relay.port, sink, messages, load)
    return 1e6 * (cpu_seconds(relay.worker_pids()) - before) / messages


def growth_rows(measured: Mapping[str, list[float]]) -> tuple[list[Point], list[list[str]]]:
    """The medians as points by what grew, and as rows of a table."""
    points = [(float(number), median(costs)) for number, costs in measured.items()]
    rows = [[f"{number:,.0f}", f"{cost:,.0f} us", short(cost / points[0][1])] for number, cost in points]
    return points, rows
