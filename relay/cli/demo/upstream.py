"""A small SMTP server that plays the provider in the demo: takes one account's mail and keeps it."""

import asyncio
import base64
import threading
from contextlib import suppress
from dataclasses import dataclass

_MOST = 50 * 1024 * 1024
_EHLO = f"250-provider.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE {_MOST}\r\n250 AUTH PLAIN LOGIN\r\n"
_SIMPLE = {
    "MAIL": "250 2.1.0 OK\r\n",
    "RCPT": "250 2.1.5 OK\r\n",
    "RSET": "250 2.0.0 OK\r\n",
    "NOOP": "250 2.0.0 OK\r\n",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as the provider got it."""

    identity: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


class Provider:
    """Runs on a thread of its own, on a free port of 127.0.0.1."""

    def __init__(self, login: str, password: str) -> None:
        self.taken: list[Taken] = []
        self._secret = f"\0{login}\0{password}"
        self._login = login
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo provider", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2 * _MOST)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop listening, hang up, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):  # whoever hangs up is done
                await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        identity, recipients = "", list[str]()
        writer.write(b"220 provider.example ESMTP\r\n")
        while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
            verb = line[:4].upper()
            if verb == "QUIT":
                break
            if verb == "AUTH":
                identity = self._login if await self._is_right(line, reader, writer) else ""
                answer = "235 2.7.0 OK\r\n" if identity else "535 5.7.8 wrong login or password\r\n"
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                stuffed = b"\r\n" + await reader.readuntil(b"\r\n.\r\n")
                data = stuffed[:-3].replace(b"\r\n.", b"\r\n")[2:]
                self.taken.append(Taken(identity, tuple(recipients), data))
                recipients, answer = [], "250 2.0.0 queued\r\n"
            elif verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
                answer = _SIMPLE[verb]
            else:
                answer = _EHLO if verb == "EHLO" else _SIMPLE.get(verb, "500 5.5.1 what?\r\n")
            writer.write(answer.encode())
        writer.write(b"221 2.0.0 bye\r\n")

    async def _is_right(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        words = line.split()
        if words[1].upper() == "PLAIN":
            return base64.b64decode(words[2]).decode() == self._secret
        said = []
        for prompt in (b"Username:", b"Password:"):
            writer.write(b"334 " + base64.b64encode(prompt) + b"\r\n")
            said.append(base64.b64decode(await reader.readline()).decode())
        return "\0" + "\0".join(said) == self._secret
