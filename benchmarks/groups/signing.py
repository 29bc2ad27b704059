"""1b. What the signature costs: RSA-2048, Ed25519 beside it, and none at all."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks import client
from benchmarks.bench import Bench, Figures, Section
from benchmarks.figures import Claim, median, ratio_of, short, table
from benchmarks.load import SENDER, Sink, signatures_per_second
from benchmarks.peers.relay import LISTEN, BenchRelay
from benchmarks.plot import bars
from tests.support.service import ROOT

PASSWORD = "for the benchmark"
RSA, BOTH, NONE = "RSA-2048", "RSA-2048 + Ed25519", "no signature"
ED25519 = '[[dkim]]\ndomain = "example.com"\nselector = "s2"\nkey_file = "ed25519.pem"\n'
USERS = 'mode = "users"\nusers_file = "users.toml"'
UNSIGNED = [("required = true", "required = false"), ("one_click = true", "one_click = false")]  # links need a signature
NOTE = """\
4 KB, 20 sessions, connections reused, SQLite. smtp-source knows no passwords, and who is trusted by network alone may write as
the domains that the relay signs for, so these are sent by the benchmark's own pipelining client; the three are comparable."""


def measure(bench: Bench) -> Figures:
    """Rates with each kind of signature, interleaved."""
    found: dict[str, Any] = {"ceilings": [], "rates": {RSA: [], BOTH: [], NONE: []}}
    with bench.folder() as folder, Sink(folder) as sink, ExitStack() as stack:
        relays = {
            RSA: (stack.enter_context(BenchRelay(folder / "rsa", sink.port, workers=bench.workers)), ""),
            BOTH: (stack.enter_context(_with_both(folder / "both", sink.port, bench.workers)), ""),
            NONE: (stack.enter_context(_without(folder / "none", sink.port, bench.workers)), PASSWORD),
        }
        for kind, (relay, password) in relays.items():
            bench.attempt(kind, partial(_rate, relay, password, bench.seconds / 2))
        for _ in range(bench.rounds):
            found["ceilings"].append(signatures_per_second(bench.workers))
            for kind, (relay, password) in relays.items():
                found["rates"][kind].append(bench.attempt(kind, partial(_rate, relay, password, 2 * bench.seconds)))
    bench.say(str(found))
    return found


def _rate(relay: BenchRelay, password: str, seconds: float) -> float:
    return float(client.run(client.closed_loop(relay.port, 20, seconds, password=password))[0])


@contextmanager
def _with_both(folder: Path, sink: int, workers: int) -> Iterator[BenchRelay]:
    relay = BenchRelay(folder, sink, workers=workers, extra=ED25519)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ed25519.pem").write_bytes(key)
    (folder / "ed25519.pem").chmod(0o600)
    with relay:
        yield relay


@contextmanager
def _without(folder: Path, sink: int, workers: int) -> Iterator[BenchRelay]:
    listen = LISTEN.replace('auth = "none"', 'auth = "required"')
    relay = BenchRelay(folder, sink, workers=workers, listen=listen, auth=USERS, policy=UNSIGNED)
    text = relay.config.read_text("utf-8")
    start = text.index("[[dkim]]")
    relay.config.write_text(text[:start] + text[text.index("[unsubscribe]") :], "utf-8")
    command = [sys.executable, "-m", "relay", "--config", str(relay.config), "users", "add", SENDER, "--password-stdin"]
    subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True, cwd=ROOT, timeout=60)
    with relay:
        yield relay


def describe(figures: Figures) -> Section:
    """Shares of the ceiling, and the promise about mail that nobody signs."""
    known = {kind: rates for kind, rates in figures["rates"].items() if rates and None not in rates}
    shares = {kind: ratio_of(list(zip(rates, figures["ceilings"], strict=True))) for kind, rates in known.items()}
    rows = [[kind, f"{short(shares[kind])} ({median(known[kind]):,.0f}/s)"] for kind in known]
    heading = ["", f"share of the ceiling of {median(figures['ceilings']):,.0f}/s"]
    text = f"{NOTE}\n\n{table(heading, rows)}"
    plot = bars("What the signature costs: share of the ceiling", [(kind, {"relay": share}) for kind, share in shares.items()])
    claims = (Claim("Signing off, per core: times one core's RSA rate", 1.25, shares.get(NONE)),)
    return Section("Kinds of signature", text, {"signing.svg": plot}, claims)
