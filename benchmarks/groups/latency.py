"""3. Latency: what the relay adds to its upstream at 10, 50 and 90 % of capacity, and what distance costs."""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import client
from benchmarks.bench import Bench, Figures, Section
from benchmarks.distance import Distance
from benchmarks.figures import Claim, percentile, short, table
from benchmarks.load import Sink
from benchmarks.peers.relay import BenchRelay
from benchmarks.plot import lines
from benchmarks.sampler import sampling

SHARES = [0.1, 0.5, 0.9]
ROUND_TRIP_MS = 30.0
CLIENTS = [1, 20, 200]
NOTE = """\
Milliseconds from the moment that a message was due until its 250; messages come at random moments, and what waits for a free
session counts. *Added* is the relay's percentile without the upstream's own at the same rate. *Beyond* also leaves out one
RSA-2048 signature and one fdatasync, the medians of what a process of its own measured meanwhile on the same disk."""
FAR = f"""\
An upstream {ROUND_TRIP_MS:.0f} ms away: every octet is delayed, half of it each way. A pipelined transaction takes two
round trips, so {2 * ROUND_TRIP_MS:.0f} ms are the least for anybody. Each client sends its next message when the
last was taken."""


def measure(bench: Bench) -> Figures:
    """Percentiles with and without the relay, near and far."""
    found: dict[str, Any] = {"near": [], "far": []}
    with bench.folder() as folder, Sink(folder) as sink:
        with BenchRelay(folder / "relay", sink.port, workers=bench.workers) as relay:
            capacity = client.run(client.closed_loop(relay.port, 50, 1 if bench.quick else 5))[0]
            bench.say(f"capacity {capacity:,.0f}/s")
            found["capacity"] = capacity
            for share in SHARES:
                found["near"].append({"share": share, **_near(bench, folder, sink, relay, share * capacity)})
                bench.say(str(found["near"][-1]))
        with (
            Distance(folder, sink.port, ROUND_TRIP_MS) as far,
            BenchRelay(folder / "far", far.port, workers=bench.workers, connections=200) as relay,
        ):
            for clients in CLIENTS:
                found["far"].append({"clients": clients, **_far(bench, far, relay, clients)})
                bench.say(str(found["far"][-1]))
    return found


def _near(bench: Bench, folder: Path, sink: Sink, relay: BenchRelay, rate: float) -> Figures:
    seconds = 2.0 if bench.quick else 10.0
    bare = client.run(client.open_loop(sink.port, rate, lambda at: at < seconds))
    with sampling(folder) as costs:
        through = client.run(client.open_loop(relay.port, rate, lambda at: at < seconds))
    return {"rate": rate, "bare": percentiles(bare), "relay": percentiles(through), "messages": len(through), **costs}


def _far(bench: Bench, far: Distance, relay: BenchRelay, clients: int) -> Figures:
    seconds = 1.5 if bench.quick else 4.0
    found: Figures = {}
    for name, port in (("bare", far.port), ("relay", relay.port)):
        bench.attempt("warm", partial(_rate, port, clients, seconds / 3))
        rate, taken = client.run(client.closed_loop(port, clients, seconds))
        found[name] = {"rate": rate, **percentiles(taken)}
    return found


def _rate(port: int, clients: int, seconds: float) -> float:
    return float(client.run(client.closed_loop(port, clients, seconds))[0])


def percentiles(taken: list[float]) -> dict[str, float]:
    """The median and the 99th percentile in milliseconds."""
    return {"p50": percentile(taken, 0.5) * 1e3, "p99": percentile(taken, 0.99) * 1e3}


def beyond(point: Figures, name: str) -> float:
    """What is added beyond the upstream, one signature and one fdatasync, in milliseconds."""
    return float(point["relay"][name] - point["bare"][name] - 1e3 * (point["signature"] + point["fdatasync"]))


def describe(figures: Figures) -> Section:
    """Two tables, a plot of latency by load, and the promises at half load."""
    heading = ["load", "upstream p50 / p99", "relay p50 / p99", "added p50 / p99", "signature", "fdatasync", "beyond p50 / p99"]
    rows = []
    for point in figures["near"]:
        bare, through = point["bare"], point["relay"]
        cells = [_pair(bare), _pair(through), _pair({name: through[name] - bare[name] for name in bare})]
        cells += [short(point["signature"] * 1e3), short(point["fdatasync"] * 1e3)]
        cells.append(_pair({name: beyond(point, name) for name in bare}))
        rows.append([f"{point['share']:.0%} of {figures['capacity']:,.0f}/s", *cells])
    far = [
        [f"{point['clients']}", *(f"{short(point[name]['rate'])}/s, {_pair(point[name])}" for name in ("bare", "relay"))]
        for point in figures["far"]
    ]
    half = next((point for point in figures["near"] if point["share"] == 0.5), None)
    claims = tuple(
        Claim(
            f"Half load, added beyond the signature and one fdatasync: {name}",
            target,
            beyond(half, name) if half else None,
            " ms",
            at_most=True,
        )
        for name, target in (("p50", 3.0), ("p99", 25.0))
    )
    plotted = {
        f"{who} {name}": [(100 * point["share"], point[side][name]) for point in figures["near"]]
        for who, side in (("relay", "relay"), ("upstream", "bare"))
        for name in ("p50", "p99")
    }
    plot = lines("Latency by load", "% of capacity", "ms until the 250", plotted)
    away = table(["clients", "directly: rate, p50 / p99 ms", "through the relay: rate, p50 / p99 ms"], far)
    text = f"{NOTE}\n\n{table(heading, rows)}\n\n{FAR}\n\n{away}"
    return Section("Added latency", text, {"latency.svg": plot}, claims)


def _pair(values: dict[str, float]) -> str:
    return f"{short(values['p50'])} / {short(values['p99'])}"
