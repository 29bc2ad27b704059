"""As much of IMAP as the collector needs (RFC 9051 and 3501, ID of RFC 2971, IDLE of RFC 2177), over asyncio streams.

A client of our own, because the one for asyncio that exists (aioimaplib) writes
ID in a form that NetEase answers with BAD, holds mails of any size in memory,
parses by recursion, and is under the GPL.  Here every wait has an end, every
size a bound, and nothing that passes is logged.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import relay
from relay.doors.mailbox.folders import Folder, read_folder
from relay.mail.mailbox import without_addresses

PATIENCE_SECONDS = 60.0  # for one answer; a large mailbox takes its time to search
MAX_LINE = 8 * 1024**2  # one answer to SEARCH may name a hundred thousand mails
MAX_MAIL = 512 * 1024  # octets read of one mail: what we look for stands at its beginning
_MAX_SAID = 1000  # octets of what a server says that are looked at for the log
_MAX_LITERAL = MAX_MAIL + 64 * 1024

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")
_VALIDITY = re.compile(rb"\[UIDVALIDITY (\d{1,10})\]", re.IGNORECASE)
_FETCH = re.compile(rb"\* \d+ FETCH ", re.IGNORECASE)
_UID = re.compile(rb"[( ]UID (\d{1,10})[ )]", re.IGNORECASE)
_ARRIVAL = re.compile(rb"\* \d+ (EXISTS|RECENT)", re.IGNORECASE)


class MailboxUnavailable(ConnectionError):
    """The mailbox cannot be read now: no connection, a broken one, or a server that says no. The text holds no address."""


class CommandRefused(MailboxUnavailable):
    """The server answers NO or BAD; the connection is still good."""


class LoginRefused(MailboxUnavailable):
    """Login or password (授权码) are wrong, or the provider does not let this account use IMAP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the server: its text without literals, and the literals in order."""

    text: bytes
    literals: tuple[bytes, ...] = ()


class Session:
    """A connection with a mailbox opened for reading and flagging. One command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._capabilities: frozenset[bytes] = frozenset()
        self._has_new = False  # the server told of new mail after the last search began
        self.patience = PATIENCE_SECONDS
        self.validity = 0
        """UIDVALIDITY of the mailbox: with another one the same numbers name other mails."""

    # Opening ---------------------------------------------------------------------------------------------------------

    async def log_in(self, login: str, password: str) -> None:
        """Log in and say who we are. Raises MailboxUnavailable."""
        greeting = (await self._answer()).text.upper()
        if not greeting.startswith((b"* OK", b"* PREAUTH")):
            raise MailboxUnavailable(f"the server does not welcome us: {_shown(greeting)}")
        await self._ask_capabilities()
        if not greeting.startswith(b"* PREAUTH"):
            await self._authenticate(login, password)
            await self._ask_capabilities()  # a server may offer more, and other things, to those who logged in
        await self._say_who_we_are()

    async def _authenticate(self, login: str, password: str) -> None:
        quotable = (login + password).isascii() and (login + password).isprintable()
        try:
            if quotable and b"LOGINDISABLED" not in self._capabilities:
                await self._command(b"LOGIN " + _quoted(login) + b" " + _quoted(password))
            else:
                secret = b64encode(f"\0{login}\0{password}".encode())
                await self._command(b"AUTHENTICATE PLAIN", secret)
        except CommandRefused as fault:
            raise LoginRefused(f"the server refuses the login: {fault}") from None

    async def _ask_capabilities(self) -> None:
        answers = await self._command(b"CAPABILITY")
        words = [answer.text.upper().split()[2:] for answer in answers if answer.text.upper().startswith(b"* CAPABILITY ")]
        self._capabilities = frozenset(word for line in words for word in line)

    async def _say_who_we_are(self) -> None:
        """NetEase opens no mailbox ("Unsafe Login") to a client that has not; others do not mind."""
        if b"ID" in self._capabilities:
            names = {"name": "compliance-relay", "version": relay.__version__, "vendor": "compliance-relay"}
            pairs = b" ".join(_quoted(text) for pair in names.items() for text in pair)
            with suppress(CommandRefused):
                await self._command(b"ID (" + pairs + b")")

    async def select(self, mailbox: str = "INBOX") -> None:
        """Open the mailbox. Raises MailboxUnavailable."""
        answers = await self._command(b"SELECT " + _quoted(mailbox))
        found = [match for answer in answers if (match := _VALIDITY.search(answer.text))]
        if not found:
            raise MailboxUnavailable("the server names no UIDVALIDITY")
        self.validity = int(found[-1][1])

    async def folders(self) -> list[Folder]:
        """Every folder, with its use where the server knows it (RFC 6154). Raises MailboxUnavailable."""
        told = b" RETURN (SPECIAL-USE)" if {b"SPECIAL-USE", b"LIST-EXTENDED"} <= self._capabilities else b""
        answers = await self._command(b'LIST "" "*"' + told)
        found = [read_folder(answer.text, answer.literals) for answer in answers]
        return [folder for folder in found if folder is not None]

    @property
    def can_idle(self) -> bool:
        return b"IDLE" in self._capabilities

    # Reading ---------------------------------------------------------------------------------------------------------

    async def numbers(self, criteria: str) -> list[int]:
        """UID SEARCH, ascending. Raises MailboxUnavailable."""
        self._has_new = False
        answers = await self._command(b"UID SEARCH " + criteria.encode("ascii"))
        lines = [answer.text for answer in answers if answer.text.upper().startswith(b"* SEARCH")]
        return sorted({int(word) for line in lines for word in line.split()[2:] if word.isdigit()})

    async def fetch(self, number: int) -> bytes | None:
        """The first MAX_MAIL octets of a mail, read without marking it; None when it is gone.

        Raises CommandRefused when the server does not hand it out, else MailboxUnavailable.
        """
        answers = await self._command(b"UID FETCH %d (UID BODY.PEEK[]<0.%d>)" % (number, MAX_MAIL))
        for answer in answers:
            if _FETCH.match(answer.text) and answer.literals:
                named = _UID.search(answer.text)
                if named and int(named[1]) == number:
                    return answer.literals[0]
        return None

    async def mark_read(self, numbers: Sequence[int]) -> None:
        """Set \\Seen. Raises MailboxUnavailable."""
        for start in range(0, len(numbers), 200):
            named = ",".join(map(str, numbers[start : start + 200])).encode()
            await self._command(b"UID STORE " + named + rb" +FLAGS.SILENT (\Seen)")

    async def wait(self, seconds: float) -> None:
        """Wait for new mail: until the server pushes (IDLE) or the time is over. Raises MailboxUnavailable."""
        tag = self._send(b"IDLE")
        while not (line := await self._line()).startswith(b"+"):
            self._heed(line)
            if line.startswith(tag + b" "):
                raise MailboxUnavailable(f"the server offers IDLE and refuses it: {_shown(line)}")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._has_new:
                    self._heed(await self._line(forever=True))
        self._writer.write(b"DONE\r\n")
        while not (await self._line()).startswith(tag + b" "):
            pass

    def _heed(self, line: bytes) -> None:
        """News that come whether or not one asked."""
        if _ARRIVAL.match(line):
            self._has_new = True
        if line.upper().startswith(b"* BYE"):
            raise MailboxUnavailable("the server hung up")

    # The wire --------------------------------------------------------------------------------------------------------

    def _send(self, command: bytes) -> bytes:
        self._number += 1
        tag = b"R%d" % self._number
        self._writer.write(tag + b" " + command + b"\r\n")
        return tag

    async def _command(self, command: bytes, continuation: bytes = b"") -> list[Answer]:
        """Send a command and return the untagged answers to it. Raises CommandRefused for NO and BAD."""
        tag = self._send(command)
        answers: list[Answer] = []
        while True:
            answer = await self._answer()
            if answer.text.startswith(tag + b" "):
                state, _, text = answer.text[len(tag) + 1 :].partition(b" ")
                if state.upper() != b"OK":
                    raise CommandRefused(_shown(text))
                return answers
            if answer.text.startswith(b"+"):
                self._writer.write(continuation + b"\r\n")
                continuation = b"*"  # a second challenge is none of ours: cancel
            else:
                if not command.startswith(b"LOGOUT"):
                    self._heed(answer.text)
                answers.append(answer)

    async def _answer(self) -> Answer:
        """One answer with its literals."""
        text, size = b"", 0
        literals: list[bytes] = []
        while True:
            line = await self._line()
            match = _LITERAL.search(line)
            text += line[: match.start()] if match else line
            if match is None:
                return Answer(text, tuple(literals))
            size += int(match[1])
            if size > _MAX_LITERAL or len(text) > MAX_LINE:
                raise MailboxUnavailable("the server sends more than it was asked for")
            literals.append(await self._within(self._reader.readexactly(int(match[1])), self.patience))

    async def _line(self, *, forever: bool = False) -> bytes:
        line = await self._within(self._reader.readuntil(b"\n"), None if forever else self.patience)
        return line.rstrip(b"\r\n")

    async def _within(self, reading: Awaitable[bytes], seconds: float | None) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                return await reading
        except TimeoutError:
            raise MailboxUnavailable(f"the server did not answer within {seconds:g} seconds") from None
        except asyncio.LimitOverrunError:
            raise MailboxUnavailable("the server sends lines without end") from None
        except (asyncio.IncompleteReadError, OSError):
            raise MailboxUnavailable("the connection broke") from None

    async def log_out(self) -> None:
        """Say goodbye, not waiting long for an answer."""
        with suppress(MailboxUnavailable, TimeoutError):
            async with asyncio.timeout(2):
                await self._command(b"LOGOUT")

    def abort(self) -> None:
        """Let go of the connection at once."""
        self._writer.transport.abort()


@asynccontextmanager
async def connected(host: str, port: int, context: ssl.SSLContext | None) -> AsyncIterator[Session]:
    """A fresh connection, over TLS when there is a context. Raises MailboxUnavailable."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            name = host if context else None
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name, limit=MAX_LINE)
    except TimeoutError:
        raise MailboxUnavailable("no connection within a minute") from None
    except ssl.SSLCertVerificationError as error:
        raise MailboxUnavailable(f"the certificate cannot be trusted: {error.verify_message}") from None
    except (OSError, UnicodeError) as error:
        raise MailboxUnavailable(f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}") from None
    session = Session(reader, writer)
    try:
        yield session
    finally:
        session.abort()


def _quoted(text: str) -> bytes:
    return b'"' + re.sub(r'(["\\])', r"\\\1", text).encode("ascii") + b'"'


def _shown(text: bytes) -> str:
    """What a server says, for the log: ASCII, short, every word that may be an address masked."""
    whole = text if len(text) <= _MAX_SAID else text[:_MAX_SAID].rpartition(b" ")[0]  # half an address shows no sign of being one
    said = without_addresses(whole.decode("utf-8", "replace"))
    return "".join(character if " " <= character <= "~" else "?" for character in said[:200])
