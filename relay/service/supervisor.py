"""The parent process: binds the listeners, keeps the workers alive, switches policy sets, serves HTTP.

Each worker has listening sockets of its own (SO_REUSEPORT).  Mail and HTTP
never share a process: a slow scrape delays no mail.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from relay import telemetry
from relay.config import Config, Listen
from relay.doors.smtp.headcount import KEY_OCTETS, shared_memory
from relay.errors import ConfigurationError, RelayError
from relay.hosts import split_host_port
from relay.mail.mailbox import Mailbox
from relay.service.hand import Hand
from relay.service.metrics import Totals, snapshot
from relay.service.notify import notify, watchdog_seconds
from relay.service.policies import PolicyArchive
from relay.service.posting import letter
from relay.service.surroundings import Surroundings
from relay.tasks import spawn

_log = logging.getLogger("relay.service")
WATCH_SECONDS = 1.0
BACKLOG = 1024
METRICS_SECONDS = 0.5
LAST_SECONDS = 10.0  # what a worker gets beyond the time that its mail may take

PREDECESSOR_SECONDS = 5.0
"""How long an address may be taken by workers that end because their supervisor was killed."""


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
        self._started = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._policy = ""

    async def run(self, *, workers: int) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises ConfigurationError when something that the configuration names
        cannot be used, RelayError when a worker cannot start for another
        reason.
        """
        self._handle_signals()
        watching: list[asyncio.Task[None]] = []
        try:
            await self._start(workers)
            if not self._stopping.is_set():
                self._say_ready()
                watching = [spawn(self._feed_watchdog(), "watchdog"), spawn(self._watch(), "watch")]
                await self._stopping.wait()
        finally:
            notify("STOPPING=1")
            self._stopping.set()
            await self._stop()
            for task in watching:
                task.cancel()

    async def _start(self, workers: int) -> None:
        self._hands = self._bind(workers)
        self._use_policy(await self._surroundings.policy_at_start())
        await self._surroundings.serve_http(
            policy=lambda: self._policy,
            metrics=self._metrics_page,
            readiness=self._readiness,
            tell=self._tell_workers,
            post=self._post,
        )
        for hand in self._hands:
            spawn(hand.keep(), f"keep {hand.name}")
        settled = spawn(_all_settled(self._hands), "start of the workers")
        stopped = spawn(self._stopping.wait(), "stop during the start")
        await asyncio.wait({settled, stopped}, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        stopped.cancel()
        for hand in self._hands:
            if hand.failure:
                raise (ConfigurationError if hand.failed_by_configuration else RelayError)(hand.failure)

    def _say_ready(self) -> None:
        listen = self.addresses()
        telemetry.event("ready", pid=os.getpid(), policy=self._policy, listen=listen, http=self._surroundings.addresses())
        notify("READY=1")
        self._started.set()

    def addresses(self) -> dict[str, str]:
        """Where each listener can be reached, with the ports that were taken."""
        bound = {}
        for name, sock in self._hands[0].sockets.items():
            host, port = sock.getsockname()[:2]
            bound[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return bound

    def _bind(self, workers: int) -> list[Hand]:
        sockets: list[dict[str, socket.socket]] = [{} for _ in range(workers)]
        for listen in self._config.listen:
            host, port = split_host_port(listen.address)
            if port:
                _bind_alone(listen, host, port).close()  # sharing would let two relays take turns unnoticed
            for one in sockets:
                one[listen.name] = _bind_one(listen, host, port)
                port = one[listen.name].getsockname()[1]  # port 0: all workers take the one that the first was given
        headcount = shared_memory(workers, os.urandom(KEY_OCTETS))
        return [
            Hand(
                f"worker-{row + 1}",
                one,
                headcount=headcount,
                row=row,
                config_path=self._config_path,
                policy=lambda: self._policy,
                keys=self._surroundings.keys_message,
                totals=self._totals,
            )
            for row, one in enumerate(sockets)
        ]

    # Policy ----------------------------------------------------------------------------------------------------------

    def _use_policy(self, policy_hash: str) -> None:
        self._surroundings.measure_policy(policy_hash)
        self._policy = policy_hash

    async def _switch(self, policy_hash: str) -> None:
        """Tell every worker to use another set, all from the same archive.

        Raises ConfigurationError when the archive does not have it whole.
        """
        self._use_policy(policy_hash)
        await self._tell_workers({"policy": policy_hash})
        telemetry.event("policy", hash=policy_hash)

    async def _tell_workers(self, message: dict[str, Any]) -> None:
        for hand in self._hands:
            await hand.tell(message)

    async def _post(self, sender: Mailbox, recipient: Mailbox, octets: bytes) -> tuple[int, str]:
        """Have a worker take a mail of the relay's own through the line; its reply. Raises OSError when none answers."""
        hand = next((hand for hand in self._hands if not hand.fault()), None)
        if hand is None:
            raise ConnectionResetError("no worker takes mail now")
        async with asyncio.timeout(self._config.delivery.patience + self._config.delivery.past_dot + LAST_SECONDS):
            code, text = await hand.ask({"letter": letter(sender, recipient, octets)})
        return code, text

    async def _watch(self) -> None:
        """Take up what `relay policy apply` puts in force, and look after the workers."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await _attempt(self._take_up(), "the policy set in force cannot be taken up; the one before stays")
            for hand in self._hands:
                await _attempt(hand.look_after(), f"{hand.name} cannot be looked after")

    async def _take_up(self) -> None:
        in_force = self._archive.in_force()
        if in_force is not None and in_force != self._policy and not self._reloading.locked():
            await self._switch(in_force)

    async def _reload(self) -> None:
        """SIGHUP: apply the configured folder."""
        await self._started.wait()
        async with self._reloading:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                applied = await self._surroundings.apply_folder("SIGHUP")
                if applied != self._policy:
                    await self._switch(applied)
            except (RelayError, OSError) as fault:
                telemetry.policy_apply_failures_total.inc()
                _log.error("the policy folder was refused, the set in force stays: %s", fault)
            notify("READY=1")

    # What operators see ----------------------------------------------------------------------------------------------

    async def _metrics_page(self) -> bytes:
        """Ask every worker what it has counted up to now; one that is busy is shown as it was a second ago."""
        with suppress(TimeoutError):
            async with asyncio.timeout(METRICS_SECONDS):
                await asyncio.gather(*(hand.ask_for_counts() for hand in self._hands))
        faults = await self._surroundings.faults()
        telemetry.ready.labels("workers").set(not self._worker_faults())
        for part in ("store", "records"):
            telemetry.ready.labels(part).set(part not in faults)
        telemetry.refusals_waiting_seconds.set(self._surroundings.refusals_waiting())
        self._totals.update("supervisor", snapshot())
        return self._totals.page()

    async def _readiness(self) -> list[str]:
        """Why mail cannot flow, one reason a line; empty when it can."""
        reasons = ["stopping"] if self._stopping.is_set() else []
        reasons += [f"{part}: {why}" for part, why in (await self._surroundings.faults()).items()]
        return reasons + self._worker_faults()

    def _worker_faults(self) -> list[str]:
        return [f"{hand.name}: {fault}" for hand in self._hands if (fault := hand.fault())]

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
        limit = self._config.delivery.patience + self._config.delivery.past_dot + LAST_SECONDS
        await asyncio.gather(*(hand.drain(limit) for hand in self._hands))
        await self._surroundings.aclose()
        telemetry.event("stopped")


async def _all_settled(hands: list[Hand]) -> None:
    for hand in hands:
        await hand.settled.wait()


def _bind_alone(listen: Listen, host: str, port: int) -> socket.socket:
    """Bind what nobody else has bound; workers whose supervisor was killed have it for a moment more."""
    until = time.monotonic() + PREDECESSOR_SECONDS
    while True:
        try:
            return _bind_one(listen, host, port, shared=False)
        except ConfigurationError as fault:
            is_taken = isinstance(fault.__cause__, OSError) and fault.__cause__.errno == errno.EADDRINUSE
            if not is_taken or time.monotonic() > until:
                raise
        time.sleep(0.05)


def _bind_one(listen: Listen, host: str, port: int, *, shared: bool = True) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f'[[listen]] "{listen.name}": {listen.address}: {error.strerror}') from error
    return bound


async def _attempt(work: Coroutine[Any, Any, None], what: str) -> None:
    """One look: whatever its fault is, the next one comes in a second, and nothing else is left without."""
    try:
        await work
    except Exception:  # noqa: BLE001 - a watch that ended would leave a silent worker alone for good
        _log.exception(what)
