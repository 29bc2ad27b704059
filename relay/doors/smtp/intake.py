"""Octets from the client: command lines, and message data up to CRLF "." CRLF.

Only that sequence ends data.  A dot between bare CRs or LFs, or beside a NUL,
is data like any other (SMTP smuggling): what we take for the end must be what
every other server takes for it.  The data is searched, not split into lines,
so that 100 KB cost as much as one look through them; bounds are applied while
reading, and a message over a bound is read to its end without being kept.
"""

import asyncio
from collections.abc import Callable

TERMINATOR = b"\r\n.\r\n"
CHUNK = 64 * 1024
_OVERLAP = len(TERMINATOR) - 1
_CRLF_AND_DOT = 3  # what a line of the allowed length has beside its text: CR LF and a stuffed dot


class ClientGone(Exception):
    """The connection has ended: at end of file, or by an error of the network."""


class LineTooLong(Exception):
    """A command line was longer than allowed and has been skipped to its end."""


class TooBig(Exception):
    """The message is over the size limit; it has been read to its end."""


class DataLineTooLong(Exception):
    """A line of the message is over the limit; the message has been read to its end."""


class NoRoom(Exception):
    """The process holds too much mail; the message has been read to its end."""


class Inlet(asyncio.StreamReader):
    """asyncio's reader, whose `read` takes one step where the original takes three: a session spends its life in it."""

    _buffer: bytearray
    _eof: bool
    _exception: Exception | None
    _loop: asyncio.AbstractEventLoop
    _paused: bool
    _waiter: asyncio.Future[None] | None
    _maybe_resume_transport: Callable[[], None]

    async def read(self, n: int = -1) -> bytes:
        """What has arrived, at most `n` octets, which are more than none; b"" at the end."""
        if self._exception is not None:
            raise self._exception
        if not self._buffer and not self._eof:
            if self._paused:
                self._maybe_resume_transport()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(memoryview(self._buffer)[:n])
        del self._buffer[:n]
        if self._paused:
            self._maybe_resume_transport()
        return data


class Intake:
    """The input side of one connection. When it ends every reader raises ClientGone."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    @property
    def has_line(self) -> bool:
        """Whether a command line is here already, so that its reply can go out with the one before."""
        return b"\n" in self._buffer or b"\n" in self._unread

    @property
    def is_empty(self) -> bool:
        return not self._buffer and not self._unread

    def clear(self) -> None:
        """Forget what came before the TLS handshake (RFC 3207 section 4.2)."""
        self._buffer.clear()
        self._unread.clear()

    def follow(self, transport: asyncio.BaseTransport) -> None:
        """Read from the TLS transport that took the connection over."""
        self._reader._transport = transport  # type: ignore[attr-defined]  # set_transport insists on being the first

    async def line(self, limit: int) -> bytes:
        """The next line with its LF, at most `limit` octets.

        Raises LineTooLong when it was longer.
        """
        buffer, searched, too_long = self._buffer, 0, False
        while (end := buffer.find(b"\n", searched)) < 0:
            if len(buffer) > limit:
                too_long = True
                buffer.clear()
            searched = len(buffer)
            try:
                buffer += await self._reader.read(CHUNK) or _gone()
            except OSError as error:
                raise ClientGone from error
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        if too_long or len(line) > limit:
            raise LineTooLong
        return line

    async def data(self, *, max_size: int, max_line: int, heard: Callable[[], None], grow: Callable[[int], bool]) -> bytes:
        """The message up to its terminator, without dot-stuffing.

        `heard` is called for each chunk that arrives; `grow` is asked whether
        there is room for so many octets.  Raises TooBig, DataLineTooLong or NoRoom after
        the end of the data.
        """
        buffer, self._buffer = self._buffer, bytearray()
        buffer[:0] = b"\r\n"  # a dot right at the start is at the start of a line
        keeper = _Keeper(buffer, max_size, max_line + _CRLF_AND_DOT, grow)
        keeper.take(len(buffer))
        searched = 0
        while (end := buffer.find(TERMINATOR, searched)) < 0:
            keeper.drop_what_is_refused()
            searched = max(0, len(buffer) - _OVERLAP)
            try:
                chunk = await self._reader.read(CHUNK) or _gone()
            except OSError as error:
                raise ClientGone from error
            heard()
            buffer += chunk
            keeper.take(len(chunk))
        self._buffer += memoryview(buffer)[end + len(TERMINATOR) :]
        if keeper.refusal:
            raise keeper.refusal
        data = bytes(memoryview(buffer)[2 : end + 2])
        del buffer[:]
        return _unstuff(data, max_size)

    @property
    def _unread(self) -> bytearray:
        return self._reader._buffer  # type: ignore[attr-defined, no-any-return]  # there is no public way to ask


class _Keeper:
    """Watches the bounds while a message grows in `buffer`."""

    def __init__(self, buffer: bytearray, max_size: int, window: int, grow: Callable[[int], bool]) -> None:
        self.refusal: type[Exception] | None = None  # raised where it is told: one that was made here would keep the message
        self._buffer, self._window, self._grow = buffer, window, grow
        self._max_stuffed = max_size + max_size // 16 + len(TERMINATOR)
        self._line_start = 2

    def take(self, octets: int) -> None:
        """Judge the buffer after it grew by `octets`."""
        if self.refusal:
            return
        if not self._grow(octets):
            self.refusal = NoRoom
        elif len(self._buffer) > self._max_stuffed + CHUNK:
            self.refusal = TooBig
        elif self._has_long_line():
            self.refusal = DataLineTooLong

    def drop_what_is_refused(self) -> None:
        if self.refusal:
            del self._buffer[:-_OVERLAP]

    def _has_long_line(self) -> bool:
        """Stride over the buffer a line limit at a time: each stride must hold a line end."""
        while len(self._buffer) - self._line_start > self._window:
            stride = self._line_start, self._line_start + self._window
            last = max(self._buffer.rfind(b"\n", *stride), self._buffer.rfind(b"\r", *stride))
            if last < 0:
                return True
            self._line_start = last + 1
        return False


def _unstuff(data: bytes, max_size: int) -> bytes:
    """RFC 5321 section 4.5.2: remove the dot that the client put before each line that starts with one."""
    data = data.removeprefix(b".").replace(b"\r\n.", b"\r\n")
    if len(data) > max_size:
        raise TooBig
    return data


def _gone() -> bytes:
    raise ClientGone
