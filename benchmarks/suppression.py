"""How long suppression lists take, how much CPU, and how much memory at the most, on SQLite.

    python -m benchmarks.suppression [--rows 1000000]

`relay suppress import` takes a list of so many rows, `clean` a recipient list of as many (all of them suppressed then),
`export` writes all of it.  The same with a quarter of the rows shows that memory does not grow with them.
CPU is of all processes together.  `import` is done a second time, when every row is known, and a third time with as many
rows that are not; meanwhile somebody stands in line for the writers' lock, as a mail would: how long is printed too.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from relay.files import Turn
from tests.support.lists import a_node, lines_of, write_list
from tests.support.memory import peak_of


def main() -> None:
    """Run both sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    wanted = parser.parse_args()
    for rows in (wanted.rows // 4, wanted.rows):
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
            run(Path(folder), rows)
    print(f"Python {sys.version.split()[0]}, SQLite")


def run(folder: Path, rows: int) -> None:
    """One list of one size, in, through and out."""
    config = a_node(folder)
    refused = write_list(folder / "refused.csv", range(rows))
    sent = write_list(folder / "sent.csv", range(rows // 2, rows // 2 + rows))
    more = write_list(folder / "more.csv", range(rows, 2 * rows))
    for name, listed in (("import", refused), ("again", refused), ("merge", more)):
        with in_line(folder / "data" / "relay.db.lock"):
            timed(name, rows, partial(peak_of, config, "suppress", "import", listed, "--reason", "unsubscribe"))
    timed("clean", rows, lambda: peak_of(config, "suppress", "clean", sent, "--out", folder / "clean.csv"))
    timed("export", rows, lambda: peak_of(config, "suppress", "export", "--out", folder / "all.csv"))
    kept, written = lines_of(folder / "clean.csv"), lines_of(folder / "all.csv")
    if (kept, written) != (1, 2 * rows + 1):
        raise SystemExit(f"{rows:,} rows in, {kept:,} lines kept and {written:,} written")


def timed(verb: str, rows: int, work: Callable[[], int]) -> None:
    """Print what one command took."""
    begun, used = time.monotonic(), children_seconds()
    peak = work()
    took, used = time.monotonic() - begun, children_seconds() - used
    speed, cpu = f"{rows / took:9,.0f} rows/s", f"{used / rows * 1e6:6.1f} us of CPU a row"
    print(f"{verb:6} {rows:11,} rows {took:7.1f} s {speed} {cpu} {peak / 2**20:7.0f} MiB at the most", flush=True)


def children_seconds() -> float:
    """CPU of every process that ended, those that they started among them."""
    now = os.times()
    return now.children_user + now.children_system


@contextmanager
def in_line(lock: Path) -> Iterator[None]:
    """Stand in line for the writers' lock again and again, and print how long that took."""
    waits: list[float] = []
    over = threading.Event()

    def stand() -> None:
        lock.parent.mkdir(exist_ok=True)
        turn = Turn(lock)
        while not over.wait(0.004):
            begun = time.perf_counter()
            turn.take()
            turn.give_up()
            waits.append((time.perf_counter() - begun) * 1e3)
        turn.close()

    thread = threading.Thread(target=stand)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(f"       the writers' lock: {p50:.2f} ms p50, {p99:.2f} ms p99, {waits[-1]:.1f} ms at the most", flush=True)


if __name__ == "__main__":
    main()
