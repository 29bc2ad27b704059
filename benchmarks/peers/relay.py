"""The relay with everything on, as a script on the same server would use it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import end
from tests.support.service import ROOT, Relay

LISTEN = '[[listen]]\nname = "bench"\naddress = "127.0.0.1:0"\ntls = "none"\nauth = "none"\n'
TRUST = 'trusted_networks = ["127.0.0.1/32"]'
MATCH = ("match = .*", 'match = { identities = [], listeners = ["bench"], sender_domains = [] }')
# Limits that every message is counted against and that none meets.
LIMITS = [
    (r"(?m)^identity = \[\]", 'identity = ["1000000/minute", "100000000/day"]'),
    (r"(?m)^recipient = \[\]", 'recipient = ["1000000/day"]'),
    (r"(?m)^recipient_domain = \{\}", 'recipient_domain = { "*" = ["1000000/minute"] }'),
]
# One generator stands for many clients and one sink for many upstreams: neither bound is what is measured.
BOUNDS = "[smtp]\nmax_connections = 5000\nmax_connections_per_address = 5000\n"
PATIENCE = 'patience = "60s"'
STORE_MS = 10_000


class BenchRelay(Relay):
    """Judges, records, counts, renders a one-click link for each recipient, signs with RSA-2048 and forwards.

    Its log goes to a file, as journald would take it, so that measuring it costs the relay nothing.
    """

    title = "compliance-relay"

    def __init__(
        self,
        folder: Path,
        sink: int,
        *,
        workers: int,
        store: str = "sqlite",
        rules: str = "",
        extra: str = "",
        listen: str = LISTEN,
        auth: str = TRUST,
        policy: Any = (),
        bounds: str = BOUNDS,
        connections: int = 100,
        holds: bool = False,
    ) -> None:
        super().__init__(
            folder,
            workers=workers,
            store=store,
            policy={"streams/newsletter.toml": [*([MATCH] if auth == TRUST else []), *LIMITS, *policy]},
            listen=listen,
            auth=auth,
            delivery=PATIENCE,
            holds=holds,
            extra=bounds + extra,
            upstreams=f'[[upstream]]\nname = "sink"\naddresses = ["127.0.0.1:{sink}"]\ntls = "none"\nauth = "none"\n'
            f"max_connections = {connections}\nmax_connections_per_identity = {connections}\n",
        )
        if rules:
            with (self.folder / "policies/streams/newsletter.toml").open("a", encoding="utf-8") as file:
                file.write(rules)

    def start(self) -> "BenchRelay":
        """Run `relay serve` and return once it is ready."""
        log = self.folder / "serve.log"
        command = [sys.executable, "-m", "relay", "--config", str(self.config), "serve", "--workers", str(self.workers)]
        with log.open("wb") as file:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            for line in log.read_text("utf-8", "replace").splitlines():
                if line.startswith("{") and '"ready"' in line and (said := json.loads(line))["event"] == "ready":
                    self.listen, self.http = said["listen"], said["http"]
                    self.port = int(next(iter(self.listen.values())).rpartition(":")[2])
                    return self
            time.sleep(0.1)
        end(self.process)
        raise RuntimeError(f"the relay did not start: {log.read_text('utf-8', 'replace')[-800:]}")

    __enter__ = start

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM and wait; the exit status."""
        end(self.process, seconds)
        return int(self.process.returncode)

    def begin(self, *words: object) -> "subprocess.Popen[bytes]":
        """Begin a verb on this relay's files."""
        return subprocess.Popen(self._verb(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)

    def _verb(self, words: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "relay", "--config", str(self.config), "--lang", "en", *map(str, words)]

    def run(self, *words: object, seconds: float) -> float:
        """Run a verb on this relay's files; how long it took."""
        begun = time.monotonic()
        done = subprocess.run(self._verb(words), capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(f"relay {words[0]} {words[1]}: {(done.stdout + done.stderr).strip()[-400:]}")
        return time.monotonic() - begun
