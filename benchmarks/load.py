"""What every system is measured with: Postfix's generator and its sink, and OpenSSL's own signing rate."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PATH, Process
from tests.support.ports import free_port

SENDER, RECIPIENT = "news@example.com", "reader@example.org"
LAST_SECONDS = 120.0  # what one measurement may take before it counts as failed
UNPRIVILEGED = ["-u", "nobody"] if os.geteuid() == 0 else []  # smtp-sink does not run as root


@dataclass(frozen=True, slots=True)
class Load:
    """One way of sending: `octets` of body, over so many `sessions`, each connection `reused` or used for one message."""

    octets: int = 4096
    sessions: int = 20
    reused: bool = True
    recipients: int = 1

    def __str__(self) -> str:
        size = f"{self.octets // 2**20} MB" if self.octets >= 2**20 else f"{self.octets // 2**10} KB"
        return f"{size}, {self.sessions} sessions, " + ("reused" if self.reused else "one message each")


class Sink(Process):
    """smtp-sink: takes every message, keeps none, and counts them."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.port = port or free_port()
        self._counts = folder / "sink.counts"
        command = ["smtp-sink", "-c", *UNPRIVILEGED, "-m", "4000", f"127.0.0.1:{self.port}", "1000"]
        super().__init__(command, log=self._counts, port=self.port)

    def messages(self) -> int:
        """How many came in until now."""
        with self._counts.open("rb") as file:
            file.seek(max(0, self._counts.stat().st_size - 200))
            found = re.findall(rb"mesg=(\d+)", file.read())
        return int(found[-1]) if found else 0

    def wait_for(self, count: int, seconds: float = LAST_SECONDS) -> None:
        """Return once so many messages came in."""
        end = time.monotonic() + seconds
        while self.messages() < count:
            if time.monotonic() > end:
                raise TimeoutError(f"the sink has {self.messages():,} messages instead of {count:,} after {seconds:.0f} s")
            time.sleep(0.005)


def send(port: int, messages: int, load: Load) -> None:
    """Send so many messages, each to recipients of its own; every one must be accepted."""
    command = ["smtp-source", "-s", str(load.sessions), "-m", str(max(messages, load.sessions)), "-l", str(load.octets)]
    command += ["-N", "-r", str(load.recipients), "-f", SENDER, "-t", RECIPIENT, *(["-d"] if load.reused else [])]
    done = subprocess.run(
        [*command, f"127.0.0.1:{port}"], check=False, capture_output=True, text=True, env=PATH, timeout=LAST_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"smtp-source: {done.stderr.strip()[-300:]}")


def rate(port: int, sink: Sink, messages: int, load: Load) -> float:
    """Copies a second from the first MAIL until the sink has the last one, whoever queues in between."""
    messages = max(messages, load.sessions)
    copies = messages * load.recipients
    before, begun = sink.messages(), time.monotonic()
    send(port, messages, load)
    sink.wait_for(before + copies)
    return copies / (time.monotonic() - begun)


def signatures_per_second(processes: int, seconds: int = 1) -> float:
    """What OpenSSL signs with RSA-2048 on so many processes and nothing else: the ceiling."""
    command = ["openssl", "speed", "-seconds", str(seconds), "-multi", str(processes), "rsa2048"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"openssl speed said something else:\n{said}")
    return float(found[1])
