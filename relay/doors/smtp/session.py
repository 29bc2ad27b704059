# ruff: noqa: N802 - aiosmtpd finds a command by the name of its method
"""The commands of a session.

What is offered is done: PIPELINING, SIZE, 8BITMIME, SMTPUTF8,
ENHANCEDSTATUSCODES, DSN, STARTTLS, AUTH.  What is not offered is refused by
name, and nothing is relayed for a client that is neither authenticated nor on
a listener whose networks name it.
"""

import asyncio
import time
from typing import cast

from relay.doors.identities import identity_of_listener
from relay.doors.smtp.arguments import Unacceptable, parse_mail, parse_rcpt
from relay.doors.smtp.exchange import login_and_password
from relay.doors.smtp.intake import ClientGone, DataLineTooLong, LineTooLong, NoRoom, TooBig
from relay.doors.smtp.registry import note_failed_handshake, refused_by_limit
from relay.doors.smtp.wire import MAX_AUTH, Transaction, Wire
from relay.mail import replies
from relay.mail.envelope import Client, Identity, IdentityKind, Submission
from relay.mail.message import MessageError, line_too_long, too_large
from relay.mail.reply import Reply

HANDSHAKE_SECONDS = 30.0
_HOST_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]")
_MAX_HOST = 255


class Session(Wire):
    """One client's session. A method `smtp_X` answers the command X; its argument is "" when there is none."""

    _helo = ""
    _is_extended = False
    _identity: Identity | None = None
    _seen: Client | None = None  # as the line was told last; None when something about the connection has changed

    async def welcome(self) -> bool:
        if self.listen.auth == "none":
            self._identity = identity_of_listener(self.door.config, self.listen)
        return await super().welcome()

    # Greeting.

    async def smtp_EHLO(self, hostname: str) -> None:
        self._greeted(hostname, extended=True)
        self.answer(replies.ehlo(self.door.config.hostname, *self._extensions()))

    async def smtp_HELO(self, hostname: str) -> None:
        self._greeted(hostname, extended=False)
        self.answer(replies.helo(self.door.config.hostname))

    def _greeted(self, hostname: str, *, extended: bool) -> None:
        if not hostname or " " in hostname:
            raise Unacceptable(replies.EHLO_SYNTAX)
        # Windows sends the computer's name as it is, in Chinese too; what cannot stand in a Received field becomes "?".
        self._helo = "".join(c if c in _HOST_CHARACTERS else "?" for c in hostname[:_MAX_HOST])
        self._is_extended = extended
        self.transaction = self._seen = None

    def _extensions(self) -> list[str]:
        offered = ["PIPELINING", f"SIZE {self.door.size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"]
        if self._offers_starttls:
            offered.append("STARTTLS")
        if self.listen.auth == "required" and self._is_confidential:
            offered.append("AUTH PLAIN LOGIN")
        return offered

    @property
    def _offers_starttls(self) -> bool:
        return self.listen.tls == "starttls" and self.tls is None

    @property
    def _is_confidential(self) -> bool:
        return self.tls is not None or self.is_local

    # TLS and AUTH.

    async def smtp_STARTTLS(self, arg: str) -> None:
        """Switch to TLS; whatever was pipelined behind the command is forgotten (RFC 3207 section 6)."""
        if arg:
            raise Unacceptable(replies.NO_ARGUMENT)
        if self.tls is not None:
            raise Unacceptable(replies.TLS_ACTIVE)
        if not self._offers_starttls:
            raise Unacceptable(replies.NOT_IMPLEMENTED)
        if self.door.certificates is None:
            raise Unacceptable(replies.TLS_UNAVAILABLE)
        cast(asyncio.Transport, self.transport).pause_reading()  # what arrives from here on belongs to the handshake
        self.intake.clear()
        self.answer(replies.START_TLS)
        await self.flush()
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):  # the loop's own ends the session before it says why
                await self._writer.start_tls(self.door.certificates.context())
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            note_failed_handshake(self.listen.name, error)
            raise ClientGone from error
        self.transport = self._writer.transport
        self.intake.follow(self.transport)
        self.transaction = self._seen = None
        self._helo, self._is_extended = "", False
        if self.listen.auth == "required":
            self._identity = None

    async def smtp_AUTH(self, arg: str) -> None:
        """Hold the dialogue, ask the authenticator; the password is not kept here."""
        self._greeting_needed()
        if self.listen.auth == "none" or not self._is_extended:
            raise Unacceptable(replies.AUTH_NOT_OFFERED)
        if not self._is_confidential:
            raise Unacceptable(replies.AUTH_NEEDS_TLS)
        if self._identity is not None:
            raise Unacceptable(replies.AUTH_ACTIVE)
        if self.transaction:
            raise Unacceptable(replies.AUTH_OUT_OF_PLACE)
        login, password = await login_and_password(arg, self._ask)
        work = self.door.authenticator.authenticate(self._client(), self.listen, login, password)
        self.stop_timer()
        # Sheltered: what a guess costs must be settled even when the guesser hangs up.
        found = await self.sheltered(work)
        self.restart_timer()
        if isinstance(found, Reply):
            raise Unacceptable(found)
        self._identity, self._seen = found, None
        self.answer(replies.AUTHENTICATED)

    async def _ask(self, challenge: str) -> bytes:
        self.answer(replies.challenge(challenge))
        await self.flush()
        try:
            line = await self.intake.line(MAX_AUTH)
        except LineTooLong:
            raise Unacceptable(replies.AUTH_TOO_LONG) from None
        self.restart_timer()
        if not line.endswith(b"\r\n"):
            raise Unacceptable(replies.COMMAND_MALFORMED)
        return line[:-2]

    # The mail transaction.

    async def smtp_MAIL(self, arg: str | None) -> None:
        self._greeting_needed()
        if self._identity is None:
            needs_tls = self._offers_starttls and not self._is_confidential
            raise Unacceptable(replies.TLS_REQUIRED if needs_tls else replies.AUTH_REQUIRED)
        if self.transaction:
            raise Unacceptable(replies.NESTED_MAIL)
        mail = parse_mail(arg or "", extended=self._is_extended)
        size, largest = mail.size or 0, self.door.size
        if size <= largest and not self.door.registry.has_room(size):
            raise Unacceptable(refused_by_limit("in_flight", replies.NO_MEMORY))
        begun = await self.door.line.begin(
            self._client(mail.smtputf8),
            self._identity,
            mail.reverse_path,
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
        )
        if isinstance(begun, Reply):
            self.answer(begun)
            return
        if size > largest:  # after `begin`: what is refused for good has an id, a record and a page
            self.answer(await self.door.line.refuse(begun, too_large(largest)))
            return
        self._room_needed(begun, size)
        self.transaction = Transaction(begun, size)
        self.answer(replies.SENDER_OK)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Take a recipient in; one that was given before is answered again and kept once.

        What is refused here and not by the line is one command, which names no
        mailbox or one too many: the message goes on, and nothing is written down.
        """
        transaction = self._transaction_needed()
        transaction.has_tried = True
        recipient = parse_rcpt(arg or "", extended=self._is_extended, smtputf8=transaction.submission.smtputf8)
        if recipient.key in transaction.recipients:
            self.answer(replies.RECIPIENT_OK)
            return
        if len(transaction.recipients) >= self.door.config.smtp.max_recipients:
            raise Unacceptable(refused_by_limit("recipients", replies.TOO_MANY_RECIPIENTS))
        if transaction.recipients and transaction.submission.reverse_path is None:
            raise Unacceptable(replies.ONE_RECIPIENT_ONLY)
        answer = await self.door.line.admit(transaction.submission, recipient)
        if answer.is_positive:
            transaction.recipients[recipient.key] = recipient
        self.answer(answer)

    async def smtp_DATA(self, arg: str) -> None:
        transaction = self._transaction_needed()
        if arg:
            raise Unacceptable(replies.NO_ARGUMENT)
        if not transaction.recipients:
            raise Unacceptable(replies.NO_RECIPIENTS if transaction.has_tried else replies.RCPT_FIRST)
        if not self.door.registry.has_room(max(transaction.size, 1)):
            raise Unacceptable(refused_by_limit("in_flight", replies.NO_MEMORY))
        self._room_needed(transaction.submission, transaction.size)
        self.answer(replies.START_DATA)
        began = time.monotonic()  # before the client can have sent any of it
        await self.flush()
        held = _Held(self)
        try:
            octets = await self._read_data(held)
        except BaseException:
            held.release()
            raise
        submission = transaction.submission.to(tuple(transaction.recipients.values()))
        self.stop_timer()
        # Sheltered: the client's disconnect does not cut a forward (its outcome would be unknown).
        reply = await self.sheltered(self._submit(submission, octets, began, held))
        self.transaction = None
        if reply.is_positive:
            self.new_budgets()
        self.restart_timer()
        await self.answer_finally(submission, reply)

    async def _read_data(self, held: "_Held") -> bytes | MessageError:
        """The message, or why it was not kept and will not be when it comes again.

        Raises Unacceptable where it can come again: 452, like the 421 of a
        deadline, says nothing of the message, so there is nothing to explain
        or to write down but the metric.
        """
        max_size, max_line = self.door.size, self.door.config.smtp.max_line_length
        try:
            return await self.intake.data(max_size=max_size, max_line=max_line, heard=held.heard, grow=held.grow)
        except TooBig:
            fault = too_large(max_size)
        except DataLineTooLong:
            fault = line_too_long(max_line)
        except NoRoom:
            self.transaction = None
            raise Unacceptable(refused_by_limit("in_flight", replies.NO_MEMORY)) from None
        held.release()
        return fault

    async def _submit(self, submission: Submission, octets: bytes | MessageError, began: float, held: "_Held") -> Reply:
        try:
            if isinstance(octets, MessageError):
                return await self.door.line.refuse(submission, octets)
            return await self.door.line.submit(submission, octets, began)
        except Exception as error:  # noqa: BLE001 - law 1: a fault of ours is 451
            self.fault(error)
            return replies.INTERNAL
        finally:
            held.release()

    # The rest.

    async def smtp_RSET(self, arg: str) -> None:
        if arg:
            raise Unacceptable(replies.NO_ARGUMENT)
        self.transaction = None
        self.answer(replies.OK)

    async def smtp_NOOP(self, arg: str) -> None:
        self.answer(replies.OK)

    async def smtp_HELP(self, arg: str) -> None:
        self.answer(replies.HELP)

    async def smtp_VRFY(self, arg: str) -> None:
        """Say nothing about any mailbox (RFC 5321 section 7.3)."""
        self.refuse(replies.CANNOT_VERIFY)

    async def smtp_EXPN(self, arg: str) -> None:
        self.refuse(replies.NOT_IMPLEMENTED)

    async def smtp_QUIT(self, arg: str) -> None:
        if arg:
            raise Unacceptable(replies.NO_ARGUMENT)
        self.answer(replies.BYE)
        await self.flush()
        self.hang_up()

    def _greeting_needed(self) -> None:
        if not self._helo:
            raise Unacceptable(replies.EHLO_FIRST)

    def _room_needed(self, submission: Submission, size: int) -> None:
        """Before the message is sent: it would only be told the same after its last octet."""
        if not self.door.line.has_room(submission, size):
            raise Unacceptable(refused_by_limit("hold", replies.HOLD_FULL))

    def _transaction_needed(self) -> Transaction:
        if self.transaction is None:
            raise Unacceptable(replies.MAIL_FIRST)
        return self.transaction

    def _client(self, smtputf8: bool = False) -> Client:
        """The connection as it is now; `protocol` is the word of RFC 3848 and RFC 6531 section 4.3."""
        seen = self._seen
        if seen is None or smtputf8 or seen.protocol.startswith("UTF8"):
            tls = self.tls
            secured = "S" if tls else ""
            authenticated = "A" if self._identity and self._identity.kind is not IdentityKind.TRUSTED else ""
            word = "UTF8SMTP" if smtputf8 else "ESMTP"
            protocol = f"{word}{secured}{authenticated}" if self._is_extended else "SMTP"
            seen = self._seen = Client(self.listen.name, self.address, self._helo, tls, protocol)
        return seen


class _Held:
    """The octets of one message that the registry counts, and the deadlines of reading it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._registry = session.door.registry
        self._octets = 0
        self._deadline = session.loop.time() + session.door.config.smtp.data_timeout

    def heard(self) -> None:
        """The client is alive, so its time starts again; the whole DATA phase still ends at its deadline."""
        session = self._session
        session.time_out_at(min(self._deadline, session.loop.time() + session.door.config.smtp.command_timeout))

    def grow(self, octets: int) -> bool:
        """Count octets that are to be kept; False when there is no room."""
        if not self._registry.hold(octets):
            return False
        self._octets += octets
        return True

    def release(self) -> None:
        self._registry.release(self._octets)
        self._octets = 0
