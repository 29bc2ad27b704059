"""A real SMTP listener with a line behind it that records, and a client that speaks octets."""

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import trustme

from relay.config import Config, Listen
from relay.doors.smtp.certificates import Certificates
from relay.doors.smtp.contracts import Door
from relay.doors.smtp.headcount import Headcount
from relay.doors.smtp.listening import Listener, serve
from relay.doors.smtp.registry import Registry
from relay.ids import new_id
from relay.mail import replies
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import MessageError
from relay.mail.reply import Reply

WAIT = 20.0  # seconds that a test waits for the other side before it fails


class RecordingLine:
    """A line that takes everything. `replies` sets other answers by mailbox wire form, `gate` holds submissions back."""

    def __init__(self) -> None:
        self.began: list[tuple[Client, Identity, Mailbox | None]] = []
        self.handed_over = 0  # submissions, with those at the gate
        self.told_to_send: list[float] = []
        self.submitted: list[tuple[Submission, bytes]] = []
        self.refused: list[tuple[Submission, MessageError]] = []
        self.concluded_ids: list[str] = []
        self.replies: dict[str, Reply] = {}
        self.final: Reply | None = None
        self.room = 1024**3  # octets that could be held
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.finished = asyncio.Event()

    async def begin(self, client, identity, reverse_path, *, body, smtputf8, ret, envid) -> Submission | Reply:
        if self.fault:
            raise self.fault
        if reverse_path and (refusal := self.replies.get(reverse_path.wire)):
            return refusal
        self.began.append((client, identity, reverse_path))
        at = 1_790_000_000.0 + len(self.began)
        facts = {"body": body, "smtputf8": smtputf8, "ret": ret, "envid": envid}
        return Submission(new_id(at, bytes(10)), at, client, identity, reverse_path, "correspondence", "0" * 16, **facts)

    def has_room(self, submission: Submission, size: int) -> bool:
        return size <= self.room

    async def admit(self, submission: Submission, recipient: Recipient) -> Reply:
        return self.replies.get(recipient.mailbox.wire, replies.RECIPIENT_OK)

    async def submit(self, submission: Submission, data: bytes, began: float) -> Reply:
        self.told_to_send.append(began)
        self.handed_over += 1
        await self.gate.wait()
        self.submitted.append((submission, data))
        self.finished.set()
        return self.final or replies.delivered(submission.id, len(submission.recipients))

    async def refuse(self, submission: Submission, fault: MessageError) -> Reply:
        self.refused.append((submission, fault))
        page = f"http://127.0.0.1:8027/r/{submission.id}"
        return self.final or replies.refused(fault.rule, fault.text, page, detail=fault.detail)

    async def concluded(self, submission: Submission) -> None:
        self.concluded_ids.append(submission.id)

    @property
    def messages(self) -> list[bytes]:
        return [data for _, data in self.submitted]


class OneAccount:
    """An authenticator with one right pair; counts what it is asked."""

    def __init__(self, login: str = "ada@example.com", password: str = "secret") -> None:
        self.pair = (login, password)
        self.asked: list[tuple[str, str]] = []

    async def authenticate(self, client: Client, listen: Listen, login: str, password: str) -> Identity | Reply:
        self.asked.append((login, password))
        if (login, password) != self.pair:
            return replies.AUTH_FAILED
        return Identity(login, IdentityKind.PASSTHROUGH, frozenset({login}), "main", Credentials(login, password))


def a_config(folder: Path | str = "/nowhere", **tables) -> Config:
    """A configuration with one listener; tables as in config.toml."""
    document = {
        "hostname": "relay.example.com",
        "data_dir": "data",
        "listen": [{"name": "submission", "address": "127.0.0.1:0", "tls": "none"}],
        "upstream": [{"name": "main", "addresses": ["127.0.0.1:1"], "tls": "none"}],
        **tables,
    }
    return Config(**document, folder=str(folder))


def a_socket(host: str = "127.0.0.1") -> socket.socket:
    """A bound socket on a free port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0))
    return sock


@dataclasses.dataclass
class House:
    """A running listener and everything behind it."""

    config: Config
    door: Door
    line: RecordingLine
    listener: Listener

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address


@contextlib.asynccontextmanager
async def a_house(
    config: Config | None = None,
    *,
    host: str = "127.0.0.1",
    authenticator=None,
    certificates: Certificates | None = None,
    upstream_size: Callable[[], int | None] = lambda: None,
) -> AsyncIterator[House]:
    """Serve the first listener of the configuration; ends every session afterwards."""
    config = config or a_config()
    line = RecordingLine()
    door = Door(
        config,
        line,
        authenticator or OneAccount(),
        Registry(lambda: door.config.smtp, Headcount.alone()),
        certificates,
        upstream_size,
    )
    listener = await serve(config.listen[0], a_socket(host), door)
    try:
        yield House(config, door, line, listener)
    finally:
        line.gate.set()
        await listener.close()
        await door.registry.drain(0)
        for _ in range(5):
            await asyncio.sleep(0)


def a_trusted_config(**tables) -> Config:
    """A listener without AUTH for clients of 127.0.0.1 and ::1."""
    listen = [{"name": "internal", "address": "127.0.0.1:0", "tls": "none", "auth": "none"}]
    auth = {"trusted_networks": ["127.0.0.1/32", "::1/128"]}
    return a_config(**{"listen": listen, "auth": auth, **tables})


class Talker:
    """A client that writes octets and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: tuple[str, int], context: ssl.SSLContext | None = None, name: str = "localhost") -> "Talker":
        reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname=name if context else None)
        return cls(reader, writer)

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        """One reply, its lines joined by a line feed; "" when the server closes."""
        lines: list[str] = []
        with contextlib.suppress(ConnectionResetError):  # it closed with octets of ours unread
            async with asyncio.timeout(WAIT):
                await self._collect(lines)
        return "\n".join(lines)

    async def _collect(self, lines: list[str]) -> None:
        while line := await self.reader.readline():
            lines.append(line.decode("ascii").rstrip("\r\n"))
            if line[3:4] != b"-":
                break

    async def say(self, command: str | bytes) -> str:
        octets = command if isinstance(command, bytes) else command.encode()
        await self.send(octets + b"\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(WAIT):
            return await self.reader.read()

    async def start_tls(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        await self.writer.start_tls(context, server_hostname=name)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def a_talker(house: House, context: ssl.SSLContext | None = None) -> AsyncIterator[Talker]:
    """A client that has read the greeting."""
    talker = await Talker.connect(house.address, context)
    try:
        await talker.reply()
        yield talker
    finally:
        await talker.close()


async def open_transaction(talker: Talker, sender: str = "ada@example.com", recipient: str = "bob@example.org") -> None:
    """EHLO, MAIL, RCPT on a listener that needs no AUTH."""
    await talker.say("EHLO client.example")
    assert (await talker.say(f"MAIL FROM:<{sender}>")).startswith("250")
    assert (await talker.say(f"RCPT TO:<{recipient}>")).startswith("250")


async def send_message(talker: Talker, octets: bytes) -> str:
    """DATA with these octets as they are (stuffed and ended by the caller); the reply."""
    assert (await talker.say("DATA")).startswith("354")
    await talker.send(octets)
    return await talker.reply()


class Authority:
    """A certificate authority that exists for one test."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.certificate, self.key = folder / "relay.crt", folder / "relay.key"

    def issue(self, *names: str) -> None:
        """Write a fresh certificate and key, as a renewal would."""
        issued = self.ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        issued.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    def certificates(self, monotonic: Callable[[], float] = time.monotonic) -> Certificates:
        return Certificates(self.certificate, self.key, monotonic)

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context

    def tables(self, tls: str, **listen) -> dict[str, Any]:
        """The tables of a configuration with one listener that uses this certificate."""
        return {
            "listen": [{"name": "submission", "address": "127.0.0.1:0", "tls": tls, **listen}],
            "tls": {"certificate_file": str(self.certificate), "private_key_file": str(self.key)},
        }
