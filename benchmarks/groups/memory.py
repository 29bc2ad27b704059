"""4. Memory: an idle worker, sessions that say nothing, and large messages in flight."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from benchmarks import client
from benchmarks.bench import Bench, Figures, Section
from benchmarks.client import Session
from benchmarks.figures import Claim, table
from benchmarks.load import SENDER, Sink
from benchmarks.peers.relay import BOUNDS, LISTEN, BenchRelay
from benchmarks.plot import bars
from benchmarks.processes import resident

MB = 2**20
LARGE = 25 * MB
CHUNK = MB // 4
TLS = '[[listen]]\nname = "tls"\naddress = "127.0.0.1:0"\ntls = "implicit"\nauth = "none"\n'
FILES = '[tls]\ncertificate_file = "tls.pem"\nprivate_key_file = "tls.key"\n'
ROOM = BOUNDS + 'max_in_flight = "2GiB"\n'
NOTE = """\
Resident memory of one worker process, and of the one that watches it. Sessions have said EHLO and wait. Large messages have all
been received but for their last line before the first is judged; the peak is the most that the kernel ever saw until all were
answered."""


def measure(bench: Bench) -> Figures:
    """Octets, each with a worker that was just started."""
    sessions, messages = (200, 5) if bench.quick else (1000, 50)
    found: dict[str, Any] = {"sessions": sessions, "messages": messages}
    with bench.folder() as folder, Sink(folder) as sink:
        for name, tls in (("plain", False), ("TLS", True)):
            with _one_worker(folder / name, sink.port) as relay:
                found[f"idle before {name}"] = _resident(relay)
                found["supervisor"] = resident([relay.process.pid])
                found[name] = client.run(_idle(relay, sessions, tls=tls)) - found[f"idle before {name}"]
                bench.say(str(found))
        needed = 5 * messages * LARGE  # the relay, the sink's and the client's buffers
        if (free := _available()) < needed:
            bench.say(f"not measured: large messages: {needed / MB:,.0f} MB free memory needed, {free / MB:,.0f} there")
        else:
            with _one_worker(folder / "large", sink.port) as relay:
                before = _resident(relay)
                taken = bench.attempt("large messages", lambda: client.run(_in_flight(relay.port, messages)))
                if taken is not None:
                    found |= {"large": resident(relay.worker_pids(), "VmHWM") - before, "taken": taken}
                bench.say(str(found))
    return found


@contextmanager
def _one_worker(folder: Path, sink: int) -> Iterator[BenchRelay]:
    relay = BenchRelay(folder, sink, workers=1, listen=LISTEN + TLS, bounds=ROOM, extra=FILES)
    certificate = trustme.CA().issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.key").chmod(0o600)
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "tls.pem", append=True)
    with relay:
        time.sleep(2)  # past what a start leaves behind
        yield relay


def _resident(relay: BenchRelay) -> int:
    return resident(relay.worker_pids())


def _available() -> int:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


async def _idle(relay: BenchRelay, sessions: int, *, tls: bool) -> int:
    """The worker's memory while so many sessions wait."""
    port = int(relay.listen["tls" if tls else "bench"].rpartition(":")[2])
    context = client.unverified() if tls else None
    held: list[Session] = []
    try:
        while len(held) < sessions:
            held += await asyncio.gather(*(Session.open(port, tls=context) for _ in range(20)))
        await asyncio.sleep(1)
        return _resident(relay)
    finally:
        for session in held:
            session.close()


async def _in_flight(port: int, messages: int) -> int:
    """Send so many large messages to the last line but one, then end them all at once; how many were taken at the first try."""
    taken = 0
    body = (b"x" * 74 + b"\r\n") * (CHUNK // 76)
    together = asyncio.Barrier(messages)

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def said(*codes: bytes) -> bytes:
            while True:
                line = await asyncio.wait_for(reader.readline(), client.PATIENCE)
                if not line.startswith(codes):
                    raise RuntimeError(f"{codes} expected, the reply was {line.decode(errors='replace').strip()!r}")
                if line[3:4] == b" ":
                    return line

        async def say(text: str, *codes: bytes) -> bytes:
            writer.write(text.encode())
            return await said(*codes)

        await said(b"220")
        await say("EHLO client.example\r\n", b"250")
        await say(f"MAIL FROM:<{SENDER}>\r\n", b"250")
        await say(f"RCPT TO:<large-{number}@example.org>\r\n", b"250")
        await say("DATA\r\n", b"354")
        writer.write(client.a_message(0))
        for _ in range(LARGE // len(body)):
            writer.write(body)
            await writer.drain()
        async with asyncio.timeout(client.PATIENCE):
            await together.wait()
        nonlocal taken
        reply = await say(".\r\n", b"250", b"451")
        taken += reply.startswith(b"250")
        writer.close()

    async with asyncio.TaskGroup() as group:
        for number in range(messages):
            group.create_task(one(number))
    return taken


def describe(figures: Figures) -> Section:
    """A table, bars, and the promises."""
    sessions, messages = figures["sessions"], figures["messages"]
    idle = figures["idle before plain"] / MB
    grown = {f"{sessions:,} idle sessions, {name}": figures[name] / MB for name in ("plain", "TLS")}
    rows = [["idle worker", f"{idle:.0f} MB", ""], ["supervisor and HTTP", f"{figures['supervisor'] / MB:.0f} MB", ""]]
    rows += [[name, f"+ {size:.1f} MB", f"{1024 * size / sessions:.0f} KB each"] for name, size in grown.items()]
    times = None
    if "large" in figures:
        times = figures["large"] / (messages * LARGE)
        rows.append(
            [
                f"{messages} x 25 MB in flight",
                f"+ {figures['large'] / MB:,.0f} MB",
                f"{times:.2f} x the messages; {figures['taken']} taken at once, the others deferred",
            ]
        )
    tls = grown[f"{sessions:,} idle sessions, TLS"] * 1000 / sessions
    claims = (
        Claim("1,000 idle TLS sessions", 60, tls, " MB", at_most=True),
        Claim("An idle worker", 80, idle, " MB", at_most=True),
        Claim(f"{messages} x 25 MB in flight: times their size", 2.5, times, at_most=True),
    )
    plotted = [("idle worker", {"MB": idle}), *((name, {"MB": size}) for name, size in grown.items())]
    text = f"{NOTE}\n\n{table(['', 'memory', ''], rows)}"
    return Section("Memory", text, {"memory.svg": bars("Resident memory of a worker, MB", plotted)}, claims)
