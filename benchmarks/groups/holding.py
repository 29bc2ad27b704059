"""9. Holding: how fast mail is kept and let go, what a service mail waits behind a backlog, and what it costs to hold nothing."""

import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Figures, Section
from benchmarks.figures import Claim, median, ratio_of, short, table
from benchmarks.load import Load, Sink, rate, send
from benchmarks.peers.line_up import RELAY, RELAY_REDIS
from benchmarks.peers.relay import BOUNDS, LISTEN, BenchRelay
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import SHOP, message

COPIES, BACKLOG, QUICK = 100_000, 50_000, 1000
RECIPIENTS = 50  # of one submission
SERVICE_MAILS = 20
EMPTYING_SECONDS = 900.0  # several times what the slower store needs
SERVICE = LISTEN.replace("bench", "service")
SOON = '[hold]\nfirst_retry = "5s"\nlongest_retry = "5s"\n'
NOTE = f"""\
Copies a second of newsletters to {RECIPIENTS} recipients each: taken and kept while nobody listens at the upstream, then sent
when somebody does, each with a signature and a one-click link of its own. Beside them what the same relay sends in session,
one recipient a message. A service mail is handed in while the courier works off a backlog; the time is until its 250, after the
upstream's."""


class _HoldingRelay(BenchRelay):
    """As shipped: what cannot leave is held. It takes service mail on a listener of its own."""

    def __init__(self, folder: Path, sink: int, *, workers: int, store: str, holds: bool = True) -> None:
        super().__init__(
            folder, sink, workers=workers, store=store, listen=LISTEN + SERVICE, bounds=BOUNDS, extra=SOON, holds=holds
        )
        path = self.folder / "policies/streams/receipts.toml"
        match = 'match = { identities = [], listeners = ["service"], sender_domains = [] }'
        self.write_policy("streams/receipts.toml", path.read_text("utf-8"), {"streams/receipts.toml": [("match = .*", match)]})


def measure(bench: Bench) -> Figures:
    """On both stores: in session with and without holding, then in and out, then beside a backlog."""
    found: dict[str, Any] = {"copies": QUICK if bench.quick else COPIES, "backlog": QUICK if bench.quick else BACKLOG}
    for name in (RELAY, RELAY_REDIS):
        with bench.folder() as folder:
            found[name] = _in_session(bench, folder, name)
            found[name] |= _in_and_out(bench, folder, name, found["copies"])
            found[name]["service"] = _beside_a_backlog(bench, folder, name, found["backlog"])
        bench.say(f"{name}: {found[name]}")
    return found


@contextmanager
def _store(folder: Path, name: str) -> Iterator[str]:
    """The URL of a fresh store."""
    with ExitStack() as stack:
        yield stack.enter_context(RedisServer(folder)).url if name == RELAY_REDIS else "sqlite"


def _in_session(bench: Bench, folder: Path, name: str) -> Figures:
    """Messages a second of two relays side by side in front of one sink: one holds, one defers."""
    rates: dict[str, list[float | None]] = {"hold": [], "defer": []}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(folder))
        relays: dict[str, BenchRelay] = {}
        for way in rates:
            url = stack.enter_context(_store(folder / f"redis-{way}", name))
            one = _HoldingRelay(folder / way, sink.port, workers=bench.workers, store=url, holds=way == "hold")
            relays[way] = stack.enter_context(one)
            rate(one.port, sink, 20, Load())
        count = 100 if bench.quick else 3000
        for _ in range(bench.rounds + 2):
            for way, relay in relays.items():
                rates[way].append(bench.attempt(f"{name}, {way}", partial(rate, relay.port, sink, count, Load())))
    return rates


def _in_and_out(bench: Bench, folder: Path, name: str, copies: int) -> Figures:
    """Copies a second that are kept, and that leave when somebody listens."""
    port = free_port()
    with _store(folder / "redis", name) as url:
        relay = _HoldingRelay(folder / "relay", port, workers=bench.workers, store=url)
        kept = _fill(relay, copies)
        (folder / "out").mkdir()
        with Sink(folder / "out", port) as sink, relay:  # another process, which has not found out that nobody listens
            sink.wait_for(1)
            first, begun = sink.messages(), time.monotonic()
            sink.wait_for(copies, EMPTYING_SECONDS)
            left = (copies - first) / (time.monotonic() - begun)
    bench.say(f"{name}: {kept:,.0f}/s in, {left:,.0f}/s out")
    return {"in": kept, "out": left}


def _fill(relay: BenchRelay, copies: int) -> float:
    """Hand in so many copies that cannot leave; copies a second."""
    with relay:
        begun = time.monotonic()
        send(relay.port, copies // RECIPIENTS, Load(recipients=RECIPIENTS))
        return copies / (time.monotonic() - begun)


def _beside_a_backlog(bench: Bench, folder: Path, name: str, copies: int) -> list[float]:
    """Seconds that service mails took while the courier had so many others."""
    port, seconds = free_port(), []
    with _store(folder / "redis-backlog", name) as url:
        relay = _HoldingRelay(folder / "backlog", port, workers=bench.workers, store=url)
        _fill(relay, copies)
        (folder / "backlog-out").mkdir()
        with Sink(folder / "backlog-out", port) as sink, relay:
            sink.wait_for(1)
            for number in range(SERVICE_MAILS):
                seconds.append(_service_mail(relay, number))
                if sink.messages() >= copies:
                    bench.say(f"{name}: the backlog was gone after {number + 1} service mails")
                    break
    return seconds


def _service_mail(relay: BenchRelay, number: int) -> float:
    begun = time.monotonic()
    data = message(f"customer-{number}@example.net", SHOP, f"Receipt {number}")
    with smtplib.SMTP("127.0.0.1", int(relay.listen["service"].rpartition(":")[2]), timeout=120) as client:
        client.ehlo()
        client.mail(SHOP)
        client.rcpt(f"customer-{number}@example.net")
        code, said = client.data(data)
    if code != 250 or b"1 delivered" not in said:
        raise RuntimeError(f"a service mail did not leave: {code} {said.decode()}")
    return time.monotonic() - begun


def describe(figures: Figures) -> Section:
    """A table of both stores, and the promise that holding costs nothing where nothing is held."""
    rows, claims = [], []
    for name in (RELAY, RELAY_REDIS):
        one = figures[name]
        pairs = [(hold, defer) for hold, defer in zip(one["hold"], one["defer"], strict=True) if hold and defer]
        share = ratio_of(pairs) if pairs else None
        session = median([hold for hold, _ in pairs]) if pairs else None
        cells = [f"{one['in']:,.0f}/s", f"{one['out']:,.0f}/s"]
        cells.append(f"{session:,.0f}/s, held copies leave at {short(one['out'] / session)} times that" if session else "-")
        cells.append(f"{short(1e3 * median(one['service']))} / {short(1e3 * max(one['service']))} ms")
        rows.append([name, *cells])
        claims.append(Claim(f"In session with nothing held, {name}: share of the rate without holding", 0.95, share))
    heading = [f"{figures['copies']:,} copies", "kept", "sent later", "in session", "a service mail, median / longest"]
    text = f"{NOTE}\n\n{table(heading, rows)}\n\nThe backlog beside a service mail has {figures['backlog']:,} copies."
    return Section("Holding", text, {}, tuple(claims))
