"""5. Suppression lists of a thousand to ten million: import, file, look-up, and a merge while mail flows."""

import asyncio
import random
import shutil
import subprocess
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import client
from benchmarks.bench import Bench, Figures, Section
from benchmarks.cost import cpu_per_message
from benchmarks.figures import Claim, growth, percentile, short, slope, table
from benchmarks.load import Sink
from benchmarks.peers.relay import BenchRelay
from benchmarks.plot import lines
from benchmarks.processes import end
from relay.config import load_config
from relay.stores.opening import load_or_create_keys, open_store
from tests.support.lists import write_list

SIZES, QUICK = [1000, 100_000, 10_000_000], [1000, 20_000]
LAST_SECONDS = 600.0  # for one import
OCTETS_A_ROW = 1000  # list, table, its log and what SQLite puts beside it, generously
UNCHANGED = 1.25  # the noise of a 99th percentile
NOTE = """\
`relay suppress import` of a list with three columns into SQLite, the start of the command included; then single look-ups in the
same file, half of them of people on the list; then the CPU that a 4 KB message costs with that list."""
MERGED = """\
More rows into the largest list while mail flows at a third of the relay's capacity: latency before and during the import."""


def measure(bench: Bench) -> Figures:
    """Each size by itself; the largest also under load."""
    found: dict[str, Any] = {"sizes": {}, "merge": None}
    sizes = QUICK if bench.quick else SIZES
    for size in sizes:
        with bench.folder() as folder, Sink(folder) as sink:
            if (free := shutil.disk_usage(folder).free) < size * OCTETS_A_ROW:
                bench.say(f"not measured: {size:,} rows: {free / 2**30:.0f} GiB are not enough disk")
                continue
            relay = BenchRelay(folder / "relay", sink.port, workers=bench.workers)
            listed = write_list(folder / "list.csv", range(size))
            seconds = bench.attempt(f"import of {size:,}", partial(_import, relay, listed))
            listed.unlink()
            if seconds is None:
                continue
            found["sizes"][str(size)] = {"import": seconds, "octets": _octets(relay), **asyncio.run(_look_ups(relay, size))}
            with relay:
                found["sizes"][str(size)]["cpu"] = cpu_per_message(relay, sink, 100 if bench.quick else 600)
            bench.say(f"{size:,} rows: {found['sizes'][str(size)]}")
            if size == sizes[-1]:
                found["merge"] = _merge(bench, relay, write_list(folder / "more.csv", _more(size, bench)))
                bench.say(f"merge: {found['merge']}")
    return found


def _more(size: int, bench: Bench) -> range:
    return range(size, size + (20_000 if bench.quick else 300_000))


def _import(relay: BenchRelay, listed: Path) -> float:
    return relay.run("suppress", "import", listed, "--reason", "unsubscribe", seconds=LAST_SECONDS)


def _octets(relay: BenchRelay) -> int:
    return sum(path.stat().st_size for path in relay.data.glob("relay.db*"))


async def _look_ups(relay: BenchRelay, size: int) -> dict[str, float]:
    """Seconds of single look-ups; every answer must be right."""
    config = load_config(str(relay.config))
    keys = load_or_create_keys(config, datetime.now(UTC).date())
    store = await open_store(config, keys, time.time)
    chance, taken = random.Random(5), []
    try:
        for number in range(2200):
            person = chance.randrange(size) + size * (number % 2)
            digests = keys.addresses.digests(f"customer-{person}@example.com")
            begun = time.perf_counter()
            (entries,) = await store.find([digests])
            taken.append(time.perf_counter() - begun)
            if bool(entries) != (person < size):
                raise RuntimeError(f"customer {person} of {size}: {entries}")
    finally:
        await store.aclose()
    warm = taken[200:]
    return {"p50": percentile(warm, 0.5), "p99": percentile(warm, 0.99)}


def _merge(bench: Bench, relay: BenchRelay, listed: Path) -> Figures:
    """What the import of more rows does to mail that flows, and how quick it is then."""
    rows = sum(1 for _ in listed.open("rb")) - 1
    with relay:
        rate = client.run(client.closed_loop(relay.port, 20, 2))[0] / 3
        before = client.run(client.open_loop(relay.port, rate, lambda at: at < (2 if bench.quick else 10)))
        process = relay.begin("suppress", "import", listed, "--reason", "unsubscribe")
        try:
            begun = time.monotonic()
            ended: list[float] = []

            def going_on(at: float) -> bool:
                if process.poll() is not None and not ended:
                    ended.append(time.monotonic() - begun)
                return not ended and at < LAST_SECONDS

            during = client.run(client.open_loop(relay.port, rate, going_on))
            code = process.wait(30)
        finally:
            end(process)
    if code or not ended:
        raise subprocess.SubprocessError(f"the import under load ended with {code}")
    p99 = {"before": percentile(before, 0.99), "during": percentile(during, 0.99)}
    p50 = {"before": percentile(before, 0.5), "during": percentile(during, 0.5)}
    return {"rows": rows, "seconds": ended[0], "rate": rate, "p99": p99, "p50": p50, "messages": len(during)}


def describe(figures: Figures) -> Section:
    """A table, the look-up's line, and the promises."""
    sizes = {int(size): about for size, about in figures["sizes"].items()}
    rows = [
        [
            f"{size:,}",
            f"{about['import']:.1f} s, {size / about['import']:,.0f} rows/s",
            f"{about['octets'] / 2**20:,.1f} MB, {about['octets'] / size:,.0f} octets a row",
            f"{about['p50'] * 1e6:,.0f} / {about['p99'] * 1e6:,.0f} us",
            f"{about['cpu']:,.0f} us",
        ]
        for size, about in sizes.items()
    ]
    parts = [NOTE, table(["rows", "import", "file", "look-up p50 / p99", "CPU of a message"], rows)]
    largest, smallest = max(sizes, default=0), min(sizes, default=0)
    times = sizes[largest]["p50"] / sizes[smallest]["p50"] if len(sizes) > 1 else None
    imported = largest / sizes[largest]["import"] if sizes else None
    merge = figures["merge"]
    if merge:
        cells = [f"{merge[name]['before'] * 1e3:.1f} / {merge[name]['during'] * 1e3:.1f} ms" for name in ("p50", "p99")]
        row = [f"{merge['rows']:,}", f"{merge['rows'] / merge['seconds']:,.0f} rows/s", f"{merge['rate']:,.0f}/s", *cells]
        parts += [MERGED, table(["rows", "merged", "mail", "its p50 before / during", "its p99 before / during"], [row])]
    claims = (
        Claim(f"Look-up p50 at {largest:,} rows: times that at {smallest:,}", 2.0, times, at_most=True),
        Claim(f"Import of {largest:,} rows into an empty SQLite table", 100_000, imported, " rows/s"),
        Claim(f"Merged into {largest:,} rows under load", 30_000, merge["rows"] / merge["seconds"] if merge else None, " rows/s"),
        Claim(
            "Mail's p99 during the merge: times that before (noise of a p99 included)",
            UNCHANGED,
            merge["p99"]["during"] / merge["p99"]["before"] if merge else None,
            at_most=True,
        ),
    )
    plots = {}
    if len(sizes) > 1:
        points = {
            f"look-up {name}": [(float(size), about[name] * 1e6) for size, about in sizes.items()] for name in ("p50", "p99")
        }
        points["CPU of a message"] = cost = [(float(size), about["cpu"]) for size, about in sizes.items()]
        plots["lists.svg"] = lines("Look-up and message by the length of the list", "rows", "microseconds", points)
        for what, line in (("look-up's p50", points["look-up p50"]), ("message's cost", cost)):
            parts.append(f"The {what} grows with the power {short(slope(line))}: {growth(slope(line))}.")
    return Section("Suppression lists", "\n\n".join(parts), plots, claims)
