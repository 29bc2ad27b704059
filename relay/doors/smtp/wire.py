"""One connection: command lines in, replies out, its timer and its budgets.

aiosmtpd's protocol class supplies the connection; its command loop is replaced,
because it takes lines that end in a bare LF, answers an exception with its
text, cuts a forward when the client hangs up, and writes every line by itself.

- A command is one line without control characters that ends in CR LF.
- A client that goes away, or half-closes, ends its session but never the work
  that was begun for a whole message: until that is done the session is sheltered.
- Replies to pipelined commands leave together, in order (RFC 2920).
- `concluded` is told when the client has heard a final reply: when something
  arrives that cannot have been sent before that reply was written.
- One timer serves all commands: it looks when the time is up, and sleeps on
  when the client has spoken since.

Private names of aiosmtpd 1.4 that are used here: `_reader`, `_writer`,
`_cb_client_connected`; of asyncio's stream protocol: `_paused`, `_stream_reader`.
"""

import asyncio
import ipaddress
import logging
import re
import select
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, TypeVar, cast

from aiosmtpd.smtp import SMTP

from relay import telemetry
from relay.config import Listen
from relay.doors.smtp.arguments import Unacceptable
from relay.doors.smtp.contracts import Door
from relay.doors.smtp.intake import CHUNK, ClientGone, Inlet, Intake, LineTooLong
from relay.doors.smtp.registry import plain_address, refused_by_limit
from relay.loglines import fault_facts
from relay.mail import replies
from relay.mail.envelope import Recipient, Submission
from relay.mail.reply import Reply
from relay.tasks import Alarm

T = TypeVar("T")
MAX_COMMAND = 2048  # octets; RFC 5321 section 4.5.3.1.4 asks for 512, the extensions we offer add 1,200
MAX_AUTH = 12288 + 64  # RFC 4954 section 4: a BASE64 line of 12,288 octets
_CLOSE_PATIENCE = 5.0  # seconds for a client to read the last reply
_LINGER = 2.0  # seconds that a drained session may take to say QUIT after its final reply
_OUT_BOUND = 16 * 1024  # replies kept back while commands are pipelined
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_ERRORS = frozenset({500, 501, 502, 503, 504, 530, 535, 538, 555})
_BAD_ADDRESSES = (replies.BAD_SENDER, replies.BAD_RECIPIENT)  # a list with dead rows is no attack
_BROWSER = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE", "PATCH"})

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd writes addresses and passwords there


@dataclass(slots=True)
class Transaction:
    """An open mail transaction: what MAIL began, and the recipients that were admitted, by mailbox key."""

    submission: Submission
    size: int  # as declared, 0 without
    recipients: dict[str, Recipient] = field(default_factory=dict)
    has_tried: bool = False  # whether there was a RCPT at all


class Wire(SMTP):
    """The connection side of a session. `announced` is the address of a PROXY header, None without PROXY."""

    _commands: ClassVar[dict[str, Callable[["Wire", str], Awaitable[None]]]] = {}
    _conversation: asyncio.Task[None]
    _paused: bool
    session: Any  # aiosmtpd's own; never read here

    def __init_subclass__(cls) -> None:
        cls._commands = {name[5:]: getattr(cls, name) for name in dir(cls) if name.startswith("smtp_")}

    def __init__(self, door: Door, listen: Listen, announced: str | None, loop: asyncio.AbstractEventLoop) -> None:
        # aiosmtpd's own constructor spends a third of a millisecond on reflection; what its inherited methods need is set here.
        reader = Inlet(limit=CHUNK, loop=loop)
        asyncio.StreamReaderProtocol.__init__(self, reader, client_connected_cb=self._cb_client_connected, loop=loop)
        self.loop = loop
        self.transport = None
        self._is_sheltered = False
        self._alarm = Alarm()  # when the client's time is over
        self._patience = door.config.smtp.command_timeout
        self.door, self.listen = door, listen
        self.intake = Intake(reader)
        self.address, self.is_trusted, self.is_local, self._announced = "", False, False, announced
        self.transaction: Transaction | None = None
        self._out = bytearray()
        self._refusal: Reply | None = None
        self._socket: Any = None  # as the transport shows it, once it was asked for
        self._abort_handle: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._waiting_since: float | None = None
        self._began = loop.time()
        self._commands_left = door.config.smtp.max_commands
        self._errors_left = door.config.smtp.max_errors
        self._answered: Submission | None = None
        self._was_heard = False

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._place(transport)
        self._refusal = self.door.registry.enter(self, self.address)
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = cast(asyncio.Transport, transport)
        self.restart_timer()
        self._conversation = self.loop.create_task(self._converse())

    def connection_lost(self, error: Exception | None) -> None:
        self.door.registry.leave(self)
        self._alarm.cancel()
        if self._abort_handle is not None:
            self._abort_handle.cancel()
        telemetry.event("session_ended", listener=self.listen.name, seconds=round(self.loop.time() - self._began, 3))
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None
        if not self._is_sheltered:
            self._conversation.cancel()

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> bool | None:
        """The client will send no more; what it is owed is still written (aiosmtpd would cancel the work)."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    @property
    def is_idle(self) -> bool:
        if self._waiting_since is None or self.transaction:
            return False
        linger = _LINGER if self._answered else 0.0
        return self.loop.time() - self._waiting_since >= linger

    def dismiss(self, farewell: Reply) -> None:
        """Write the reply and close, from outside the session's own task."""
        if self._is_leaving or self.transport is None:
            return
        self.answer(farewell)
        self._write_out()
        self.hang_up()

    def hang_up(self) -> None:
        """Close when what is written has been read, or soon after."""
        self._is_leaving = True
        if self.transport is None:
            return
        if self._abort_handle is None:
            self._abort_handle = self.loop.call_later(_CLOSE_PATIENCE, self.abort)
        self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()  # uvloop's transports are no subclasses

    @property
    def tls(self) -> str | None:
        """Protocol and cipher in use, None in the clear."""
        found = self._writer.get_extra_info("ssl_object")
        if not isinstance(found, ssl.SSLObject):
            return None
        return f"{found.version()} {(found.cipher() or ('',))[0]}"

    def restart_timer(self) -> None:
        """Give the client its whole time from now."""
        if self.transport is not None:
            self._alarm.set(self.loop.time() + self._patience, self._time_is_up)

    def time_out_at(self, deadline: float) -> None:
        """Give the client until then (of the loop's clock)."""
        if self.transport is not None:
            self._alarm.set(deadline, self._time_is_up)

    def stop_timer(self) -> None:
        """The time that follows is ours, not the client's."""
        self._alarm.silence()

    def _time_is_up(self) -> None:
        self.dismiss(refused_by_limit("time", replies.TIMED_OUT))

    def _place(self, transport: asyncio.BaseTransport) -> None:
        """Find out where the client is, and whether that earns trust. An announced loopback address never does."""
        peer = plain_address((transport.get_extra_info("peername") or ("::",))[0])  # None when it is gone already
        self.address = plain_address(self._announced) if self._announced else peer
        place = ipaddress.ip_address(self.address)
        self.is_local = self._announced is None and place.is_loopback
        self.is_trusted = (
            self._announced != ""
            and (self._announced is None or not place.is_loopback)
            and any(place in network for network in self.door.config.auth.trusted_networks)
        )

    # The conversation.

    async def _converse(self) -> None:
        try:
            if await self.welcome():
                while not self._is_leaving:
                    await self._one_command()
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a dead connection open
            self.fault(error)
            self.answer(replies.CONNECTION_FAULT)
            self._write_out()
        finally:
            self.hang_up()

    async def sheltered(self, work: Awaitable[T]) -> T:
        """Do work that goes on when the client goes away, and that `drain` waits for.

        Raises ClientGone afterwards when it did.
        """
        self._is_sheltered = True
        self.door.registry.shelter(self._conversation)
        try:
            found = await work
        finally:
            self._is_sheltered = False
            self.door.registry.unshelter(self._conversation)
        if self.transport is None:
            raise ClientGone
        return found

    async def welcome(self) -> bool:
        """Greet, or say why not; whether the session goes on."""
        refusal = self._refusal
        if refusal is None and self.listen.auth == "none" and not self.is_trusted:
            refusal = refused_by_limit("trust", replies.NOT_TRUSTED)
        self.answer(refusal or replies.greeting(self.door.config.hostname))
        await self.flush()
        return refusal is None

    async def _one_command(self) -> None:
        if self._out and (not self.intake.has_line or len(self._out) > _OUT_BOUND):
            await self.flush()
        self._waiting_since = self.loop.time()
        try:
            line: bytes | None = await self.intake.line(MAX_AUTH)
        except LineTooLong:
            line = None
        self._waiting_since = None
        self.restart_timer()
        if self._answered and self._was_heard:  # this was not under way when the final reply was written
            submission, self._answered = self._answered, None
            await self.sheltered(self._conclude(submission))
        if over := self._over_budget(line):
            self.answer(over)
            await self.flush()
            self.hang_up()
            return
        try:
            await self._obey(line)
        except Unacceptable as refusal:
            self.refuse(refusal.reply)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - law 1: what we do not understand is 451, never the exception's text
            self.fault(error)
            self.transaction = None
            self.answer(replies.INTERNAL)

    def _over_budget(self, line: bytes | None) -> Reply | None:
        self._commands_left -= 1
        if self.door.registry.is_draining and self.transaction is None and (line or b"").strip().upper() != b"QUIT":
            return replies.SHUTTING_DOWN
        if self._commands_left < 0:
            return refused_by_limit("commands", replies.TOO_MANY_COMMANDS)
        if self._errors_left <= 0:
            return refused_by_limit("errors", replies.TOO_MANY_ERRORS)
        return None

    async def _obey(self, line: bytes | None) -> None:
        if line is None:
            raise Unacceptable(replies.COMMAND_TOO_LONG)
        if not line.endswith(b"\r\n") or _CONTROLS.search(line, 0, len(line) - 2):
            raise Unacceptable(replies.COMMAND_MALFORMED)
        verb, _, argument = line[:-2].decode("utf-8", "surrogateescape").partition(" ")
        verb = verb.upper()
        if len(line) > MAX_COMMAND and verb != "AUTH":
            raise Unacceptable(replies.COMMAND_TOO_LONG)
        command = self._commands.get(verb)
        if command is None:
            if verb in _BROWSER:  # a web page made a browser speak to us: what follows are not commands
                self._errors_left = 0
            raise Unacceptable(replies.UNKNOWN_COMMAND)
        await command(self, argument.strip(" "))

    def new_budgets(self) -> None:
        """A message was taken: the session is what it says it is."""
        self._commands_left = self.door.config.smtp.max_commands
        self._errors_left = self.door.config.smtp.max_errors

    def fault(self, error: Exception) -> None:
        """Log a fault of ours."""
        submission = self.transaction.submission.id if self.transaction else ""
        telemetry.event("internal_fault", submission=submission, **fault_facts(error))

    # Replies.

    def answer(self, reply: Reply) -> None:
        """Queue a reply; it leaves before the session waits for the client again."""
        self._out += _octets_of(reply)

    def refuse(self, reply: Reply) -> None:
        """Queue a reply that says the client did something wrong."""
        if reply.code in _ERRORS and reply not in _BAD_ADDRESSES:
            self._errors_left -= 1
        self.answer(reply)

    async def flush(self) -> None:
        """Write what is queued."""
        if not self._out:
            return
        self._write_out()
        if self._paused or self.transport is None or self.transport.is_closing():
            try:
                await self._writer.drain()
            except OSError as error:
                raise ClientGone from error

    async def answer_finally(self, submission: Submission, reply: Reply) -> None:
        """Write the final reply of a submission and remember it until the client has heard it."""
        self._answered = None if reply.is_transient else submission
        self._was_heard = False
        self._out += reply.wire()  # no other is like it
        await self.flush()

    def _write_out(self) -> None:
        if self._answered and not self._was_heard:
            self._was_heard = self.intake.is_empty and not self._has_unread_octets()
        if self.transport is not None and not self.transport.is_closing():
            cast(asyncio.Transport, self.transport).write(bytes(self._out))
        self._out.clear()

    def _has_unread_octets(self) -> bool:
        """Whether the system holds octets that the loop has not handed over yet."""
        if self._socket is None:
            self._socket = self._writer.get_extra_info("socket")
        descriptor = -1 if self._socket is None else self._socket.fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    async def _conclude(self, submission: Submission) -> None:
        try:
            await self.door.line.concluded(submission)
        except Exception as error:  # noqa: BLE001 - the client's next command has nothing to do with it
            telemetry.event("not_concluded", submission=submission.id, error=type(error).__name__)


@lru_cache(maxsize=256)
def _octets_of(reply: Reply) -> bytes:
    """A reply that is given again and again, as it goes on the wire."""
    return reply.wire()
