"""An upstream that is far away: `python -m benchmarks.distance PORT TARGET MILLISECONDS` delays every octet, both ways.

The delay is one way, so a round trip takes two; the handshake of TCP is as quick as here.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.processes import Process
from tests.support.ports import free_port
from tests.support.service import ROOT


class Distance(Process):
    """The delaying server as a process, in front of a port of 127.0.0.1."""

    def __init__(self, folder: Path, target: int, round_trip_ms: float) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "benchmarks.distance", str(self.port), str(target), str(round_trip_ms / 2)]
        super().__init__(command, log=folder / "distance.log", port=self.port, folder=ROOT)


class _Leg(asyncio.Protocol):
    """One end of a connection; what comes in leaves by the other end a little later, in order."""

    def __init__(self, seconds: float, target: int = 0) -> None:
        self._seconds, self._target = seconds, target
        self._other: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self._target:
            self._task = self._loop.create_task(self._reach())

    async def _reach(self) -> None:
        far = _Leg(self._seconds)
        far._other = self.transport
        self._other, _ = await self._loop.create_connection(lambda: far, "127.0.0.1", self._target)
        for data in self._waiting:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._waiting.append(data)
        else:
            self._loop.call_later(self._seconds, self._other.write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None:
            self._loop.call_later(self._seconds, self._other.close)


async def main(port: int, target: int, milliseconds: float) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(
        lambda: _Leg(milliseconds / 1000, target), "127.0.0.1", port, backlog=1000
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
