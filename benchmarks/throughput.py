"""How many messages a second the relay forwards, as a ratio to what the machine can sign.

    python -m benchmarks.throughput [--messages 2000] [--sessions 20] [--octets 4096] [--store sqlite|redis] [--rounds 3]

Postfix's smtp-source sends over reused connections to the relay, which judges, records, signs (RSA-2048, one-click link
per recipient) and forwards to Postfix's smtp-sink; `openssl speed` is interleaved as the ceiling.  All on 127.0.0.1.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.redis_server import RedisServer
from tests.support.service import Relay

PATH = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--store", choices=["sqlite", "redis"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    rates, ceilings = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        sink = free_port()
        as_root = ["-u", "nobody"] if os.geteuid() == 0 else []  # smtp-sink does not run as root
        stack.enter_context(running("smtp-sink", *as_root, f"127.0.0.1:{sink}", "1000", wait_for=sink))
        url = "sqlite"
        if wanted.store == "redis":
            redis = RedisServer(folder / "redis")
            redis.start()
            stack.callback(redis.stop)
            url = redis.url
        relay = stack.enter_context(bench_relay(folder / "relay", sink, url, wanted.workers))
        send(relay.port, 100, wanted.sessions, wanted.octets)  # warm: connections, caches
        for number in range(wanted.rounds):
            rate = send(relay.port, wanted.messages, wanted.sessions, wanted.octets)
            ceiling = signatures_per_second(wanted.workers)
            rates.append(rate)
            ceilings.append(ceiling)
            print(f"round {number + 1}: {rate:7.0f} messages/s, {ceiling:7.0f} signatures/s, ratio {rate / ceiling:.2f}")
    ratio = statistics.median(rate / ceiling for rate, ceiling in zip(rates, ceilings, strict=True))
    print(f"median: {statistics.median(rates):.0f} messages/s, {ratio:.2f} of the ceiling")
    circumstances = f"{wanted.store}, {wanted.workers} workers, {wanted.sessions} sessions, {wanted.octets} octets"
    print(f"Python {sys.version.split()[0]}, {circumstances}")


def bench_relay(folder: Path, sink: int, store: str, workers: int) -> Relay:
    """A relay that trusts this machine, as a script on a server would use it."""
    match = 'match = { identities = [], listeners = ["bench"], sender_domains = [] }'
    return Relay(
        folder,
        workers=workers,
        store=store,
        policy={"streams/newsletter.toml": [("match = .*", match)]},
        listen='[[listen]]\nname = "bench"\naddress = "127.0.0.1:0"\ntls = "none"\nauth = "none"\n',
        auth='trusted_networks = ["127.0.0.1/32"]',
        upstreams=f'[[upstream]]\nname = "sink"\naddresses = ["127.0.0.1:{sink}"]\ntls = "none"\nauth = "none"\n',
    )


def send(port: int, messages: int, sessions: int, octets: int) -> float:
    """Send so many messages and return the rate in messages a second."""
    command = ["smtp-source", "-d", "-s", str(sessions), "-m", str(messages), "-l", str(octets)]
    command += ["-f", "news@example.com", "-t", "ada@example.org", f"127.0.0.1:{port}"]
    begun = time.monotonic()
    subprocess.run(command, check=True, env=PATH, timeout=600)
    return messages / (time.monotonic() - begun)


def signatures_per_second(processes: int) -> float:
    """What OpenSSL signs with RSA-2048 on so many processes."""
    command = ["openssl", "speed", "-seconds", "2", "-multi", str(processes), "rsa2048"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)", said)
    if found is None:
        raise SystemExit(f"openssl speed said something else:\n{said}")
    return float(found[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class running:  # noqa: N801 - reads as a word in a with statement
    """A server process for the length of a with statement."""

    def __init__(self, *command: str, wait_for: int) -> None:
        self._command, self._port = command, wait_for

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, env=PATH, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"{self._command[0]} does not listen")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


if __name__ == "__main__":
    main()
