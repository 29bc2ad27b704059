"""Measure the relay beside its peers and write benchmarks/RESULTS.md: `python -m benchmarks [--quick] [--only NAME]...`.

Without options: every group, about 35 minutes on two cores, half of them for what is held. --quick: about two minutes, into
.venv/benchmarks. Each group can be run alone; the page is made of the newest figures of all.
"""

import argparse
import json
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import machine
from benchmarks.bench import FAULTS, Bench, Section
from benchmarks.groups import fanout, growing, holding, latency, lists, memory, rules, signing, throughput
from benchmarks.report import not_held, page
from tests.support.service import ROOT

GROUPS: dict[str, ModuleType] = {
    "throughput": throughput,
    "signing": signing,
    "fanout": fanout,
    "latency": latency,
    "memory": memory,
    "lists": lists,
    "rules": rules,
    "growing": growing,
    "holding": holding,
}
BESIDE = "results"  # the folder for plots and raw figures
RAW = f"{BESIDE}/figures.json"


def main() -> int:
    """Run the groups, keep their figures, write the page; 1 when a group could not be measured."""
    wanted = arguments()
    folder = wanted.out or (ROOT / ".venv/benchmarks" if wanted.quick else ROOT / "benchmarks")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whatever was started is ended on the way out
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, most) if most >= 0 else 65_536, most))  # a thousand sessions
    bench = Bench(quick=wanted.quick, workers=wanted.workers)
    if not wanted.report:
        run(bench, wanted.only or list(GROUPS), folder)
    raw = read(folder)
    sections = write(raw, folder)
    for claim in not_held(sections):
        print("not held: {}: {}, measured {}".format(*claim.row()))
    print(f"{folder / 'RESULTS.md'}")
    return 1 if any("fault" in group for group in raw["groups"].values()) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="this group; may be given more than once")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of every system (one for each core)")
    parser.add_argument("--out", type=Path, help="the folder for RESULTS.md and results/")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from figures.json")
    return parser.parse_args()


def run(bench: Bench, names: list[str], folder: Path) -> None:
    """Measure group after group; what is finished is kept although a later one fails."""
    (folder / BESIDE).mkdir(parents=True, exist_ok=True)
    for name in names:
        bench.say(f"== {name}")
        begun, found = time.monotonic(), dict[str, Any](machine.moment())
        try:
            found["figures"] = GROUPS[name].measure(bench)
        except FAULTS as fault:
            bench.say(f"{name}: {fault}")
            found["fault"] = str(fault)
        found["seconds"] = round(time.monotonic() - begun)
        bench.say(f"{name} took {found['seconds']} s")
        raw = read(folder)
        about = {part: what for part, what in machine.about().items() if what != machine.NOT_INSTALLED}
        raw |= {"quick": bench.quick, "machine": raw["machine"] | about, "groups": raw["groups"] | {name: found}}
        (folder / RAW).write_text(json.dumps(raw, indent=1) + "\n", "utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The figures until now."""
    path = folder / RAW
    return json.loads(path.read_text("utf-8")) if path.exists() else {"groups": {}, "machine": {}, "quick": False}


def write(raw: dict[str, Any], folder: Path) -> list[Section]:
    """The page and its plots."""
    sections: list[Section] = []
    faults: dict[str, str] = {}
    for name in filter(raw["groups"].get, GROUPS):
        group = raw["groups"][name]
        try:
            section = GROUPS[name].describe(group["figures"])
            sections.append(replace(section, measured=[str(group.get(part, "")) for part in machine.MOMENT]))
        except (KeyError, ValueError):
            faults[name] = group.get("fault", "its figures are of another version of the benchmark")
    for section in sections:
        for name, plot in section.plots.items():
            (folder / BESIDE / name).write_text(plot, "utf-8")
    (folder / "RESULTS.md").write_text(page(raw["machine"], sections, faults, quick=raw["quick"]), "utf-8")
    return sections


if __name__ == "__main__":
    sys.exit(main())
