"""1. Throughput: sizes, sessions, connections and stores, beside the peers and the ceiling, in interleaved rounds."""

from functools import partial
from typing import Any

from benchmarks.bench import Bench, Figures, Section
from benchmarks.figures import Claim, median, ratio_of, short, table
from benchmarks.load import Load, Sink, rate, signatures_per_second
from benchmarks.peers.haraka import Haraka
from benchmarks.peers.line_up import RELAY, RELAY_REDIS, System, line_up
from benchmarks.peers.postfix import Postfix
from benchmarks.plot import bars

MAIN = Load()
ONE_EACH = Load(reused=False)
WAYS = [(20, True), (20, False), (100, True), (100, False)]  # sessions, connections reused
CASES = [Load(octets, *way) for octets in (4096, 51200, 2**20) for way in (WAYS if octets == 4096 else WAYS[:3])]
QUICK = [MAIN, ONE_EACH, Load(51200), Load(2**20)]
NOTE = """\
Shares of the ceiling (messages a second). The ceiling is what `openssl speed -multi` signs on all cores with nothing else
running, measured in the same round."""
MOST = 20_000  # messages in one measurement


def measure(bench: Bench) -> Figures:
    """Rates of every system in every case, each round with its own ceiling."""
    found: dict[str, Any] = {}
    with bench.folder() as folder, line_up(bench, folder) as (sink, systems, absent):
        for load in QUICK if bench.quick else CASES:
            found[str(load)] = _case(bench, load, sink, systems)
    return {"cases": found, "absent": absent}


def _case(bench: Bench, load: Load, sink: Sink, systems: dict[str, System]) -> Figures:
    """One way of sending, in rounds: the ceiling, then each system."""
    ceilings: list[float] = []
    rates: dict[str, list[float | None]] = {name: [] for name in systems}
    guess = {
        name: bench.attempt(f"{name}, {load}", partial(rate, system.port, sink, load.sessions, load))
        for name, system in systems.items()
    }
    for _ in range(bench.rounds + (2 if load == MAIN and not bench.quick else 0)):
        ceilings.append(signatures_per_second(bench.workers))
        for name, system in systems.items():
            if (expected := guess[name]) is None:
                continue  # said already
            count = int(min(MOST, max(load.sessions, expected * bench.seconds)))
            guess[name] = bench.attempt(f"{name}, {load}", partial(rate, system.port, sink, count, load))
            rates[name].append(guess[name])
    said = ", ".join(f"{name} {_middle(values)}" for name, values in rates.items())
    bench.say(f"{load}: ceiling {median(ceilings):,.0f}/s, {said}")
    return {"ceilings": ceilings, "rates": rates}


def _middle(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):,.0f}/s" if known else "none"


def ratio(case: Figures, name: str) -> float | None:
    """A system's share of the ceiling; None when it was not measured in every round."""
    values = case["rates"].get(name, [])
    if not values or None in values:
        return None
    return ratio_of(list(zip(values, case["ceilings"], strict=False)))


def beside(case: Figures, name: str, peer: str) -> float | None:
    """How many times what the peer does, round by round."""
    ours, theirs = case["rates"].get(name, []), case["rates"].get(peer, [])
    if not ours or not theirs or None in (*ours, *theirs):
        return None
    return ratio_of(list(zip(ours, theirs, strict=False)))


def describe(figures: Figures) -> Section:
    """The table, the plot and the promises."""
    cases = figures["cases"]
    names = list(dict.fromkeys(name for case in cases.values() for name in case["rates"]))
    rows, plotted = [], []
    for title, case in cases.items():
        shares = {name: share for name in names if (share := ratio(case, name)) is not None}
        cells = [f"{short(shares[name])} ({_middle(case['rates'][name])})" if name in shares else "-" for name in names]
        rows.append([title, f"{median(case['ceilings']):,.0f}/s", *cells])
        plotted.append((title, shares))
    text = [
        NOTE,
        table(["One recipient, everything on", "ceiling", *names], rows),
        *(f"Left out: {name} - {why}" for name, why in figures["absent"].items()),
    ]
    main, each = cases.get(str(MAIN), EMPTY), cases.get(str(ONE_EACH), EMPTY)
    claims = (
        Claim("4 KB, connections reused, SQLite: share of the ceiling (the aim is 0.6)", 0.5, ratio(main, RELAY)),
        Claim("4 KB, connections reused, Redis: share of the ceiling", 0.45, ratio(main, RELAY_REDIS)),
        Claim("4 KB, a connection for each message, SQLite: share of the ceiling", 0.35, ratio(each, RELAY)),
        Claim("4 KB, connections reused: times Postfix + OpenDKIM", 3.5, beside(main, RELAY, Postfix.title)),
        Claim("4 KB, connections reused: times Haraka", 3.0, beside(main, RELAY, Haraka.title)),
    )
    plot = bars("Throughput as a share of what the cores can sign", plotted)
    return Section("Throughput", "\n\n".join(text), {"throughput.svg": plot}, claims)


EMPTY: Figures = {"rates": {}, "ceilings": []}
