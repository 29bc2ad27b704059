"""One SMTP process: listens on sockets that the supervisor bound, and runs the line.

Started as `python -m relay.service`; what it needs to know comes in one
JSON object on the command line, and the keys, which are secret, over the
supervisor's channel.  It obeys that channel: switch to a policy set, take up
keys, say what was counted, drain.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from relay import telemetry
from relay.config import Config, load_config
from relay.doors.smtp.certificates import Certificates
from relay.doors.smtp.contracts import Door
from relay.doors.smtp.headcount import Headcount
from relay.doors.smtp.listening import Listener, serve
from relay.doors.smtp.registry import Registry
from relay.errors import ConfigurationError, RelayError
from relay.keys import parse_keys
from relay.loglines import configure_logging
from relay.records.append import Records
from relay.service.assembly import Assembly, assemble
from relay.service.control import Channel
from relay.service.loop import new_event_loop
from relay.service.metrics import snapshot
from relay.service.policies import PolicyArchive
from relay.service.posting import hand_in
from relay.tasks import spawn

_log = logging.getLogger("relay.service")
STATUS_SECONDS = 1.0
CANNOT_START = 1  # exit status; the reason was told over the channel
_SELDOM = 5000  # objects more than before: no cycle has a mail in it, only sessions that have ended are found, of some 30 each
_SUPERVISOR = "the supervisor's keys"


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor tells a new worker.

    `sockets` are the listeners' file descriptors by name; `row` of `headcount` is its own.
    """

    config: str
    policy: str
    control: int
    sockets: dict[str, int]
    headcount: int
    row: int

    def argument(self) -> str:
        return orjson.dumps(self).decode()


class Worker:
    """The running process."""

    def __init__(
        self, config: Config, assembly: Assembly, archive: PolicyArchive, channel: Channel, headcount: Headcount
    ) -> None:
        self._config = config
        self._assembly = assembly
        self._archive = archive
        self._channel = channel
        self._listeners: list[Listener] = []
        self._registry = Registry(lambda: config.smtp, headcount)
        self._draining = asyncio.Event()
        self._handing_in: set[asyncio.Task[None]] = set()

    async def listen(self, sockets: dict[str, int]) -> None:
        """Start every listener on its sockets. Raises ConfigurationError when the certificate cannot be used."""
        door = Door(
            self._config,
            self._assembly.line,
            self._assembly.authenticator,
            self._registry,
            load_certificates(self._config),
            self._assembly.least_upstream_size,
        )
        for listen in self._config.listen:
            self._listeners.append(await serve(listen, socket.socket(fileno=sockets[listen.name]), door))

    async def run(self) -> None:
        """Take what is held along, and obey the supervisor until it says drain or is gone."""
        self._assembly.courier.start()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._draining.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal's Ctrl-C: the supervisor decides
        await self._channel.send(await self._status())
        obeying = spawn(self._obey(), "control channel")
        reporting = spawn(self._report_status(), "status")
        probing = spawn(self._probe(), "probe")
        await self._draining.wait()
        await self._drain()
        for task in (reporting, obeying, probing):
            task.cancel()
        self._channel.close()

    async def _obey(self) -> None:
        with suppress(ConnectionError):  # the supervisor may go before it is answered
            async for message in self._channel.messages():
                if "policy" in message:
                    await self._switch(message["policy"])
                elif "keys" in message:
                    await self.take_up(message)
                elif "metrics" in message:
                    await self._channel.send({"metrics": snapshot()})
                elif "letter" in message:
                    self._hand_in(message)
                elif "drain" in message:
                    break
        self._draining.set()  # told to, or the supervisor is gone

    def _hand_in(self, message: dict[str, Any]) -> None:
        """Take a mail of the relay's own, beside everything else, and say what the line answered."""
        handing_in = spawn(self._answer(message), "mail of the relay")
        self._handing_in.add(handing_in)
        handing_in.add_done_callback(self._handing_in.discard)

    async def _answer(self, message: dict[str, Any]) -> None:
        try:
            reply = await hand_in(self._assembly.line, message["letter"])
        except Exception:  # noqa: BLE001 - whoever waits for the answer hears that there was none
            _log.exception("a mail of the relay's own failed")
            reply = 451, "internal fault"
        with suppress(ConnectionError):
            await self._channel.send({"answer": message["number"], "reply": reply})

    async def _switch(self, policy_hash: str) -> None:
        try:
            self._assembly.line.policy = await asyncio.to_thread(self._archive.load, policy_hash)
        except RelayError:
            _log.exception("policy set %s cannot be used; the old one stays in force", policy_hash)
        await self._channel.send({"policy": self._assembly.line.policy.hash})

    async def take_up(self, message: dict[str, Any]) -> None:
        """Use the keys that the supervisor uses; where its key file has a fault, let nothing leave."""
        try:
            if message["fault"]:
                await self._assembly.keeper.refuse(message["fault"])
            else:
                await self._assembly.keeper.take_up(parse_keys(message["keys"], _SUPERVISOR))
        except Exception:  # noqa: BLE001 - the store does not answer under keys that it was not opened with; `mend` tries again
            _log.exception("the keys cannot be taken up")

    async def _probe(self) -> None:
        """Learn what each upstream takes (SIZE, SMTPUTF8) before the first mail asks for it."""
        for name, fault in (await self._assembly.upstreams.probe()).items():
            if fault:
                telemetry.event("upstream unavailable", level=logging.WARNING, upstream=name, text=fault)

    async def _report_status(self) -> None:
        """Tell the supervisor every second how this worker is; its silence would end this process."""
        with suppress(ConnectionError):  # the supervisor is gone; `_obey` hears of it too
            while True:
                await asyncio.sleep(STATUS_SECONDS)
                await self._channel.send(await self._status() | {"metrics": snapshot()})

    async def _status(self) -> dict[str, Any]:
        try:
            store = await self._assembly.mend()
        except Exception:  # noqa: BLE001 - whatever is wrong with the store is said, and tried again in a second
            _log.exception("the store cannot be opened")
            store = "cannot be opened; the log says why"
        return {"policy": self._assembly.line.policy.hash, "store": store}

    async def _drain(self) -> None:
        limit = self._config.delivery.patience + self._config.delivery.past_dot + 5
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        await asyncio.gather(self._registry.drain(limit), self._assembly.courier.aclose(limit), *self._handing_in)
        with suppress(ConnectionError):
            await self._channel.send({"metrics": snapshot()})
        await self._assembly.aclose()


def load_certificates(config: Config) -> Certificates | None:
    """The pair of [tls]; None when no listener needs one. Raises ConfigurationError."""
    if all(listen.tls == "none" for listen in config.listen):
        return None
    return Certificates(config.path(config.tls.certificate_file), config.path(config.tls.private_key_file), time.monotonic)


async def work(orders: dict[str, Any]) -> None:
    """Build the worker from its orders and run it."""
    headcount = Headcount.inherited(orders["headcount"], orders["row"])
    config = load_config(orders["config"])
    configure_logging(config.log.level)
    channel = await Channel.over(socket.socket(fileno=orders["control"]))
    first = await channel.receive()
    if first is None:  # the supervisor is gone
        sys.exit(CANNOT_START)
    try:
        archive = PolicyArchive(config.data_path)
        keys = parse_keys(first["keys"], _SUPERVISOR)
        records = Records.open(config.data_path / "records.db", keys, config.records.min_free, time.time)
        policy = archive.load(orders["policy"])
        assembly = await assemble(config, policy, keys, records, processes=headcount.processes)
        worker = Worker(config, assembly, archive, channel, headcount)
        await worker.take_up(first)
        await worker.listen(orders["sockets"])
    except (RelayError, OSError) as error:
        await channel.send({"failed": str(error), "configuration": isinstance(error, ConfigurationError)})
        sys.exit(CANNOT_START)
    gc.freeze()  # what a worker is made of stays: no collection goes through it while mail waits
    gc.set_threshold(_SELDOM)
    gc.enable()
    await worker.run()


def main() -> None:
    """Run a worker process."""
    orders = orjson.loads(sys.argv[1])
    os.umask(0o077)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work(orders))
