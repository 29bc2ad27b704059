"""2. Fan-out: one submission to many recipients, each with a copy and a signature of its own, and several at once."""

from functools import partial
from typing import Any

from benchmarks.bench import Bench, Figures, Section
from benchmarks.figures import Claim, median, ratio_of, short, table
from benchmarks.load import Load, rate, signatures_per_second
from benchmarks.peers.line_up import RELAY, line_up
from benchmarks.plot import bars

NOTE = """\
Copies a second when one submission names so many recipients. A single submission is one process's work, so its ceiling is what
one process signs; the others have that of all cores."""


def measure(bench: Bench) -> Figures:
    """Copies a second on both stores, each round with the ceiling of as many cores as can take part."""
    recipients = 200 if bench.quick else 1000
    at_once = 2 * bench.workers
    ways = {"one submission": (1, 1), f"{at_once} submissions at once": (at_once, bench.workers)}
    found: dict[str, Any] = {}
    with bench.folder() as folder, line_up(bench, folder, peers=False) as (sink, systems, _):
        for system in systems.values():
            rate(system.port, sink, 1, Load(sessions=1, recipients=20))
        for way, (submissions, processes) in ways.items():
            load = Load(sessions=submissions, recipients=recipients)
            rounds = found.setdefault(way, {"ceilings": [], "rates": {name: [] for name in systems}})
            for _ in range(bench.rounds):
                rounds["ceilings"].append(signatures_per_second(processes))
                for name, system in systems.items():
                    work = partial(rate, system.port, sink, submissions, load)
                    rounds["rates"][name].append(bench.attempt(f"{name}, {way}", work))
            bench.say(f"{way}: {rounds}")
    return {"recipients": recipients, "workers": bench.workers, "ways": found}


def describe(figures: Figures) -> Section:
    """Shares of the ceiling, one submission beside several."""
    rows, plotted, shares = [], [], {}
    for way, rounds in figures["ways"].items():
        known = {name: values for name, values in rounds["rates"].items() if values and None not in values}
        of = {name: ratio_of(list(zip(values, rounds["ceilings"], strict=True))) for name, values in known.items()}
        cells = [f"{short(of[name])} ({median(known[name]):,.0f}/s)" if name in of else "-" for name in rounds["rates"]]
        rows.append([way, f"{median(rounds['ceilings']):,.0f}/s", *cells])
        plotted.append((way, of))
        shares[way] = of.get(RELAY)
    names = list(next(iter(figures["ways"].values()))["rates"])
    one, several = shares
    claims = (
        Claim(f"One submission to {figures['recipients']:,} recipients: share of one core's ceiling", 0.7, shares[one]),
        Claim(f"{several.capitalize()}: share of the machine's ceiling", 0.6, shares[several]),
    )
    heading = [f"{figures['recipients']:,} recipients each", "ceiling", *names]
    plots = {"fanout.svg": bars("Fan-out as a share of what the cores can sign", plotted)}
    return Section("Fan-out", f"{NOTE}\n\n{table(heading, rows)}", plots, claims)
