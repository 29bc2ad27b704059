"""The most memory that a `relay` command ever had, measured from a small process of its own.

What the kernel says of a child begins with its parent's memory, so the tests,
which are large, cannot be the parent: `python -m tests.support.memory COMMAND`
runs the command and writes the octets of its peak as the last line on stderr.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def peak_of(config: Path, *words: object, code: int = 0) -> int:
    """Run `relay WORDS` on a configuration; return the octets of its peak resident set."""
    command = [sys.executable, "-m", "relay", "--config", str(config), "--lang", "en", *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "tests.support.memory", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return int(done.stderr.splitlines()[-1])


def main(command: list[str]) -> int:
    """Run the command, say its peak, return its exit code."""
    code = subprocess.call(command)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
