"""Read messages within the bounds of [smtp], and keep everybody else heard meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from relay.config import Smtp
from relay.mail.message import Message, MessageError, too_large

T = TypeVar("T")

_READ_AT_ONCE = 1024**2  # octets: about 3 ms
_JUDGED_AT_ONCE = 128 * 1024  # octets of which rules read every text in about as long
_THREADS = 2  # for what is larger; more of them would only take the interpreter from the loop


class MessageReader:
    """One per worker. The threads are its own: in those of the loop, look-ups of names would wait behind large messages."""

    def __init__(self, smtp: Smtp) -> None:
        self._smtp = smtp
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="reader")

    def parse(self, data: bytes | bytearray) -> Message:
        """Read a message. Raises MessageError."""
        smtp = self._smtp
        message = Message.parse(
            bytes(data),
            line_ends=smtp.line_ends,
            max_fields=smtp.max_header_fields,
            max_header_size=smtp.max_header_size,
            max_line=smtp.max_line_length,
        )
        if message.received_count > smtp.max_received:
            raise MessageError(
                "base/loop", "4.6", f"More than {smtp.max_received} Received fields: this message goes in a circle", "received"
            )
        return message

    def parse_file(self, path: Path, largest: int) -> Message:
        """Read the message in a file, which may have `largest` octets. Raises MessageError and OSError."""
        with path.open("rb") as file:
            octets = file.read(largest + 1)
        if len(octets) > largest:
            raise too_large(largest)
        return self.parse(octets)

    async def read(self, data: bytes | bytearray) -> Message:
        """As `parse`; a large message in a thread. Raises MessageError."""
        if len(data) <= _READ_AT_ONCE:
            return self.parse(data)

        def read() -> tuple[Message, bytes]:
            message = self.parse(data)
            return message, message.received_digest  # takes as long again, and is kept

        message, _ = await asyncio.get_running_loop().run_in_executor(self._threads, read)
        return message

    async def apart(self, message: Message, work: Callable[[], T]) -> T:
        """What `work` makes of the message; in a thread when it is large, because rules may look at all that people see of it."""
        if message.size <= _JUDGED_AT_ONCE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
