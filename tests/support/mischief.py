"""An upstream in a process of its own that goes wrong at random, and remembers what it took even when it is killed.

with Mischief(folder, seed=7) as upstream:
    ...                       # point a relay at upstream.address
    upstream.kill()           # kill -9
    upstream.start()          # the same port again
    upstream.heal()           # from now on it does everything right
    upstream.taken()          # recipients, as often as it took mail for them, and whom the reports that it took name

What it takes it writes down before it answers, so a reply that nobody saw counts as well.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from tests.support.ports import free_port
from tests.support.service import ROOT
from tests.support.upstream import Delivery, Fault, RecordingUpstream
from tests.support.waiting import wait_for_server

THROTTLES = [  # in the dress of refusals: of a login, and of a recipient domain
    Fault("RCPT", "550 5.7.1 too many messages from you"),
    Fault("RCPT", "550 5.7.1 frequency limited"),
]
FAULTS: dict[str, list[tuple[float, Fault]]] = {
    "CONNECT": [
        (0.02, Fault("CONNECT", "421 4.3.2 too busy", close=True)),
        (0.01, Fault("CONNECT", "450 4.7.1 not you, not now", close=True)),
        (0.005, Fault("CONNECT", stall=True)),
    ],
    "EHLO": [(0.01, Fault("EHLO", "421 4.3.2 going down", close=True)), (0.005, Fault("EHLO", close=True))],
    "MAIL": [
        (0.02, Fault("MAIL", "450 4.2.1 try later")),
        (0.01, Fault("MAIL", "421 4.7.0 closing", close=True)),
        (0.01, Fault("MAIL", close=True)),
        (0.003, Fault("MAIL", stall=True)),
    ],
    "RCPT": [
        (0.004, Fault("RCPT", "450 4.2.0 try later")),
        *((0.0003, throttle) for throttle in THROTTLES),
        (0.004, Fault("RCPT", "550 5.7.1 we do not want this")),
        (0.001, Fault("RCPT", "421 4.3.0 closing", close=True)),
        (0.001, Fault("RCPT", close=True)),
        (0.0005, Fault("RCPT", stall=True)),
    ],
    "DATA": [
        (0.01, Fault("DATA", "421 4.3.0 closing", close=True)),
        (0.01, Fault("DATA", "450 4.3.0 try later")),
        (0.01, Fault("DATA", close=True)),
        (0.003, Fault("DATA", stall=True)),
    ],
    "BODY": [(0.01, Fault("BODY", close=True))],
    "DOT": [
        (0.03, Fault("DOT", lose=True)),  # taken, and closed without a word
        (0.02, Fault("DOT", close=True)),
        (0.02, Fault("DOT", "450 4.2.0 try later")),
        (0.01, Fault("DOT", "421 4.3.0 closing", close=True)),
        (0.01, Fault("DOT", "554 5.6.0 we do not want this")),
        (0.01, Fault("DOT", delay=5.0)),  # taken, and said after nobody waits any more
        (0.005, Fault("DOT", stall=True)),
    ],
}
NAMED = re.compile(rb"^Final-Recipient: *rfc822; *(\S+)\r$", re.MULTILINE)


class Mischief:
    """The process; see the module's text."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir()
        self.port = free_port()
        self._folder, self._seed, self._lives = folder, seed, 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Mischief":
        self._lives += 1  # a journal for each: what a kill cut off must not spoil the next line
        journal = self._folder / f"{self._lives}.jsonl"
        command = [sys.executable, "-m", "tests.support.mischief", str(self.port), f"{self._seed}.{self._lives}", str(journal)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert self._process.stdout
        said = self._process.stdout
        wait_for_server(self._process, said.readline)
        return self

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate(timeout=30)
            self._process = None

    def heal(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGUSR1)

    def taken(self) -> tuple[Counter[str], set[str]]:
        """How often it took mail for each recipient, and whom the reports name that it took."""
        found: Counter[str] = Counter()
        named: set[str] = set()
        for path in self._folder.glob("*.jsonl"):
            *lines, _cut_off = path.read_text().split("\n")
            for line in lines:
                recipients, about = json.loads(line)
                found.update(recipients)
                named.update(about)
        return found, named


class _Random(RecordingUpstream):
    """Goes wrong by chance."""

    def __init__(self, port: int, seed: str, journal: Path) -> None:
        super().__init__(port=port)
        self._chance = random.Random(seed)
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.is_well = False
        self.on_delivery = self._write_down

    def take_fault(self, at: str, text: str, octets: int = 0) -> Fault | None:
        if self.is_well:
            return None
        number = self._chance.random()
        for share, fault in FAULTS.get(at, ()):
            number -= share
            if number < 0:
                return fault
        return None

    def _write_down(self, delivery: Delivery) -> None:
        self.deliveries.clear()
        if delivery.accepted:
            about = NAMED.findall(delivery.data) if b"multipart/report" in delivery.data else []
            line = json.dumps([delivery.recipients, [name.decode() for name in about]]) + "\n"
            os.write(self._journal, line.encode())


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("seed")
    parser.add_argument("journal", type=Path)
    given = parser.parse_args()
    upstream = _Random(given.port, given.seed, given.journal)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(upstream, "is_well", True))
    with upstream:
        print("listening", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
