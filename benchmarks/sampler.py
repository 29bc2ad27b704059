"""What one signature and one fdatasync cost while something else runs: `python -m benchmarks.sampler FOLDER`.

A process of its own, until its standard input ends; it says when it begins, and at last both medians in seconds as JSON.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.figures import median
from tests.support.service import ROOT

PAUSE = 0.05
LAST_SECONDS = 120.0


@contextmanager
def sampling(folder: Path) -> Iterator[dict[str, float]]:
    """Fill the dictionary with "signature" and "fdatasync" at the end of the block."""
    found: dict[str, float] = {}
    command = [sys.executable, "-m", "benchmarks.sampler", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout
        process.stdout.readline()  # starting Python and making a key would disturb what is measured
        yield found
        found |= json.loads(process.communicate(timeout=30)[0])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def main() -> None:
    """Sample until nobody listens any more."""
    key = generate_private_key(65537, 2048)
    signatures: list[float] = []
    syncs: list[float] = []
    until = time.monotonic() + LAST_SECONDS
    path = Path(sys.argv[1]) / "sampled"
    print(flush=True)
    with path.open("wb") as file:
        while time.monotonic() < until and not select.select([sys.stdin], [], [], PAUSE)[0]:
            signatures.append(_timed(lambda: key.sign(b"x", PKCS1v15(), SHA256())))
            file.write(bytes(4096))
            file.flush()
            syncs.append(_timed(lambda: os.fdatasync(file.fileno())))
    path.unlink()
    print(json.dumps({"signature": median(signatures or [0.0]), "fdatasync": median(syncs or [0.0])}))


def _timed(work: Any) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
