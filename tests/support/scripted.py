"""A transport that answers from a script, for tests of wire, transaction and pool without a network."""

import asyncio
from collections.abc import Callable

LOST = b""
"""An answer that closes the connection instead."""


class ScriptedTransport(asyncio.Transport):
    """Keeps what is written, in `writes`, and answers each command line as `answer` says.

    `answer` gets "MAIL", "RCPT ada@example.org", "DATA", "DOT", "RSET", "QUIT"
    and returns the octets of a reply, LOST to close, or None for silence.
    """

    def __init__(self, answer: Callable[[str], bytes | None]):
        super().__init__()
        self.answer = answer
        self.writes: list[bytes] = []
        self.commands: list[str] = []
        self.message = b""  # as it came, dots doubled, without the final dot
        self.aborted = self.closed = False
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._in_data = False

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert not self.closed, "written after the end"
        self.writes.append(bytes(data))
        self._buffer += bytes(data)
        while self._step():
            pass

    def _step(self) -> bool:
        if self._in_data:
            start = b"\r\n" + self._buffer
            message, end, rest = start.partition(b"\r\n.\r\n")
            if not end:
                return False
            self.message, self._buffer, self._in_data = (message + b"\r\n")[2:], rest, False
            self._say("DOT")
            return True
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        text = line.decode()
        verb = text.split(" ")[0]
        path = text.partition("<")[2].partition(">")[0]
        self.commands.append(text)
        self._say(f"{verb} {path}" if verb == "RCPT" else verb)
        return True

    def _say(self, asked: str) -> None:
        reply = self.answer(asked)
        if asked == "DATA" and reply is not None and reply.startswith(b"354"):
            self._in_data = True
        if reply == LOST:
            self._loop.call_soon(self.lose)
        elif reply is not None:
            self._loop.call_soon(self.protocol.data_received, reply)

    def lose(self) -> None:
        """The other side closes."""
        if not self.closed:
            self.protocol.eof_received()

    def abort(self):
        self.aborted = True
        self.close()

    def close(self):
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def is_closing(self):
        return self.closed


def usual(asked: str) -> bytes:
    """The answers of an upstream that takes everything."""
    return {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}.get(asked, b"250 2.0.0 ok\r\n")
