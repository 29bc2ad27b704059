"""A real SMTP server that keeps every octet it gets and breaks where it is told to.

    with RecordingUpstream(tls="implicit", accounts={"news@example.com": "secret"}) as upstream:
        upstream.fault("RCPT", "550 5.1.1 no such user", matching="bob@")
        ...                                     # point a relay at upstream.address, trusting upstream.ca_file
        upstream.wait(lambda: upstream.accepted)
        assert upstream.accepted[0].data == b"..."

It runs on its own thread and loop, so plain and async tests use it alike, and
a test that blocks its loop does not block the upstream.  It is strict: only
CRLF ends a line, only CRLF.CRLF ends data (`lax=True` takes every known
variant instead, to catch smuggling), parameters of extensions that are not
offered get 555, and what a client may not do is kept in `violations`.

From a shell: `python -m tests.support.upstream --port 2525`, which prints one
JSON line when it listens and one for each message.
"""

import argparse
import asyncio
import base64
import json
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trustme

from tests.support.waiting import SECONDS, until, wait_until

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")
USUAL = {
    "CONNECT": "220 upstream.example ESMTP",
    "STARTTLS": "220 2.0.0 ready",
    "AUTH": "235 2.7.0 accepted",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 queued",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}
STRICT_END = re.compile(rb"\r\n\.\r\n")
LAX_END = re.compile(rb"(?:\r\n|\n|\r)\.(?:\r\n|\n|\r)")
PARAMETER_OF = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN"} | dict.fromkeys(
    ("NOTIFY", "ORCPT"), "DSN"
)


@dataclass
class Fault:
    """What goes wrong `at` CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY, DOT, RSET, NOOP or QUIT.

    reply      instead of the usual one; several lines with a newline between; sent as it stands
    matching   only when this text is in the command line (for DOT and BODY: in the message so far)
    times      how often, -1 for ever
    close      close after `reply`, or instead of any reply when there is none
    stall      never answer; the connection stays open
    lose       DOT: take the message, then close without the reply
    after      BODY: once this many octets have come
    delay      seconds before anything is answered; at BODY before each read of 16 KiB (a slow reader)
    """

    at: str
    reply: str = ""
    matching: str = ""
    times: int = -1
    delay: float = 0.0
    close: bool = False
    stall: bool = False
    lose: bool = False
    after: int = 0


@dataclass
class Delivery:
    """One mail transaction that reached the end of data; `accepted` when the upstream took it."""

    session: int
    identity: str | None
    reverse_path: str
    mail_parameters: list[str]
    recipients: list[str] = field(default_factory=list)  # those that were answered 2yz
    rcpt_parameters: list[list[str]] = field(default_factory=list)
    data: bytes = b""  # exact, dot-stuffing undone, with the CRLF before the dot
    at: float = 0.0
    accepted: bool = False


@dataclass
class Session:
    """One connection: `commands` are its lines with their times, passwords left out."""

    number: int
    started: float
    tls: str | None = None
    identity: str | None = None
    commands: list[tuple[float, str]] = field(default_factory=list)
    ended: bool = False

    @property
    def lines(self) -> list[str]:
        """The commands without their times."""
        return [line for _, line in self.commands]


class _ClosedError(Exception):
    pass


class RecordingUpstream:
    """The server; see the module's text. All lists may be read while it runs."""

    def __init__(self, *, tls="none", accounts=None, extensions=EXTENSIONS, lax=False, port=0, names=(), receive_buffer=0):
        self.tls, self.accounts, self.extensions, self.lax = tls, dict(accounts or {}), tuple(extensions), lax
        self.faults: list[Fault] = []
        self.sessions: list[Session] = []
        self.deliveries: list[Delivery] = []
        self.auth_attempts: list[tuple[str, bool]] = []  # login, whether the password was right
        self.violations: list[str] = []
        self.on_delivery: Callable[[Delivery], None] = lambda _: None
        self.octets_received = 0
        self.port, self.ca_file = port, ""
        self._names = names or ("127.0.0.1", "localhost")  # in the certificate
        self._receive_buffer = receive_buffer
        self._context: ssl.SSLContext | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="upstream-")

    @property
    def address(self):
        """ "127.0.0.1:PORT", as [[upstream]] addresses take it."""
        return f"127.0.0.1:{self.port}"

    @property
    def accepted(self) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.accepted]

    @property
    def recipients(self) -> list[str]:
        """Who got mail, as often as they got some."""
        return sorted(recipient for delivery in self.accepted for recipient in delivery.recipients)

    @property
    def open_sessions(self) -> list[Session]:
        return [session for session in self.sessions if not session.ended]

    def fault(self, at: str, reply: str = "", **how) -> Fault:
        """Add a fault and return it; the first that fits wins. `faults.clear()` heals."""
        self.faults.append(Fault(at, reply, **how))
        return self.faults[-1]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; AssertionError when it never does. Blocks: in async tests use `until`."""
        wait_until(condition, every=0.005, said=lambda: f"violations: {self.violations}")

    async def until(self, condition: Callable[[], object]) -> None:
        """The same for async tests."""
        await until(condition, said=lambda: f"violations: {self.violations}")

    def start(self) -> Self:
        if self.tls != "none":
            self._make_certificate()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(SECONDS)
        return self

    def stop(self) -> None:
        """Close everything at once, as kill -9 would."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._folder.cleanup()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def drop_connections(self) -> None:
        """Close every open connection without a word; the server goes on."""
        for writer in list(self._writers):
            self._loop.call_soon_threadsafe(writer.transport.abort)

    def _make_certificate(self):
        ca = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*self._names).configure_cert(self._context)
        self.ca_file = str(Path(self._folder.name, "ca.pem"))
        ca.cert_pem.write_to_path(self.ca_file)

    def _run(self, started):
        async def serve():
            self._stop = asyncio.Event()
            listening = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only where it sees this
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._receive_buffer:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            listening.bind(("127.0.0.1", self.port))
            context = self._context if self.tls == "implicit" else None
            server = await asyncio.start_server(self._connected, sock=listening, ssl=context, limit=16384, backlog=500)
            self.port = listening.getsockname()[1]
            started.set()
            await self._stop.wait()
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._loop.run_until_complete(serve())
        self._loop.close()

    async def _connected(self, reader, writer):
        self._writers.add(writer)
        session = Session(len(self.sessions) + 1, time.time())
        self.sessions.append(session)
        try:
            await _Conversation(self, session, reader, writer).run()
        except (_ClosedError, OSError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            session.ended = True
            self._writers.discard(writer)
            writer.close()

    def take_fault(self, at: str, text: str, octets: int = 0) -> Fault | None:
        """The first fault that fits, counted."""
        for fault in self.faults:
            if fault.at == at and fault.times != 0 and fault.matching in text and fault.after <= octets:
                fault.times -= fault.times > 0
                return fault
        return None


class _Conversation:
    """One connection's dialogue."""

    def __init__(self, upstream, session, reader, writer):
        self.upstream, self.session, self.reader, self.writer = upstream, session, reader, writer
        self.buffer = bytearray()
        self.delivery: Delivery | None = None
        self.encrypted = upstream.tls == "implicit"
        self.session.tls = self._tls_version()

    async def run(self):
        await self.answer("CONNECT", "")
        while True:
            line = await self.line()
            verb = line.split(" ")[0].split(":")[0].upper()
            shown = re.sub(r"(?i)^(AUTH \w+) .+", r"\1 ***", line)
            self.session.commands.append((time.time(), shown))
            if self.buffer and "PIPELINING" not in self.upstream.extensions:
                self.upstream.violations.append(f"more after {shown!r} although PIPELINING is not offered")
            handler = getattr(self, f"on_{verb.lower()}", None)
            await (handler(line) if handler else self.answer(verb, line, "500 5.5.1 unknown command"))

    async def on_ehlo(self, line):
        offered = list(self.upstream.extensions)
        if self.upstream.tls == "starttls" and not self.encrypted:
            offered.append("STARTTLS")
        elif self.upstream.accounts:
            offered.append("AUTH PLAIN LOGIN")
        self.delivery = None
        lines = ["upstream.example", *offered]
        usual = "\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{text}" for i, text in enumerate(lines))
        await self.answer("EHLO", line, usual)

    async def on_starttls(self, line):
        if self.buffer:
            self.upstream.violations.append("something was sent after STARTTLS before the handshake")
        if (await self.answer("STARTTLS", line)).startswith("220"):
            await self.writer.start_tls(self.upstream._context)
            self.encrypted, self.session.tls = True, self._tls_version()

    async def on_auth(self, line):
        _, mechanism, *initial = line.split(" ")
        if mechanism.upper() == "PLAIN":
            response = initial[0] if initial else await self.challenge("")
            _, login, password = base64.b64decode(response).decode().split("\0")
        else:
            login = base64.b64decode(initial[0] if initial else await self.challenge("VXNlcm5hbWU6")).decode()
            password = base64.b64decode(await self.challenge("UGFzc3dvcmQ6")).decode()
        right = self.upstream.accounts.get(login) == password
        self.upstream.auth_attempts.append((login, right))
        reply = await self.answer("AUTH", login, None if right else "535 5.7.8 wrong password")
        if reply.startswith("2"):
            self.session.identity = login

    async def challenge(self, text):
        await self.write(f"334 {text}")
        return await self.line()

    async def on_mail(self, line):
        match = re.fullmatch(r"MAIL FROM:<([^>]*)>((?: [^ ]+)*)", line, re.IGNORECASE)
        problem = "501 5.5.4 syntax" if match is None else self.wrong_parameter(match[2].split())
        if self.delivery is not None:
            problem = "503 5.5.1 nested MAIL"
        if self.upstream.accounts and self.session.identity is None:
            problem = "530 5.7.0 authentication required"
        if (await self.answer("MAIL", line, problem)).startswith("2") and match:
            self.delivery = Delivery(self.session.number, self.session.identity, match[1], match[2].split())

    async def on_rcpt(self, line):
        match = re.fullmatch(r"RCPT TO:<([^>]+)>((?: [^ ]+)*)", line, re.IGNORECASE)
        problem = "501 5.5.4 syntax" if match is None else self.wrong_parameter(match[2].split())
        if self.delivery is None:
            problem = "503 5.5.1 MAIL first"
        if (await self.answer("RCPT", line, problem)).startswith("2") and self.delivery and match:
            self.delivery.recipients.append(match[1])
            self.delivery.rcpt_parameters.append(match[2].split())

    def wrong_parameter(self, parameters):
        offered = {extension.split()[0] for extension in self.upstream.extensions}
        for parameter in parameters:
            if PARAMETER_OF.get(parameter.split("=")[0].upper(), "?") not in offered:
                self.upstream.violations.append(f"parameter {parameter} is not offered")
                return "555 5.5.4 parameter not implemented"
        return None

    async def on_data(self, line):
        nobody = self.delivery is None or not self.delivery.recipients
        if not (await self.answer("DATA", line, "554 5.5.1 no valid recipients" if nobody else None)).startswith("354"):
            return
        delivery = self.delivery or Delivery(self.session.number, self.session.identity, "", [])
        self.delivery = None
        delivery.data, delivery.at = await self.body(), time.time()
        if delivery.recipients:
            self.upstream.deliveries.append(delivery)
        fault = self.upstream.take_fault("DOT", delivery.data.decode("latin-1"))
        accepted = not fault or fault.lose or (fault.reply[:1] == "2" if fault.reply else not (fault.close or fault.stall))
        delivery.accepted = bool(accepted and delivery.recipients)
        self.upstream.on_delivery(delivery)
        await self.play(fault, USUAL["DOT"] if delivery.recipients else "554 5.5.1 no valid recipients")

    async def body(self) -> bytes:
        end, received, looked_at = (LAX_END if self.upstream.lax else STRICT_END), bytearray(b"\r\n"), 0
        while True:
            received += self.buffer
            self.buffer.clear()
            await self.play(self.upstream.take_fault("BODY", "", len(received) - 2), "")
            if match := end.search(received, max(0, looked_at - 4)):
                break
            looked_at = len(received)
            await self.more()
        self.buffer = received[match.end() :]
        stuffed = bytes(received[: match.start()]) + b"\r\n"
        return stuffed.replace(b"\r\n.", b"\r\n")[2:]

    async def on_rset(self, line):
        self.delivery = None
        await self.answer("RSET", line)

    async def on_noop(self, line):
        await self.answer("NOOP", line)

    async def on_quit(self, line):
        await self.answer("QUIT", line)
        raise _ClosedError

    async def answer(self, at: str, text: str, problem: str | None = None) -> str:
        """Reply as a fault says, else `problem`, else as usual; return what was replied."""
        return await self.play(self.upstream.take_fault(at, text), problem or USUAL.get(at, "250 ok"))

    async def play(self, fault: Fault | None, usual: str) -> str:
        fault = fault or Fault("")
        await asyncio.sleep(fault.delay)
        if fault.stall:
            await asyncio.Event().wait()
        if (fault.reply or usual) and not (fault.lose or (fault.close and not fault.reply)):
            await self.write(fault.reply or usual)
        if fault.close or fault.lose:
            raise _ClosedError
        return fault.reply or usual

    async def write(self, text: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in text.split("\n")).encode("utf-8", "surrogateescape"))
        await self.writer.drain()

    async def line(self) -> str:
        while (end := self.buffer.find(b"\r\n")) < 0:
            if b"\n" in self.buffer:
                self.upstream.violations.append(f"bare LF in {bytes(self.buffer)!r}")
                raise _ClosedError
            await self.more()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line.decode("utf-8", "surrogateescape")

    async def more(self) -> None:
        chunk = await self.reader.read(16384)
        if not chunk:
            raise _ClosedError
        self.upstream.octets_received += len(chunk)
        self.buffer += chunk

    def _tls_version(self):
        tls = self.writer.get_extra_info("ssl_object")
        return tls.version() if tls else None


def _main() -> None:
    parser = argparse.ArgumentParser(description="A recording SMTP server; one JSON line per message on stdout.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
    parser.add_argument("--account", action="append", default=[], metavar="LOGIN:PASSWORD")
    parser.add_argument("--without", action="append", default=[], metavar="EXTENSION", help="do not offer it")
    parser.add_argument("--lax", action="store_true", help="take every known variant of the end of data")
    given = parser.parse_args()
    upstream = RecordingUpstream(
        tls=given.tls,
        accounts=dict(account.split(":", 1) for account in given.account),
        extensions=[extension for extension in EXTENSIONS if extension.split()[0] not in given.without],
        lax=given.lax,
        port=given.port,
    )

    def show(delivery: Delivery) -> None:
        facts = {**vars(delivery), "data": base64.b64encode(delivery.data).decode()}
        print(json.dumps({"message": facts}), flush=True)

    upstream.on_delivery = show
    with upstream:
        print(json.dumps({"listening": upstream.address, "ca_file": upstream.ca_file}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
