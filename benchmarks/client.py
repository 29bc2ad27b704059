"""A client of our own where smtp-source cannot help: at a chosen rate, with a password, with the time that each message took.

It pipelines, as every client may whose server offers it, and is one process of few instructions, so that it takes little of
the cores that it shares with what it measures.
"""

import asyncio
import random
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any

import uvloop

from benchmarks.load import SENDER

PATIENCE = 90.0  # for one reply
_numbers = count(1)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do it on a quick loop of its own; the first thing that went wrong is raised as itself."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except ExceptionGroup as several:
        raise several.exceptions[0] from None


def unverified() -> ssl.SSLContext:
    """TLS without asking who is there: the server is ours."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def a_message(octets: int) -> bytes:
    """A message of its own with so many octets of body, ready for the wire."""
    number = next(_numbers)
    header = f"From: <{SENDER}>\r\nTo: <reader-{number}@example.org>\r\nSubject: {number}\r\nMIME-Version: 1.0\r\n"
    header += f"Content-Type: text/plain\r\nMessage-ID: <{number}.{time.time_ns()}@client.example>\r\n\r\n"
    return header.encode() + (b"x" * 74 + b"\r\n") * (octets // 76)


class Session(asyncio.Protocol):
    """One connection. Whatever is not accepted raises RuntimeError with the reply."""

    def __init__(self) -> None:
        self._rest = self._reply = b""
        self._replies: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            self._reply += line + b" "
            if line[3:4] != b"-":
                self._replies.put_nowait(self._reply)
                self._reply = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._replies.put_nowait(b"000 the connection was closed")

    @classmethod
    async def open(cls, port: int, *, tls: ssl.SSLContext | None = None, password: str = "") -> "Session":
        """Connect and say EHLO, and AUTH PLAIN as the sender with a password."""
        loop = asyncio.get_running_loop()
        _, session = await loop.create_connection(cls, "127.0.0.1", port, ssl=tls)
        await session.expect(b"220")
        await session.say(b"EHLO client.example\r\n", b"250")
        if password:
            await session.say(b"AUTH PLAIN " + b64encode(f"\0{SENDER}\0{password}".encode()) + b"\r\n", b"235")
        return session

    async def say(self, octets: bytes, *codes: bytes) -> None:
        self.transport.write(octets)
        for code in codes:
            await self.expect(code)

    async def expect(self, code: bytes) -> None:
        reply = await asyncio.wait_for(self._replies.get(), PATIENCE)
        if not reply.startswith(code):
            raise RuntimeError(f"{code.decode()} expected, the reply was {reply.decode(errors='replace')}")

    async def send(self, message: bytes) -> None:
        """One message to one recipient of its own, until its 250."""
        recipient = f"reader-{next(_numbers)}@example.org".encode()
        envelope = b"MAIL FROM:<" + SENDER.encode() + b">\r\nRCPT TO:<" + recipient + b">\r\nDATA\r\n"
        await self.say(envelope, b"250", b"250", b"354")
        await self.say(message + b".\r\n", b"250")

    def close(self) -> None:
        self.transport.abort()


async def _with_sessions(sessions: int, opened: Callable[[], Awaitable[Session]], work: Any) -> Any:
    ready: list[Session] = []
    try:
        while len(ready) < sessions:
            ready += await asyncio.gather(*(opened() for _ in range(min(20, sessions - len(ready)))))
        return await work(ready)
    finally:
        for session in ready:
            session.close()


async def closed_loop(
    port: int, sessions: int, seconds: float, octets: int = 4096, password: str = ""
) -> tuple[float, list[float]]:
    """Each session sends the next message when the last was taken: messages a second, and the seconds of each."""

    async def work(ready: list[Session]) -> tuple[float, list[float]]:
        taken: list[float] = []
        begun = time.perf_counter()

        async def one(session: Session) -> None:
            while (at := time.perf_counter()) < begun + seconds:
                await session.send(a_message(octets))
                taken.append(time.perf_counter() - at)

        async with asyncio.TaskGroup() as group:
            for session in ready:
                group.create_task(one(session))
        return len(taken) / (time.perf_counter() - begun), taken

    return await _with_sessions(sessions, lambda: Session.open(port, password=password), work)


async def open_loop(
    port: int, rate: float, going_on: Callable[[float], bool], *, sessions: int = 100, octets: int = 4096
) -> list[float]:
    """Messages at random moments, `rate` a second, while `going_on(seconds)`: the seconds of each from the moment that was its.

    What waits because all sessions are busy counts as time too.
    """

    async def work(ready: list[Session]) -> list[float]:
        free: asyncio.Queue[Session] = asyncio.Queue()
        for session in ready:
            free.put_nowait(session)
        taken: list[float] = []
        chance = random.Random(4)  # the same moments for everybody

        async def one(at: float) -> None:
            session = await free.get()
            await session.send(a_message(octets))
            taken.append(time.perf_counter() - at)
            free.put_nowait(session)

        begun = at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while going_on(at - begun):
                at += chance.expovariate(rate)
                await asyncio.sleep(at - time.perf_counter())
                group.create_task(one(at))
        return taken

    return await _with_sessions(sessions, lambda: Session.open(port), work)
