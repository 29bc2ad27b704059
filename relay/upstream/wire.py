"""One open connection to an upstream, after aiosmtplib has brought it up.

Replies are paired with what was asked for, in order.  A reply that nobody
asked for, one that is malformed or too long, and any 421 end the connection:
a pairing that may be wrong is worth less than a new connection.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable

from relay.tasks import Alarm
from relay.upstream.outcome import UpstreamReply

MAX_REPLY_LINE = 2048  # RFC 5321 section 4.5.3.1.5 says 512; providers put links and ids into theirs
MAX_REPLY_LINES = 100
SERVICE_CLOSING = 421
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


class WireLostError(ConnectionError):
    """The connection ended while something was being written."""


class Wire(asyncio.Protocol):
    """The transport, its unanswered questions, its state, and the alarm of whoever has it.

    `fault` says why the connection is no longer usable, "" while it is: lost,
    malformed, unsolicited, closing (421), aborted, closed.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.fault = ""
        self.on_fault: Callable[[], None] = lambda: None
        self.alarm = Alarm()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._asked: deque[asyncio.Future[UpstreamReply | None]] = deque()
        self._buffer = b""
        self._lines: list[str] = []
        self._code = b""
        self._writable: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._resetting: asyncio.Future[UpstreamReply | None] | None = None
        transport.set_protocol(self)

    def ask(self, *commands: bytes) -> list[asyncio.Future[UpstreamReply | None]]:
        """Write the commands at once and return one future each: its reply, or None when the connection ended first."""
        answers = [self.expect() for _ in commands]
        self.write(b"".join(commands))
        return answers

    def expect(self) -> asyncio.Future[UpstreamReply | None]:
        """Take one more reply as asked for."""
        answer: asyncio.Future[UpstreamReply | None] = self._loop.create_future()
        if self.fault:
            answer.set_result(None)
        else:
            self._asked.append(answer)
        return answer

    def write(self, octets: bytes | memoryview) -> None:
        """Hand octets to the transport; a connection that ended swallows them, its futures tell."""
        if not self.fault:
            self._transport.write(octets)

    async def drain(self) -> None:
        """Let others run, and wait until the transport wants more. Raises WireLostError."""
        await asyncio.sleep(0)  # a transport that failed tells us in the next turn of the loop
        if self._writable is not None:
            await self._writable
        if self.fault or self._transport.is_closing():
            raise WireLostError(self.fault)

    def reset(self) -> None:
        """Ask for RSET without waiting: the transaction was refused, the connection is fine (RFC 5321 section 4.1.1.5)."""
        (self._resetting,) = self.ask(b"RSET\r\n")
        self._resetting.add_done_callback(self._was_reset)

    async def settled(self) -> None:
        """Wait until a reset has been answered."""
        if self._resetting is not None:
            await asyncio.wait([self._resetting])

    def abort(self, fault: str = "aborted") -> None:
        """End the connection at once; everything that waits for a reply gets None."""
        if self.fault:
            return
        self.fault = fault
        self._transport.abort()
        self.alarm.cancel()
        asked, self._asked = self._asked, deque()
        for answer in asked:
            if not answer.done():
                answer.set_result(None)
        self._resume()
        self.on_fault()

    async def close(self, patience: float = 1.0) -> None:
        """Say QUIT and close; cut the line when the other side does not follow in time."""
        if not self.fault:
            self.fault = "closed"
            self.alarm.cancel()
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        await asyncio.wait([self._ended], timeout=patience)
        if not self._ended.done():
            self._transport.abort()
            await self._ended

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is owed by either side, a RSET apart."""
        return not self.fault and not self._buffer and not self._lines and all(a is self._resetting for a in self._asked)

    def data_received(self, data: bytes) -> None:
        if self.fault:
            return
        if self._buffer:
            data = self._buffer + data
        *lines, self._buffer = data.split(b"\n")
        for line in lines:
            if self.fault:
                return
            self._take(line.removesuffix(b"\r"))
        if len(self._buffer) > MAX_REPLY_LINE:
            self.abort("malformed")

    def eof_received(self) -> bool:
        self.abort("lost")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort("lost")
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        if self._writable is None and not self.fault:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        self._resume()

    def _resume(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _was_reset(self, answer: asyncio.Future[UpstreamReply | None]) -> None:
        self._resetting = None
        reply = None if answer.cancelled() else answer.result()
        if reply is None or not reply.is_positive:
            self.abort("malformed")

    def _take(self, line: bytes) -> None:
        found = _LINE.fullmatch(line)
        if found is None or len(line) > MAX_REPLY_LINE or len(self._lines) >= MAX_REPLY_LINES:
            self.abort("malformed")
            return
        code, mark, octets = found.groups()
        text = octets.decode("utf-8", "replace").strip() if octets else ""
        if self._lines or mark == b"-":
            if self._lines and code != self._code:
                self.abort("malformed")
                return
            self._code = code
            self._lines.append(text)
            if mark == b"-":
                return
            texts, self._lines = tuple(self._lines), []
        else:
            texts = (text,)
        self._answered(UpstreamReply(int(code), texts))

    def _answered(self, reply: UpstreamReply) -> None:
        if not self._asked:
            self.abort("closing" if reply.code == SERVICE_CLOSING else "unsolicited")
            return
        answer = self._asked.popleft()
        if not answer.done():
            answer.set_result(reply)
        if reply.code == SERVICE_CLOSING:
            self.abort("closing")
