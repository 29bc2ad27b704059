"""The parent process: binds the listeners, keeps the workers alive, switches policy sets, serves HTTP.

Each worker has listening sockets of its own (SO_REUSEPORT); the supervisor
keeps them open, so that connections that wait while a worker is replaced are
not lost.  Mail and HTTP never share a process: a slow scrape delays no mail.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from relay import telemetry
from relay.config import Config, Listen, split_host_port
from relay.errors import ConfigurationError, RelayError
from relay.service.control import Channel
from relay.service.metrics import Totals, snapshot
from relay.service.notify import notify, watchdog_seconds
from relay.service.policies import PolicyArchive
from relay.service.surroundings import Surroundings
from relay.service.worker import Orders
from relay.tasks import spawn

_log = logging.getLogger("relay.service")
RESTART_SECONDS = 1.0  # a worker that cannot start must not spin
POLICY_WATCH_SECONDS = 1.0
BACKLOG = 1024
METRICS_SECONDS = 0.5


@dataclass
class Hand:
    """One worker as the supervisor sees it."""

    name: str
    sockets: dict[str, list[socket.socket]]
    process: asyncio.subprocess.Process | None = None
    channel: Channel | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    policy: str = ""
    store_fault: str = "starting"
    failure: str = ""
    counted: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Start everything, keep it running, stop it in order."""

    def __init__(self, config: Config, config_path: str, archive: PolicyArchive, surroundings: Surroundings) -> None:
        self._config = config
        self._config_path = config_path
        self._archive = archive
        self._surroundings = surroundings
        self._hands: list[Hand] = []
        self._totals = Totals()
        self._stopping = asyncio.Event()
        self._policy = ""

    async def run(self, *, workers: int) -> None:
        """Serve until SIGTERM or SIGINT. Raises ConfigurationError when a worker cannot start at all."""
        self._hands = self._bind(workers)
        self._policy = await self._surroundings.policy_at_start()
        telemetry.shadow_streams.set(self._surroundings.shadow_streams(self._policy))
        telemetry.policy_info.labels(self._policy).set(1)
        for hand in self._hands:
            spawn(self._keep(hand), f"keep {hand.name}")
        await self._until_ready()
        await self._surroundings.serve_http(policy=lambda: self._policy, metrics=self._metrics_page, readiness=self._readiness)
        self._handle_signals()
        telemetry.event(
            "ready", pid=os.getpid(), policy=self._policy, listen=self.addresses(), http=self._surroundings.addresses()
        )
        notify("READY=1")
        tasks = [spawn(self._watch_policy(), "policy watch"), spawn(self._feed_watchdog(), "watchdog")]
        await self._stopping.wait()
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await self._stop()

    def addresses(self) -> dict[str, str]:
        """Where each listener can be reached, with the ports that were taken."""
        bound = {}
        for name, sockets in self._hands[0].sockets.items():
            host, port = sockets[0].getsockname()[:2]
            bound[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return bound

    # Workers ---------------------------------------------------------------------------------------------------------

    def _bind(self, workers: int) -> list[Hand]:
        hands = [Hand(f"worker-{number}", {}) for number in range(1, workers + 1)]
        for listen in self._config.listen:
            host, port = split_host_port(listen.address)
            for hand in hands:
                bound = _bind_one(listen, host, port)
                port = bound.getsockname()[1]  # port 0: all workers take the one that the first was given
                hand.sockets[listen.name] = [bound]
        return hands

    async def _keep(self, hand: Hand) -> None:
        """Run the worker, again and again until the service stops."""
        while not self._stopping.is_set():
            try:
                await self._run_once(hand)
            except OSError:
                _log.exception("%s could not be started", hand.name)
            self._totals.bury(hand.name)
            hand.store_fault = "restarting"
            if not self._stopping.is_set():
                telemetry.event("worker ended", worker=hand.name, status=hand.process.returncode if hand.process else None)
                await asyncio.sleep(RESTART_SECONDS)

    async def _run_once(self, hand: Hand) -> None:
        ours, theirs = socket.socketpair()
        descriptors = {name: [sock.fileno() for sock in sockets] for name, sockets in hand.sockets.items()}
        orders = Orders(self._config_path, self._policy, theirs.fileno(), descriptors)
        inherited = (theirs.fileno(), *(number for numbers in descriptors.values() for number in numbers))
        try:
            hand.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "relay.service.worker", orders.argument(), pass_fds=inherited
            )
        finally:
            theirs.close()
        hand.channel = await Channel.over(ours)
        async for message in hand.channel.messages():
            self._heard(hand, message)
        hand.channel.close()
        await hand.process.wait()

    def _heard(self, hand: Hand, message: dict[str, Any]) -> None:
        if "metrics" in message:
            self._totals.update(hand.name, message["metrics"])
            hand.counted.set()
        if "store" in message:
            hand.store_fault = message["store"]
        if "ready" in message:
            hand.policy = message["ready"]
            hand.ready.set()
        if "policy" in message:
            hand.policy = message["policy"]
        if "failed" in message:
            hand.failure = message["failed"]
            hand.ready.set()

    async def _until_ready(self) -> None:
        await asyncio.gather(*(hand.ready.wait() for hand in self._hands))
        for hand in self._hands:
            if hand.failure:
                self._stopping.set()
                await self._stop()
                raise ConfigurationError(hand.failure)

    # Policy ----------------------------------------------------------------------------------------------------------

    async def _switch(self, policy_hash: str) -> None:
        """Tell every worker to use another set, all from the same archive."""
        telemetry.policy_info.clear()
        telemetry.policy_info.labels(policy_hash).set(1)
        telemetry.shadow_streams.set(self._surroundings.shadow_streams(policy_hash))
        self._policy = policy_hash
        for hand in self._hands:
            if hand.channel is not None:
                await _tell(hand, {"policy": policy_hash})
        telemetry.event("policy", hash=policy_hash)

    async def _watch_policy(self) -> None:
        """`relay policy apply` puts another set in force in the archive; take it up."""
        while True:
            await asyncio.sleep(POLICY_WATCH_SECONDS)
            in_force = self._archive.in_force()
            if in_force is not None and in_force != self._policy:
                await self._switch(in_force)
            for hand in self._hands:  # a worker that was replaced meanwhile, or could not take it up at once
                if hand.channel is not None and hand.ready.is_set() and hand.policy != self._policy:
                    await _tell(hand, {"policy": self._policy})

    async def _reload(self) -> None:
        """SIGHUP: apply the configured folder."""
        notify("RELOADING=1")
        try:
            applied = await self._surroundings.apply_folder("SIGHUP")
        except RelayError as fault:
            telemetry.policy_apply_failures_total.inc()
            telemetry.event("policy refused", text=str(fault))
        else:
            await self._switch(applied)
        notify("READY=1")

    # What operators see ----------------------------------------------------------------------------------------------

    async def _metrics_page(self) -> bytes:
        """Ask every worker what it has counted up to now; one that is busy is shown as it was a second ago."""
        for hand in self._hands:
            hand.counted.clear()
            await _tell(hand, {"metrics": "now"})
        with suppress(TimeoutError):
            async with asyncio.timeout(METRICS_SECONDS):
                for hand in self._hands:
                    await hand.counted.wait()
        self._totals.update("supervisor", snapshot())
        return self._totals.page()

    async def _readiness(self) -> list[str]:
        """Why mail cannot flow, one reason a line; empty when it can."""
        reasons = await self._surroundings.faults()
        for hand in self._hands:
            if hand.process is None or hand.process.returncode is not None:
                reasons.append(f"{hand.name}: not running")
            elif hand.store_fault:
                reasons.append(f"{hand.name}: store {hand.store_fault}")
            elif hand.policy != self._policy:
                reasons.append(f"{hand.name}: policy set {hand.policy}, not {self._policy}")
        return reasons

    async def _feed_watchdog(self) -> None:
        seconds = watchdog_seconds()
        while seconds is not None:
            notify("WATCHDOG=1")
            await asyncio.sleep(seconds / 3)

    # The end ---------------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: spawn(self._reload(), "reload"))

    async def _stop(self) -> None:
        """Take no new connections, let every session finish, then end."""
        for hand in self._hands:
            for sockets in hand.sockets.values():
                for sock in sockets:
                    sock.close()
        for hand in self._hands:
            await _tell(hand, {"drain": True})
        limit = self._config.delivery.patience + self._config.delivery.past_dot + 10
        await asyncio.gather(*(_ended(hand, limit) for hand in self._hands))
        await self._surroundings.aclose()
        telemetry.event("stopped")


async def _tell(hand: Hand, message: dict[str, Any]) -> None:
    if hand.channel is not None:
        try:
            await hand.channel.send(message)
        except ConnectionError:
            _log.info("%s is gone", hand.name)


async def _ended(hand: Hand, limit: float) -> None:
    if hand.process is None or hand.process.returncode is not None:
        return
    try:
        await asyncio.wait_for(hand.process.wait(), limit)
    except TimeoutError:
        _log.warning("%s did not drain in %d s and is ended", hand.name, limit)
        hand.process.kill()


def _bind_one(listen: Listen, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f'[[listen]] "{listen.name}": {listen.address}: {error.strerror}') from None
    return bound
