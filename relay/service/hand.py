"""One worker as the supervisor sees it: started, heard, told, and replaced when it dies or falls silent."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from relay import telemetry
from relay.service.control import Channel
from relay.service.metrics import Totals
from relay.service.worker import Orders

_log = logging.getLogger("relay.service")
RESTART_SECONDS = 1.0  # a worker that cannot start, or dies young, must not spin
SILENCE_SECONDS = 30.0  # a worker speaks every second; one that does not is wedged


class Hand:
    """One place for a worker, with its listening sockets; the process in it may change.

    The sockets stay open here, so that connections that wait while a worker
    is replaced are not lost.
    """

    def __init__(
        self,
        name: str,
        sockets: dict[str, socket.socket],
        *,
        headcount: int,
        row: int,
        config_path: str,
        policy: Callable[[], str],
        keys: Callable[[], dict[str, Any]],
        totals: Totals,
    ) -> None:
        self.name = name
        self.sockets = sockets
        self.settled = asyncio.Event()
        """The first worker here is ready, or has failed; `failure` tells which."""
        self.failure = ""
        self.failed_by_configuration = False
        self._headcount, self._row = headcount, row  # the connections of all workers, by the descriptor of their memory
        self._config_path = config_path
        self._wanted = policy
        self._keys = keys  # what the worker is told first
        self._totals = totals
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._policy = ""  # the set that the worker says it uses, "" until it is ready
        self._store_fault = ""
        self._heard_at = 0.0
        self._counted = asyncio.Event()
        self._retired = False
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count(1)

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def fault(self) -> str:
        """Why no mail flows through this worker now, "" when it does."""
        if self.pid is None or not self._policy:
            return f"not running{': ' + self.failure if self.failure else ''}"
        if self._store_fault:
            return f"store {self._store_fault}"
        if self._policy != self._wanted():
            return f"policy set {self._policy}, not {self._wanted()}"
        return ""

    async def keep(self) -> None:
        """Run a worker, and another whenever it ends, until `drain`."""
        loop = asyncio.get_running_loop()
        while not self._retired:
            begun = loop.time()
            try:
                await self._run_once()
            except OSError as error:
                self.failure = f"cannot be started: {error.strerror}"
            self._totals.bury(self.name)
            if not self._retired:
                self._say_that_it_ended()
                await asyncio.sleep(0 if loop.time() - begun > 10 * RESTART_SECONDS else RESTART_SECONDS)

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        self._policy, self._store_fault = "", ""
        descriptors = {name: sock.fileno() for name, sock in self.sockets.items()}
        orders = Orders(self._config_path, self._wanted(), theirs.fileno(), descriptors, self._headcount, self._row)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder we are in is nobody's library
                "-m",
                "relay.service",
                orders.argument(),
                pass_fds=(theirs.fileno(), self._headcount, *descriptors.values()),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._heard_at = asyncio.get_running_loop().time()
        self._channel = await Channel.over(ours)
        await self.tell(self._keys())
        async for message in self._channel.messages():
            self._hear(message)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the worker is gone"))
        self._channel.close()
        self._channel, self._policy = None, ""
        await self._process.wait()

    def _hear(self, message: dict[str, Any]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if "metrics" in message:
            self._totals.update(self.name, message["metrics"])
            self._counted.set()
        if "answer" in message and (waiting := self._asked.get(message["answer"])) and not waiting.done():
            waiting.set_result(message["reply"])
        if "store" in message:
            self._store_fault = message["store"]
        if "policy" in message:
            self._policy = message["policy"]
            self.failure = ""
            self.settled.set()
        if "failed" in message:
            self.failure = message["failed"]
            self.failed_by_configuration = message["configuration"]
            self.settled.set()

    def _say_that_it_ended(self) -> None:
        status = self._process.returncode if self._process else None
        self.failure = self.failure or f"ended with status {status}"
        self.settled.set()
        telemetry.event("worker ended", worker=self.name, status=status)
        _log.error("%s: %s; another one is started", self.name, self.failure)

    async def tell(self, message: dict[str, Any]) -> None:
        """Send a message; a worker that is gone does not hear it, and its successor needs not."""
        if self._channel is not None:
            try:
                await self._channel.send(message)
            except ConnectionError:
                _log.info("%s is gone", self.name)

    async def ask(self, message: dict[str, Any]) -> Any:
        """Have the worker do something, and wait for its reply. Raises ConnectionError when it is gone before."""
        if self._channel is None:
            raise ConnectionResetError("there is no worker")
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await self._channel.send(message | {"number": number})
            return await self._asked[number]
        finally:
            del self._asked[number]

    async def ask_for_counts(self) -> None:
        """Have the worker send what it has counted; returns when it did, or has ended. Bound the time outside."""
        if self.pid is None or not self._policy:
            return
        self._counted.clear()
        await self.tell({"metrics": "now"})
        await self._counted.wait()

    async def look_after(self) -> None:
        """Let a worker that was busy or new catch up with the policy set; end one that has fallen silent."""
        if self.pid is None or self._process is None:
            return
        if self._policy and asyncio.get_running_loop().time() - self._heard_at > SILENCE_SECONDS:
            self.failure = f"silent for {SILENCE_SECONDS:.0f} seconds"
            self._process.kill()
        elif self._policy and self._policy != self._wanted():
            await self.tell({"policy": self._wanted()})

    async def drain(self, limit: float) -> None:
        """Take no new connections, let every session finish, then end; one that does not within `limit` is ended."""
        self._retired = True
        for sock in self.sockets.values():
            sock.close()
        if self.pid is None or self._process is None:
            return
        await self.tell({"drain": True})
        try:
            await asyncio.wait_for(self._process.wait(), limit)
        except TimeoutError:
            _log.warning("%s did not drain in %d s and is ended", self.name, limit)
            with suppress(ProcessLookupError):  # it ended while we gave up on it
                self._process.kill()
