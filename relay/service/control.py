"""The channel between the supervisor and one worker: JSON, one object a line, over a socket pair."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson

_LIMIT = 16 * 1024 * 1024  # a metrics snapshot is a few tens of kilobytes


class Channel:
    """One end. `send` never waits for the other side for long: messages are small and few."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> "Channel":
        """Use a connected stream socket."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=_LIMIT)
        return cls(reader, writer)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one object. Raises ConnectionError when the other side is gone."""
        if self._writer.is_closing():  # uvloop's transport would raise RuntimeError
            raise ConnectionResetError("the other side is gone")
        self._writer.write(orjson.dumps(message) + b"\n")
        await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """The next object; None when the other side is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        return orjson.loads(line) if line.endswith(b"\n") else None

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Everything the other side sends, until it is gone."""
        while (message := await self.receive()) is not None:
            yield message

    def close(self) -> None:
        self._writer.close()
