"""How long suppression lists take, and how much memory at the most, on SQLite.

    python -m benchmarks.suppression [--rows 1000000]

`relay suppress import` takes a list of so many rows, `clean` a recipient list of as many (every other one suppressed),
`export` writes all of it.  The same with a quarter of the rows shows that memory does not grow with them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
    timed("import", rows, lambda: peak_of(config, "suppress", "import", refused, "--reason", "unsubscribe"))
    timed("clean", rows, lambda: peak_of(config, "suppress", "clean", sent, "--out", folder / "clean.csv"))
    timed("export", rows, lambda: peak_of(config, "suppress", "export", "--out", folder / "all.csv"))
    kept, written = lines_of(folder / "clean.csv"), lines_of(folder / "all.csv")
    if (kept, written) != (rows // 2 + 1, rows + 1):
        raise SystemExit(f"{rows:,} rows in, {kept:,} lines kept and {written:,} written")


def timed(verb: str, rows: int, work: Callable[[], int]) -> None:
    """Print what one command took."""
    begun = time.monotonic()
    peak = work()
    took = time.monotonic() - begun
    print(f"{verb:6} {rows:11,} rows {took:7.1f} s {rows / took:9,.0f} rows/s {peak / 2**20:7.0f} MiB at the most", flush=True)


if __name__ == "__main__":
    main()
